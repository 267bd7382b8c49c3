"""Writes the bundle of a stack: a graph a model and blend, what a request holds, and golden cases."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from engine import sync_folder
from models import FittedRanker, PairFrame, fitted_class, graphs
from stacking._blend import fit_blends
from stacking._blender import FittedBlend
from stacking._export.blends import score_graph
from stacking._export.cases import Scorer, golden_pairs
from stacking._export.check import (
    CASES,
    FORMAT,
    MANIFEST,
    SUMS,
    TOLERANCE,
    Bundle,
    Step,
    check_bundle,
    check_case,
    file_digest,
)
from stacking._export.request import columns_of
from stacking._final import plan_final_fits
from stacking._fits import run_fits
from stacking._oof import make_oof
from stacking._plan import Plan
from validation import CvBundle

_IN_THE_GRAPH = 2**12  # bytes of a constant up to which it lies in the graph's own file
_N_USERS = 40  # whose test pairs are compared, beside the golden cases


@dataclass(frozen=True)
class _Stack:
    """A stack that is exported: Python's scorer, and a graph with the name of its result for each score."""

    scorer: Scorer
    made: Mapping[str, tuple[graphs.Graph, graphs.Tensor]]

    @property
    def names(self) -> tuple[str, ...]:
        """Scores of the bundle, models before blends."""
        return tuple(self.made)

    def columns(self, name: str) -> set[str]:
        """Columns that a score is made of, through the models that it reads."""
        graph = self.made[name][0]
        return set(graph.columns).union(*(self.columns(model) for model in graph.scores))


