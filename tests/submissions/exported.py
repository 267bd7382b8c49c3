"""A small run of both shipped competitions as a bundle, and how bundles are damaged."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from engine import FeatureSettings, Settings
from stacking import Bundle, check_bundle
from submissions import Manifest, Runs, export_run, make_submission

SCORES = ("popularity", "trees", "net", "mean_rank", "catboost_oof", "level_two", "score_weights", "weights")


@dataclass(frozen=True)
class Exported:
    """A run, and its bundle."""

    settings: Settings
    manifest: Manifest
    bundle: Bundle

    @property
    def folder(self) -> Path:
        return self.bundle.folder

    @property
    def runs(self) -> Runs:
        return Runs.of(self.settings)

    @property
    def cases(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.folder / "cases.json").read_text())
        return found

    def case(self, name: str) -> dict[str, Any]:
        return next(case for case in self.cases if case["name"] == name)


def exported_once(
    bundles: Path,
    competition: str,
    write: Callable[[Path], object],
    features: FeatureSettings,
    **models: dict[str, Any],
) -> Exported:
    """Make a run of a column, trees, a small net and ``models``, and export it, unless that is done already.

    ``write`` writes the files of the competition into a folder.
    """
    root = bundles / competition
    root.mkdir(exist_ok=True)
    settings = small_settings(root, competition, features, models)
    runs = Runs.of(settings)
    with FileLock(bundles / f"{competition}.lock"):
        if (root / "bundle").is_dir():
            return Exported(settings, runs.manifest(runs.ids()[0]), check_bundle(root / "bundle"))
        write(settings.data)
        manifest = make_submission(settings)
        return Exported(settings, manifest, export_run(settings, manifest.run, root / "bundle"))


def small_settings(
    root: Path, competition: str, features: FeatureSettings, models: dict[str, dict[str, Any]]
) -> Settings:
    """Settings of a run that takes seconds, all of whose folders lie in ``root``."""
    quick = {
        "popularity": {"kind": "column", "column": "relevance_rate__item_id"},
        "trees": {"kind": "catboost", "iterations": 8, "depth": 3},
        "net": {
            "kind": "channel_net",
            "epochs": 1,
            "hidden": 4,
            "user_dim": 3,
            "item_dim": 3,
            "source_dim": 2,
        },
    }
    values = {
        "competition": competition,
        **{name: root / name for name in ("data", "store", "reports", "runs", "out")},
        "backend": "inline",
        "folds": {"n_folds": 3, "n_train_windows": 2},
        "features": features,
        "models": {**quick, **models},
        "blenders": {
            "score_weights": {"kind": "weights", "of": "scores", "budget": 5},
            "weights": {"budget": 5},
            "catboost_oof": {"iterations": 5},
            "level_two": {"iterations": 5},
        },
        "blender": "level_two",
    }
    return Settings.model_validate(values)


def damaged(bundle: Path, to: Path, change: Callable[[Path], object], *, is_resealed: bool = False) -> Path:
    """Copy a bundle and change the copy. ``is_resealed``: with digests that fit, as who means harm would do."""
    shutil.copytree(bundle, to)
    change(to)
    if is_resealed:
        sums = [
            f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
            for file in sorted(to.iterdir())
            if file.name != "SHA256SUMS"
        ]
        (to / "SHA256SUMS").write_text("".join(sums))
    return to


def change_weight(folder: Path) -> None:
    """Change one weight of the net's output layer."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(folder / "net.onnx"))
    (layer,) = (t for t in model.graph.initializer if tuple(t.dims) == (4, 1))
    values = numpy_helper.to_array(layer).copy()
    values[np.abs(values).argmax()] += 10
    layer.CopyFrom(numpy_helper.from_array(values, layer.name))
    onnx.save(model, str(folder / "net.onnx"))


def swap_columns(folder: Path) -> None:
    """Let two columns of one kind take each other's places."""
    manifest = json.loads((folder / "manifest.json").read_text())
    numbers = [c for c in manifest["inputs"] if c["kind"] == "float32"]
    first, second = numbers[0], numbers[1]
    first["position"], second["position"] = second["position"], first["position"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def cut_file(folder: Path) -> None:
    """Keep the first half of the net's graph."""
    data = (folder / "net.onnx").read_bytes()
    (folder / "net.onnx").write_bytes(data[: len(data) // 2])


DAMAGES = {"a changed weight": change_weight, "swapped columns": swap_columns, "a cut file": cut_file}
