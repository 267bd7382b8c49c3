"""CatBoost's trees as one TreeEnsemble node, written from its JSON: its own converter refuses categories."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.catboost import FittedCatBoost
from models.graphs.columns import start_graph
from models.graphs.errors import ExportError
from models.graphs.graph import Graph, Tensor
from models.graphs.registry import graph_of

_NO_CATEGORY = "(null)"  # category that null is given
_LEAF, _INNER = 1, 0
_LESS_OR_EQUAL = 0  # mode of a node
_SUM, _NO_TRANSFORM = 1, 0


@graph_of(FittedCatBoost)
def catboost_graph(fitted: FittedCatBoost, g: Graph) -> Tensor:
    """Write ``FittedCatBoost.predict``."""
    facts = fitted.facts
    started = None if facts.start is None else start_graph(facts.start, g)
    if fitted.booster is None:
        constant = g.filled(facts.constant)
        return constant if started is None else g.add("Add", constant, started)
    saved = _as_json(fitted, g)
    raw = _raw(saved, fitted, g)
    if facts.classes is not None:
        chance = g.add("Softmax", raw, axis=1)
        weighted = g.add("Mul", chance, g.constant(facts.classes, np.float64))
        return g.add("ReduceSum", weighted, g.constant([1], np.int64), keepdims=0)
    scores = g.squeezed(raw)
    return scores if started is None else g.add("Add", scores, started)


def _as_json(fitted: FittedCatBoost, g: Graph) -> dict[str, Any]:
    """What CatBoost says of its trees, with the hash of each category."""
    import catboost

    assert fitted.booster is not None
    facts = fitted.facts
    lists = {name: _categories(g, name) for name in facts.categorical}
    n = max([1, *map(len, lists.values())])
    rows = {name: pl.Series([0.0] * n, dtype=pl.Float32) for name in facts.numeric}
    rows |= {name: pl.Series([*known, *[known[0]] * (n - len(known))]) for name, known in lists.items()}
    pool = catboost.Pool(
        pl.DataFrame(rows).cast({name: pl.Enum(known) for name, known in lists.items()}),
        cat_features=list(facts.categorical),
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trees.json"
        fitted.booster.save_model(str(file), format="json", pool=pool)
        saved: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if "oblivious_trees" not in saved:
        raise ExportError(
            "its trees are not oblivious: their splits differ within a level",
            expected='grow_policy = "SymmetricTree", as every fit here has',
        )
    return saved


def _categories(g: Graph, name: str) -> list[str]:
    dtype = g.schema[name]
    assert isinstance(dtype, pl.Enum)
    return [*dtype.categories, _NO_CATEGORY]


@dataclass
class _Nodes:
    """The attributes of a TreeEnsemble node: inner nodes and leaves, one list each.

    ``used``: number of a split's input -> its column of the node's matrix.
    """

    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    children: dict[bool, list[int]] = field(default_factory=lambda: {True: [], False: []})
    is_leaf: dict[bool, list[int]] = field(default_factory=lambda: {True: [], False: []})
    targets: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def add_tree(self, splits: list[tuple[int, float]], values: list[float], target: int) -> None:
        """Add an oblivious tree: bit i of a leaf's number says whether split i holds, ``x > border``."""
        depth, first, leaf = len(splits), len(self.features), len(self.weights)
        self.roots.append(first)
        n_inner = 2**depth - 1
        for node in range(n_inner):
            level = (node + 1).bit_length() - 1
            feature, border = splits[depth - 1 - level]
            self.features.append(feature)
            self.splits.append(border)
            for side, child in ((True, 2 * node + 1), (False, 2 * node + 2)):  # true: x <= border
                is_leaf = child >= n_inner
                self.is_leaf[side].append(_LEAF if is_leaf else _INNER)
                self.children[side].append(leaf + child - n_inner if is_leaf else first + child)
        self.targets += [target] * len(values)
        self.weights += values

    def add_to(self, g: Graph, matrix: Tensor, n_targets: int) -> Tensor:
        """Add the node: sums Float64 (n_pairs, n_targets). NaN is less than every border."""
        from onnx import numpy_helper

        return g.add(
            "TreeEnsemble",
            matrix,
            domain="ai.onnx.ml",
            n_targets=n_targets,
            aggregate_function=_SUM,
            post_transform=_NO_TRANSFORM,
            tree_roots=self.roots,
            nodes_featureids=self.features,
            nodes_splits=numpy_helper.from_array(np.array(self.splits), "splits"),
            nodes_modes=numpy_helper.from_array(np.full(len(self.splits), _LESS_OR_EQUAL, np.uint8), "modes"),
            nodes_truenodeids=self.children[True],
            nodes_falsenodeids=self.children[False],
            nodes_trueleafs=self.is_leaf[True],
            nodes_falseleafs=self.is_leaf[False],
            nodes_missing_value_tracks_true=[1] * len(self.splits),
            leaf_targetids=self.targets,
            leaf_weights=numpy_helper.from_array(np.array(self.weights), "weights"),
        )