def export_bundle(
    plan: Plan,
    cv: CvBundle,
    scores: pl.DataFrame,
    folder: Path,
    *,
    about: Mapping[str, Any],
    without: Collection[str] = (),
    replaces: bool = False,
) -> Bundle:
    """Write a bundle and check it; the folder appears whole or not at all.

    Parameters
    ----------
    cv, scores
        What ``run_cv`` and ``final_scores`` gave for the plan.
    folder
        Where it is written: one that is not there yet, or is empty; with ``replaces`` it may be an older bundle.
    about
        Facts for the manifest.
    without
        Models and blends that are left out. Blends that read such a model are left out with it.

    Raises ExportError for a run with a pre-ranker, for a folder that is in use,
    for what has no graph, and for graphs that give other scores.
    """
    _check_no_prerank(plan)
    _check_free(folder, replaces=replaces)
    scorer = _scorer(plan, cv)
    frame = plan.reader.read([plan.folds.final.eval], plan.all_columns, labels=False)
    stack = _Stack(scorer, _graphs(scorer, frame, without, cv.chosen))
    pairs = _pairs_of_some(plan, frame)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write(new, stack, pairs, plan, {**about, "chosen": cv.chosen})
        bundle = check_bundle(new)
        _check_users(bundle, pairs, scores, scorer.user)
        new.chmod(0o755)
        sync_folder(new)
        _put(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return replace(bundle, folder=folder)


def _check_no_prerank(plan: Plan) -> None:
    """Refuse a run in which a model cuts what the others see: their graphs would see all."""
    if plan.prerank is not None:
        raise graphs.ExportError(
            f"The run has prerank = {plan.prerank.model!r}, and no graph cuts the pairs of a request.",
            expected="a run whose models see every pair",
            todo="take `prerank` out of config.toml, make a new run and export that one",
        )


def _check_free(folder: Path, *, replaces: bool) -> None:
    """Refuse a folder that holds something, unless it is a bundle that may be replaced."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    is_bundle = all((folder / name).is_file() for name in (MANIFEST, CASES, SUMS))
    if not is_bundle or not replaces:
        raise graphs.ExportError(
            f"{folder} is there already, and not empty.",
            expected="a new folder, or an empty one, after --out",
            todo="add --replace to put the new bundle in the place of that one" if is_bundle else "",
        )


def _put(new: Path, folder: Path) -> None:
    """Give a bundle its name; one that has it already is moved away first, and then removed."""
    old = new.with_name(f"{new.name}.old")
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError as error:
        raise graphs.ExportError(
            f"Something else was put at {folder} while the bundle was written: {error.strerror}.",
            expected="one export at a time into a folder",
            todo="run it again",
        ) from error
    shutil.rmtree(old, ignore_errors=True)


def _scorer(plan: Plan, cv: CvBundle) -> Scorer:
    """Load the models of the final fold and the blends of all folds, from the store."""
    fits = run_fits(plan, plan_final_fits(plan, cv), "Final models")
    models = {d.fit.model: fitted_class(plan.models[d.fit.model]).load(d.folder / "model") for d in fits}
    blends = fit_blends(plan, make_oof(plan) / "oof.parquet", cv.blends)
    c = plan.dataset.competition
    return Scorer(models, blends, c.user, c.item, c.source)


def _graphs(
    scorer: Scorer, frame: PairFrame, without: Collection[str], chosen: str
) -> dict[str, tuple[graphs.Graph, graphs.Tensor]]:
    """Write the graph of each score; blends that read a model that is left out are left out, too."""
    unknown = sorted(set(without) - set(scorer.names))
    if unknown:
        raise graphs.ExportError(
            f"There is no model and no blend {unknown[0]!r} in the run.",
            expected="after --without one of " + ", ".join(scorer.names),
        )
    made: dict[str, tuple[graphs.Graph, graphs.Tensor]] = {}
    every: dict[str, FittedRanker | FittedBlend] = {**scorer.models, **scorer.blends}
    for name, fitted in every.items():
        if name in without:
            continue
        graph = graphs.Graph(graphs.with_places(frame.schema), frame.item)
        result = score_graph(fitted, graph, f"The {_kind(scorer, name)} {name!r}")
        if all(model in made for model in graph.scores):
            made[name] = graph, result
    if chosen not in made:
        raise graphs.ExportError(
            f"Without {', '.join(without)} there is no {chosen}, which the run chose.",
            expected="a bundle that holds what was submitted",
            todo="leave those models out of config.toml (enabled = false), and make the run again",
        )
    return made


def _kind(scorer: Scorer, name: str) -> str:
    return "model" if name in scorer.models else "blend"


def _pairs_of_some(plan: Plan, frame: PairFrame) -> pl.DataFrame:
    """Test pairs of some users, evenly spread, the one with most pairs, and one without history if there is any."""
    user = frame.user
    sizes = frame.table.group_by(user, maintain_order=True).len()
    some = sizes[:: max(1, sizes.height // _N_USERS)][:_N_USERS]
    largest = sizes.sort("len", descending=True, maintain_order=True).head(1)
    new = sizes.join(_with_history(plan), on=user, how="anti", maintain_order="left").head(1)
    drawn = pl.concat([some, largest, new])[user].unique()
    found = frame.take(pl.col(user).is_in(drawn.implode()))
    missing = [name for name in plan.all_columns if name not in found.table.columns]
    return found.table.hstack([found.column(name) for name in missing])


def _with_history(plan: Plan) -> pl.DataFrame:
    user = plan.dataset.competition.user
    return plan.dataset.log.select(user).unique().collect(engine="streaming")


def _write(folder: Path, stack: _Stack, pairs: pl.DataFrame, plan: Plan, about: Mapping[str, Any]) -> None:
    """Write graphs, manifest, cases and digests into an empty folder."""
    read = {name for graph, _ in stack.made.values() for name in graph.columns}
    inputs = graphs.Inputs.of(read, graphs.with_places(pairs.schema))
    steps = [_write_graph(folder, name, stack, inputs) for name in stack.names]
    facts = {
        "format": FORMAT,
        **about,
        "tolerance": TOLERANCE,
        "user": stack.scorer.user,
        "item": stack.scorer.item,
        "null": {"float32": "NaN", "float64": "NaN", "int64": graphs.NO_WHOLE_NUMBER, "text": graphs.NO_TEXT},
        "widths": {kind: inputs.width(kind) for kind in ("float32", "float64", "int64", "text")},
        "inputs": [asdict(column) for column in inputs.columns],
        "steps": [asdict(step) for step in steps],
    }
    _write_json(folder / MANIFEST, facts, indent=1)
    _write_json(folder / CASES, list(_cases(plan, stack, pairs, inputs)))
    sums = [f"{file_digest(file)}  {file.name}\n" for file in sorted(folder.iterdir())]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")


def _write_graph(folder: Path, name: str, stack: _Stack, inputs: graphs.Inputs) -> Step:
    """Write one graph; its large constants lie in a file beside it, since a graph holds 2 GiB at most."""
    import onnx

    graph, result = stack.made[name]
    proto = graph.proto(name, inputs, result)
    file = f"{name}.onnx"
    onnx.save_model(
        proto,
        str(folder / file),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{name}.bin",
        size_threshold=_IN_THE_GRAPH,
    )
    onnx.checker.check_model(str(folder / file))
    given = {value.name for value in proto.graph.input}
    return Step(
        name=name,
        kind=_kind(stack.scorer, name),
        file=file,
        matrices=tuple(kind for kind in ("float32", "float64", "int64", "text") if kind in given),
        reads=graph.scores,
        columns=tuple(sorted(stack.columns(name))),
    )


def _cases(plan: Plan, stack: _Stack, pairs: pl.DataFrame, inputs: graphs.Inputs) -> Iterator[dict[str, Any]]:
    """Golden cases: the request, and Python's scores of it."""
    scorer = stack.scorer
    ids = [name for name in (scorer.user, scorer.item, scorer.source) if name]
    known = _with_history(plan)[scorer.user]
    for number, (name, case) in enumerate(golden_pairs(pairs, scorer.user, ids, known)):
        found = scorer.scores(case)
        yield {
            "name": name,
            "columns": columns_of(case, inputs, compact=number > 0),
            "n_pairs": case.height,
            "scores": {score: found[score].to_list() for score in stack.names},
        }


def _check_users(bundle: Bundle, pairs: pl.DataFrame, scores: pl.DataFrame, user: str) -> None:
    """Compare the scores of test pairs with those of the run itself."""
    names = list(bundle.steps)
    table = pairs.join(
        scores.select("pair_id", *names), on="pair_id", how="left", validate="1:1", maintain_order="left"
    )
    for (who,), group in table.group_by(user, maintain_order=True):
        expected = {name: group[name].to_numpy() for name in names}
        check_case(bundle, f"{user} {who}", columns_of(group, bundle.inputs, compact=True), expected)


def _write_json(file: Path, value: Any, indent: int | None = None) -> None:
    file.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n", encoding="utf-8")
