"""What a stored column is made of: its key in the store, and with it the promise that nothing is computed twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from competitions import Dataset
from engine import Json, Recipe, cached_digest, code_digest, library_versions
from features._arithmetic import serialized
from features._catalogue import AggregateBody, Catalogue, FeatureColumn, PairBody, PythonBody
from validation import Window

SEED = 1  # of what is random in streamed learners
FORMAT = 2  # of the stored columns; raise it when the engine computes something differently


def pairs_recipe(dataset: Dataset, window: Window) -> Recipe:
    """Recipe of a window's pairs: ids, keys and observed columns, sorted by pair_id."""
    parts: dict[str, Json] = {
        "data": dataset.fingerprint,
        "selection": cached_digest(dataset.competition.select_pairs),
        "window": window.name,
        "polars": pl.__version__,
        "format": FORMAT,
    }
    if dataset.sample_pairs < 1:
        parts["sample"] = dataset.sample_pairs
    return Recipe("pairs", f"{dataset.competition.name}: pairs @ {window.name}", parts)


def column_recipes(catalogue: Catalogue, window: Window, names: Iterable[str]) -> dict[str, Recipe]:
    """Recipes of columns and of all that they read, by name."""
    recipes: dict[str, Recipe] = {}
    pairs = pairs_recipe(catalogue.dataset, window).key
    for name in catalogue.closure(names):
        column = catalogue.columns[name]
        upstream = {f"feature {n}": recipes[n].key for n in column.reads}
        parts: dict[str, Any] = {
            "pairs": pairs,
            "dtype": str(column.dtype),
            "fill": column.fill,
            "format": FORMAT,
        }
        parts |= {
            "data": catalogue.dataset.fingerprint,
            "window": window.name,
            **upstream,
            **_made_of(catalogue, column),
        }
        title = f"{catalogue.dataset.competition.name}: {name} @ {window.name}"
        recipes[name] = Recipe("feature", title, parts)
    return recipes


def feature_keys(catalogue: Catalogue, windows: Iterable[Window], names: Iterable[str]) -> dict[str, str]:
    """Every key that a frame of these windows and columns is made of, for the recipes of what is fitted on it.

    Named ``COLUMN @ WINDOW``, and ``pairs @ WINDOW``.
    """
    names = tuple(names)
    keys: dict[str, str] = {}
    for window in windows:
        recipes = column_recipes(catalogue, window, names)
        keys[f"pairs @ {window.name}"] = pairs_recipe(catalogue.dataset, window).key
        keys |= {f"{name} @ {window.name}": recipes[name].key for name in names}
    return keys


def checkpoint_recipe(
    catalogue: Catalogue, column: FeatureColumn, position: int, partitions: str, attributes: str
) -> Recipe:
    """Recipe of what a learner has learned from the log's rows before a position.

    ``partitions``, ``attributes``: digests of the partitions that hold those rows, and of the tables that are read.
    """
    body, declaration = column.body, column.declaration
    made_of = _made_of(catalogue, column)
    parts: dict[str, Any] = {
        name: made_of[name] for name in ("code", "arguments", "needs", "step", "seed", "libraries")
    }
    variant = f" {body.variant}" if isinstance(body, PythonBody) and body.variant else ""
    title = f"{catalogue.dataset.competition.name}: {declaration.name}{variant} @ row {position}"
    own: dict[str, Any] = {
        "rows": partitions,
        "position": position,
        "attributes": attributes,
        "format": FORMAT,
    }
    return Recipe("checkpoint", title, {**parts, **own})


def _made_of(catalogue: Catalogue, column: FeatureColumn) -> Mapping[str, Any]:
    """Say what the body is made of, which is the same in every window: digested once a catalogue."""
    if column.name not in catalogue.made_of:
        catalogue.made_of[column.name] = _body_made_of(column)
    return catalogue.made_of[column.name]


def _body_made_of(column: FeatureColumn) -> Mapping[str, Any]:
    body = column.body
    match body:
        case AggregateBody():
            states = sorted(body.aggregate.states)
            finish = _digest(serialized(body.aggregate.finish))
            where = "" if body.where is None else _digest(serialized(body.where))
            lookback = [body.lookback.kind, body.lookback.size]
            return {"code": [*states, finish], "key": list(body.key), "lookback": lookback, "where": where,
                    "polars": pl.__version__}  # fmt: skip
        case PairBody():
            return {"code": _digest(serialized(body.expression)), "polars": pl.__version__}
        case PythonBody():
            body_code = cached_digest(column.declaration.body)
            arguments = code_digest(dict(body.arguments or {}))
            made_of: dict[str, Any] = {"code": body_code, "arguments": arguments, "output": body.output,
                                       "needs": list(body.needs), "key": list(body.key)}  # fmt: skip
            made_of["libraries"] = library_versions()
            if column.kind == "streamed":
                options = column.declaration.options
                made_of |= {"step": options["step"], "refine": options["refine"], "seed": SEED}
            return made_of


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
