"""A bundle read back: its files are whole, and onnxruntime gives the scores that Python gave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from models import Scores, graphs
from stacking._export.request import Columns, matrices_of

FORMAT = 1
MANIFEST, CASES, SUMS = "manifest.json", "cases.json", "SHA256SUMS"
TOLERANCE = 1e-5  # between Python's scores and those of a bundle
_TIE = 1e-6  # of the larger of two scores: below it they may come in either order


@dataclass(frozen=True)
class Step:
    """The graph of a score. ``reads``: scores of models that it takes; ``columns``: what a request has to hold."""

    name: str
    kind: str
    file: str
    matrices: tuple[graphs.Kind, ...]
    reads: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read: its steps by name, models before blends, and a session of onnxruntime each.

    ``n_cases``: golden cases that it answered; ``apart``: how far its scores were from Python's at most.
    """

    folder: Path
    about: Mapping[str, Any]
    inputs: graphs.Inputs
    steps: Mapping[str, Step]
    sessions: Mapping[str, Any]
    n_cases: int = 0
    apart: float = 0.0

    @property
    def words(self) -> str:
        """What it is, in three lines."""
        a, names = self.about, ", ".join(self.steps)
        return (
            f"Bundle {self.folder}: run {a['run']} of {a['competition']}\n"
            f"       {len(self.steps)} scores ({names}) of {len(self.inputs.columns)} columns; chosen: {self.chosen}\n"
            f"       {self.n_cases} golden cases, within {self.apart:.1g} of Python's scores and in the same order"
        )

    @property
    def chosen(self) -> str:
        """The score that was submitted."""
        return str(self.about["chosen"])

    def scores(self, columns: Columns, names: Sequence[str] | None = None) -> dict[str, Scores]:
        """Score the pairs of a request by models and blends: all of them, or those of these names."""
        matrices = matrices_of(columns, self.inputs)
        found: dict[str, Scores] = {}
        for name in self.steps if names is None else names:
            self._score(name, matrices, found)
        return found if names is None else {name: found[name] for name in names}

    def timed_scores(self, columns: Columns) -> tuple[Scores, float]:
        """Score the pairs of a request by what was chosen, and say how many seconds onnxruntime took."""
        matrices = matrices_of(columns, self.inputs)
        found: dict[str, Scores] = {}
        began = perf_counter()
        self._score(self.chosen, matrices, found)
        return found[self.chosen], perf_counter() - began

    def _score(self, name: str, matrices: Mapping[graphs.Kind, Any], found: dict[str, Scores]) -> None:
        if name in found:
            return
        step = self.steps[name]
        for model in step.reads:
            self._score(model, matrices, found)
        feeds: dict[str, npt.NDArray[Any]] = {kind: matrices[kind] for kind in step.matrices}
        feeds |= {f"score_{model}": found[model] for model in step.reads}
        found[name] = self.sessions[name].run(["score"], feeds)[0]


