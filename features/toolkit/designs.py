"""Attributes as numbers for regressions: what a linear model can read of a user or an item."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from features.toolkit.positions import Values

MOST_LEVELS, N_BINS = 64, 6
MOST_CROSSES = 64
_ROWS = 2_000  # that are predicted at a time


class Design:
    """Learn from a table of entities which columns a design matrix has; give that of any table with its columns.

    Arrays of numbers (content vectors) are divided by their standard deviation. Texts, Enums, Booleans and lists of
    them have one column a level, the ``MOST_LEVELS`` most frequent ones. Numbers are cut at quantiles into ``N_BINS``
    levels. ``crossed``: pairs of columns have one column a pair of levels too. Nulls, what is not finite and unseen
    levels are zeros; columns of other dtypes are not read.
    """

    def __init__(self, table: pl.DataFrame, names: Sequence[str], *, crossed: bool = False) -> None:
        self._vectors = {n: _spread(table[n]) for n in names if _is_vector(table.schema[n])}
        self._edges = {n: _edges(table[n]) for n in names if table.schema[n].is_numeric()}
        plain = [
            n for n in names if n not in self._vectors and (n in self._edges or _has_levels(table.schema[n]))
        ]
        single = [n for n in plain if not table.schema[n].is_nested()]
        pairs = [(a, b) for k, a in enumerate(single) for b in single[k + 1 :]] if crossed else []
        self._levels: dict[tuple[str, ...], pl.Series] = {}
        for levelled in [*((n,) for n in plain), *pairs]:
            most = MOST_LEVELS if len(levelled) == 1 else MOST_CROSSES
            counts = _flat(self._level(table, levelled)).value_counts()
            top = counts.sort(["count", counts.columns[0]], descending=[True, False]).head(most)
            self._levels[levelled] = top.to_series().sort()
        self.width = sum(d for d, _ in self._vectors.values()) + sum(map(len, self._levels.values()))

    def of(self, table: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Give the design matrix of a table, a row each: Float32 (n, width)."""
        blocks = [np.zeros((table.height, 0), dtype=np.float32)]
        for name, (width, scale) in self._vectors.items():
            wide = np.full((table.height, width), np.nan, dtype=np.float32)
            for at in range(width):
                wide[:, at] = table[name].arr.get(at).cast(pl.Float32).fill_null(np.nan).to_numpy()
            wide[~np.isfinite(wide).all(axis=1)] = 0.0
            blocks.append(wide / np.float32(scale))
        for names, levels in self._levels.items():
            blocks.append(_one_hot(self._level(table, names), levels))
        return np.hstack(blocks)

    def _level(self, table: pl.DataFrame, names: Sequence[str]) -> pl.Series:
        """Give the level of each row as text; a list of them for lists."""
        cut = [self._text(name, table.schema[name]) for name in names]
        one = cut[0] if len(cut) == 1 else pl.concat_str(cut, separator="\x1f")
        return table.select(one.alias("level")).to_series()

    def _text(self, name: str, dtype: pl.DataType) -> pl.Expr:
        if name in self._edges:
            edges, number = self._edges[name], pl.col(name).cast(pl.Float64)
            number = pl.when(number.is_finite()).then(number)
            sides = ["-inf", *(np.format_float_positional(edge, trim="-") for edge in edges), "inf"]
            labels = [f"({low}, {high}]" for low, high in pairwise(sides)]
            level = number.bin_intervals(edges, labels=labels, right_closed=True) if edges else number
            return level.cast(pl.String)
        if isinstance(dtype, pl.List):
            return pl.col(name).cast(pl.List(pl.String))
        return pl.col(name).cast(pl.String)


def _flat(levels: pl.Series) -> pl.Series:
    return (levels.explode(empty_as_null=True) if levels.dtype.is_nested() else levels).drop_nulls()


def _is_vector(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Array) and dtype.inner.is_numeric()


def _has_levels(dtype: pl.DataType) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return inner in (pl.String, pl.Boolean) or isinstance(inner, pl.Enum | pl.Categorical)


def _spread(vectors: pl.Series) -> tuple[int, float]:
    """Width of the vectors, and the standard deviation of their finite numbers."""
    width = vectors.dtype.size if isinstance(vectors.dtype, pl.Array) else 0
    flat = vectors.arr.explode(empty_as_null=True).cast(pl.Float64)
    spread = flat.filter(flat.is_finite()).std()
    return width, spread if isinstance(spread, float) and spread > 0 else 1.0


