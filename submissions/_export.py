"""A run as a bundle that is served without Python, and the last window's features for it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from engine import Settings
from stacking import Bundle, Plan, export_bundle, final_scores, make_plan, run_cv
from submissions._errors import SubmissionError
from submissions._feature_files import write_features
from submissions._make import fingerprints
from submissions._manifest import Manifest
from submissions._runs import Runs

_PLACES = ("data", "store", "reports", "runs", "out", "memory_gib", "backend")  # of now, not of the run


def export_run(
    settings: Settings,
    name: str,
    folder: Path,
    *,
    without: Collection[str] = (),
    features: Path | None = None,
    replace: bool = False,
) -> Bundle:
    """Write the bundle of a run: every model and blend of it as ONNX graphs, checked against its scores.

    ``without``: models and blends that are left out. ``features``: a new folder for the columns that the bundle reads,
    by their keys (``write_features``). ``replace``: whether an older bundle may lie there.

    What is no longer in the store is made again, and must give the scores that the run has.

    Raises
    ------
    SubmissionError
        The run is a blend of runs, or data, features or code are not those that it was made of.
    ExportError
        A model has no graph, or its graph gives other scores.
    """
    if features is not None and features.exists():
        raise SubmissionError(f"{features} is there already.", expected="a new folder after --features")
    runs = Runs.of(settings)
    run = runs.resolve(name)
    manifest = runs.manifest(run)
    plan = _plan_of(settings, manifest)
    cv = run_cv(plan, is_shown=False)
    scores = final_scores(plan, cv)
    _require_same_scores(run, runs.scores(run), scores)
    about = {"run": run, "competition": manifest.competition, "created": manifest.created.isoformat()}
    bundle = export_bundle(plan, cv, scores, folder, about=about, without=without, replaces=replace)
    if features is not None:
        write_features(plan, (column.name for column in bundle.inputs.columns), features)
    return bundle


def _plan_of(settings: Settings, manifest: Manifest) -> Plan:
    """Plan the run anew, by its own settings. Raises SubmissionError for what is made of other things now."""
    if manifest.parents:
        raise SubmissionError(
            f"Run {manifest.run} is a blend of runs: {', '.join(p.run for p in manifest.parents)}.",
            expected="a run that `make submit` made",
            todo="export one of these, or let models and blenders of one config.toml make the blend",
        )
    manifest.require(settings.competition)
    plan = make_plan(_settings_of(manifest, settings))
    now = fingerprints(plan.keys)
    other = sorted(n for n in {*now, *manifest.features} if now.get(n) != manifest.features.get(n))
    if plan.dataset.fingerprint != manifest.data_fingerprint:
        other = ["the data"]
    if other:
        raise SubmissionError(
            f"Run {manifest.run} was made of other things than there are now: {', '.join(other[:5])}"
            + (f" and {len(other) - 5} more" if len(other) > 5 else "")
            + " differ.",
            expected="the data and feature files that it was made of",
            todo="make a new run with `make submit` and export that one, or go back to the commit of this one",
        )
    return plan


def _settings_of(manifest: Manifest, settings: Settings) -> Settings:
    """Read the settings of the run, with the folders of now."""
    here = {place: getattr(settings, place) for place in _PLACES}
    try:
        return Settings.model_validate({**manifest.config, **here})
    except ValidationError as error:
        raise SubmissionError(
            f"The settings of run {manifest.run} are no longer valid: {error.errors()[0]['msg']}.",
            todo="make a new run with `make submit` and export that one, or go back to the commit of this one",
        ) from error


def _require_same_scores(run: str, old: pl.DataFrame, new: pl.DataFrame) -> None:
    """Raise SubmissionError unless what would be exported is what was submitted, to the last bit."""
    names = [name for name in new.columns if name in old.columns]
    both = old.select(names).sort("pair_id").equals(new.select(names).sort("pair_id"))
    if not both or set(new.columns) - set(old.columns):
        raise SubmissionError(
            f"The models made now give other scores than run {run} has.",
            expected="the code and the libraries that it was made with",
            todo="make a new run with `make submit` and export that one, or go back to the commit of this one",
        )