def read_bundle(folder: Path, threads: int = 1) -> Bundle:
    """Read a bundle whose files are what ``SHA256SUMS`` says. Raises ExportError if one is damaged, or lacks."""
    graphs.require("onnxruntime")
    import onnxruntime

    _check_files(folder)
    about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if about.get("format") != FORMAT:
        raise graphs.ExportError(
            f"{folder} is a bundle of format {about.get('format')}.",
            expected=f"format {FORMAT}",
            todo="export the run again",
        )
    steps = {s["name"]: _step(s) for s in about["steps"]}
    inputs = graphs.Inputs(tuple(graphs.Input(**i) for i in about["inputs"]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    sessions = {}
    for name, step in steps.items():
        if not (folder / step.file).is_file() or Path(step.file).name != step.file:
            raise graphs.ExportError(
                f"The graph of {name!r} is not in the bundle.", todo="export the run again"
            )
        try:
            sessions[name] = onnxruntime.InferenceSession(
                str(folder / step.file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has no common class of its errors
            raise graphs.ExportError(f"The graph of {name!r} cannot be loaded: {error}") from error
    return Bundle(folder, about, inputs, steps, sessions)


def _step(facts: Mapping[str, Any]) -> Step:
    lists = {name: tuple(facts[name]) for name in ("matrices", "reads", "columns")}
    return Step(name=facts["name"], kind=facts["kind"], file=facts["file"], **lists)


def check_bundle(folder: Path) -> Bundle:
    """Read a bundle and let it answer its golden cases. Raises ExportError naming the score and the case."""
    bundle = read_bundle(folder)
    cases = json.loads((folder / CASES).read_text(encoding="utf-8"))
    apart = 0.0
    for case in cases:
        expected = {name: np.array(scores, dtype=np.float64) for name, scores in case["scores"].items()}
        apart = max(apart, check_case(bundle, case["name"], case["columns"], expected))
    return replace(bundle, n_cases=len(cases), apart=apart)


def check_case(bundle: Bundle, case: str, columns: Columns, expected: Mapping[str, Scores]) -> float:
    """Compare scores with Python's: within 1e-5, and in the same order but for ties. Gives how far they are apart."""
    found, most = bundle.scores(columns), 0.0
    for name, python in expected.items():
        onnx = found[name]
        if onnx.shape != python.shape or not np.isfinite(onnx).all():
            raise graphs.ExportError(f"{name!r} gives no score for some pair of the case {case!r}.")
        apart = float(np.abs(onnx - python).max(initial=0))
        most = max(most, apart)
        if apart > TOLERANCE:
            raise graphs.ExportError(
                f"{name!r} is {apart:.3g} away from Python's scores in the case {case!r}.",
                expected=f"{TOLERANCE:g} at most",
                todo="a bundle that was changed is of no use: export the run again; if it is new, leave "
                f"{name} out with --without {name}",
            )
        if not _same_order(python, onnx):
            raise graphs.ExportError(
                f"{name!r} puts pairs of the case {case!r} in another order than Python does.",
                expected="the same order, but for ties",
            )
    return most


def _same_order(python: Scores, onnx: Scores) -> bool:
    """Tell whether no two pairs that differ by more than a rounding error have changed places."""
    tie = _TIE * float(np.abs(python).max(initial=0))
    order = np.argsort(python, kind="stable")
    ranked, found = python[order], onnx[order]
    highest = np.maximum.accumulate(found)
    # For each pair the best of those that Python puts clearly below it.
    below = np.searchsorted(ranked, ranked - tie, side="left")
    has = below > 0
    return bool((found[has] >= highest[below[has] - 1]).all())


def _check_files(folder: Path) -> None:
    """Compare the files of a bundle with their digests."""
    if not (folder / SUMS).is_file():
        raise graphs.ExportError(
            f"{folder} is no bundle: it has no {SUMS}.",
            expected="a folder that `python -m models export RUN --out DIR` wrote",
        )
    digests = dict(_digests(folder))
    for name, digest in digests.items():
        file = folder / name
        if not file.is_file() or file.is_symlink():
            raise graphs.ExportError(f"The bundle {folder} lacks {name}.", todo="export the run again")
        if file_digest(file) != digest:
            raise graphs.ExportError(
                f"{name} of the bundle {folder} is not what was exported: its digest is another one.",
                todo="export the run again",
            )
    others = sorted(f.name for f in folder.iterdir() if f.name not in {*digests, SUMS})
    if others or MANIFEST not in digests or CASES not in digests:
        raise graphs.ExportError(
            f"The bundle {folder} holds files that {SUMS} does not name: {', '.join(others) or MANIFEST}.",
            todo="export the run again, into a folder of its own",
        )


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        if not name or "/" in name or name in (".", ".."):
            raise graphs.ExportError(
                f"{folder / SUMS} has a line that is none: {line!r}.", todo="export the run again"
            )
        yield name, digest


def file_digest(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