def _edges(numbers: pl.Series) -> list[float]:
    known = numbers.cast(pl.Float64).drop_nulls().to_numpy()
    known = known[np.isfinite(known)]
    if not len(known):
        return []
    edges = np.unique(np.quantile(known, np.linspace(0, 1, N_BINS + 1)[1:-1], method="inverted_cdf"))
    return [float(edge) for edge in edges if edge < known.max()]


def _one_hot(levels: pl.Series, known: pl.Series) -> npt.NDArray[np.float32]:
    block = np.zeros((len(levels), len(known)), dtype=np.float32)
    long = pl.DataFrame({"row": np.arange(len(levels)), "level": levels})
    long = long.explode("level", empty_as_null=True) if levels.dtype.is_nested() else long
    found = long.join(pl.DataFrame({"level": known, "at": np.arange(len(known))}), on="level", how="inner")
    block[found["row"].to_numpy(), found["at"].to_numpy()] = 1.0
    return block


class Regression:
    """Linear regressions of many targets on blocks of columns, each pulled to zero as strongly as its evidence says.

    The pull of a block for a target is the target's noise over the mean square of the coefficients; both are found in
    turn (MacKay 1992). A block that says nothing is pulled to nothing, and costs the others nothing.

    Parameters
    ----------
    widths
        Columns of each block; they lie side by side in the design matrix.

    Attributes
    ----------
    coefficients
        (sum of widths, n_targets).
    """

    def __init__(self, widths: Sequence[int], n_targets: int) -> None:
        self.widths = np.array(widths, dtype=np.int64)
        self.pull = np.full((len(widths), n_targets), 50.0)
        self.coefficients = np.zeros((int(self.widths.sum()), n_targets))

    def fit(
        self,
        design: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float32],
        noise: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """Learn from a design matrix and its targets (n, n_targets) with noise variances (n_targets,).

        Returns what is predicted of them.
        """
        if not design.shape[1]:
            return np.zeros_like(targets)
        wide = design.astype(np.float64)
        gram, moments = wide.T @ wide, wide.T @ targets.astype(np.float64)
        solved = _pulled_as_one if np.count_nonzero(self.widths) == 1 else _pulled_by_blocks
        block = np.repeat(np.arange(len(self.widths)), self.widths)
        self.coefficients, variance = solved(gram, moments, self.pull[block])
        square = self.coefficients**2 + noise * variance
        for number, width in enumerate(self.widths):
            spread = square[block == number].sum(axis=0) / max(width, 1)
            self.pull[number] = np.clip(noise / np.maximum(spread, 1e-12), 1e-3, 1e9)
        return (wide @ self.coefficients).astype(np.float32)

    def of(self, design: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Predict the targets of the rows of a design matrix, each by itself: Float32 (n, n_targets)."""
        found = np.empty((len(design), self.coefficients.shape[1]), dtype=np.float32)
        for start in range(0, len(design), _ROWS):
            rows = design[start : start + _ROWS]
            found[start : start + _ROWS] = (rows[:, :, None] * self.coefficients).sum(axis=1)
        return found

    def turn(self, matrix: npt.NDArray[np.float64]) -> None:
        """Express the targets in other coordinates: ``matrix`` times each vector of targets."""
        self.coefficients = self.coefficients @ matrix.T


def _pulled_by_blocks(gram: Values, moments: Values, pull: Values) -> tuple[Values, Values]:
    """Solve for coefficients, and their variances over the noise, with a pull for each: all (width, n_targets)."""
    found = np.empty_like(moments), np.empty_like(moments)
    for target in range(moments.shape[1]):
        covariance = np.linalg.inv(gram + np.diag(pull[:, target]))
        found[0][:, target] = covariance @ moments[:, target]
        found[1][:, target] = covariance.diagonal()
    return found


def _pulled_as_one(gram: Values, moments: Values, pull: Values) -> tuple[Values, Values]:
    """Do what ``_pulled_by_blocks`` does with one pull a target: one decomposition for all targets."""
    values, axes = np.linalg.eigh(gram)
    left = 1 / (np.maximum(values, 0)[:, None] + pull)
    return axes @ (left * (axes.T @ moments)), axes**2 @ left