def _raw(saved: dict[str, Any], fitted: FittedCatBoost, g: Graph) -> Tensor:
    """Sums of the leaves, Float64 (n_pairs, n_classes or 1)."""
    n_targets = 1 if fitted.facts.classes is None else len(fitted.facts.classes)
    columns = _SplitColumns(saved, fitted, {})
    nodes, bias = _Nodes(), np.zeros(n_targets)
    scale, offsets = saved["scale_and_bias"]
    bias[: len(offsets)] += offsets
    for tree in saved["oblivious_trees"]:
        values = np.asarray(tree["leaf_values"], dtype=np.float64).reshape(-1, n_targets) * scale
        if not tree.get("splits"):
            bias += values[0]
            continue
        splits = [columns.split(s) for s in tree["splits"]]
        for target in range(n_targets):
            nodes.add_tree(splits, values[:, target].tolist(), target)
    offset = g.constant(bias, np.float64)
    if not nodes.roots:
        return g.add("Add", g.add("Unsqueeze", g.filled(0.0), g.constant([1], np.int64)), offset)
    return g.add("Add", nodes.add_to(g, columns.matrix(g), n_targets), offset)


@dataclass(frozen=True)
class _SplitColumns:
    """What splits look at: numeric features, and of a category whether it is a certain one.

    ``found``: (name, hash) of each column of the matrix so far; the hash is None for a number.
    """

    saved: dict[str, Any]
    fitted: FittedCatBoost
    found: dict[tuple[str, int | None], int]

    def split(self, split: dict[str, Any]) -> tuple[int, float]:
        """Column of the matrix, and its border. Raises ExportError for statistics of categories."""
        facts = self.fitted.facts
        if split["split_type"] == "FloatFeature":
            key: tuple[str, int | None] = (facts.numeric[split["float_feature_index"]], None)
            return self.found.setdefault(key, len(self.found)), float(np.float32(split["border"]))
        if split["split_type"] == "OneHotFeature":
            key = (facts.categorical[split["cat_feature_index"]], int(split["value"]) % 2**32)
            return self.found.setdefault(key, len(self.found)), 0.5
        raise ExportError(
            f"its trees split on statistics of a category ({split['split_type']}), which no graph computes here.",
            expected="categorical features of no more categories than one_hot_max_size",
            todo="raise one_hot_max_size in the model's table of config.toml, or leave the feature out by "
            "features.exclude, and make the run again",
        )

    def matrix(self, g: Graph) -> Tensor:
        """Float64 (n_pairs, n_columns): numbers rounded to Float32 before, and 1 where a category is the one."""
        numbers = [name for name, value in self.found if value is None]
        parts = [g.cast(g.numbers(numbers, np.float32), np.float64)] if numbers else []
        order: list[tuple[str, int | None]] = [(name, None) for name in numbers]
        for name in dict.fromkeys(name for name, value in self.found if value is not None):
            hashes = [value for other, value in self.found if other == name and value is not None]
            parts.append(self._is_category(g, name, hashes))
            order += [(name, value) for value in hashes]
        matrix = parts[0] if len(parts) == 1 else g.add("Concat", *parts, axis=1)
        where = [order.index(key) for key in self.found]
        return (
            matrix if where == sorted(where) else g.add("Gather", matrix, g.constant(where, np.int64), axis=1)
        )

    def _is_category(self, g: Graph, name: str, hashes: list[int]) -> Tensor:
        """Float64 (n_pairs, n_hashes): 1 where the category of a pair has the hash."""
        of_text = {
            h["value"]: int(h["hash"]) % 2**32 for h in self.saved["features_info"]["cat_features_hash"]
        }
        known = [text for text in _categories(g, name) if text in of_text]
        table = np.zeros((len(known) + 2, len(hashes)))  # row 0: unseen; the last one: null
        for row, text in enumerate(known, start=1):
            table[row] = [of_text[text] == value for value in hashes]
        table[-1] = [of_text.get(_NO_CATEGORY) == value for value in hashes]
        return g.add(
            "Gather", g.constant(table, np.float64), g.coded(name, pl.Series(known), null=len(known) + 1)
        )
