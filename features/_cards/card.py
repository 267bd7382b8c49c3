"""What is measured of a feature column for its card: what its values look like, what it is worth, what it costs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions import Competition
from engine import Settings, Store, did_you_mean
from features._catalogue import Catalogue, FeatureColumn
from features._compute import (
    Drift,
    bin_edges,
    binned_shares,
    compute_features,
    drift_of,
    has_order,
    has_values,
    own_score,
    quantile_values,
    rank_correlation,
    stored_rows,
    stored_seconds,
)
from features._declare import FeatureError
from features._storage import column_recipes, open_features, read_column, read_pairs
from validation import Folds, SingleFeatureScore, Window, window_title

Array: TypeAlias = npt.NDArray[np.float64]

SHARES = {"min": 0.0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "max": 1.0}
N_BINS, N_CATEGORIES = 24, 15
OTHERS = "(all others)"  # no value that a competition has
N_FREQUENT, N_ARRAYS = 5, 3  # examples
N_NEAREST, N_SCREENED = 5, 12
EPSILON = 1e-9  # below it a product of variances is rounding
N_ROWS = 10_000  # compared with others, evenly spaced over the window's pairs
_SCHEMA = {"window": pl.String, "bin": pl.Int64, "share": pl.Float64}


@dataclass(frozen=True)
class Distribution:
    """Shares of the known values by window and bin.

    Attributes
    ----------
    shares
        ``window`` (its title), ``bin``, ``share``; empty for arrays and without any value.
    labels
        Name of each bin: a value, ``OTHERS``, or for numbers with many values the range of the bin.
    centres
        Middle of each bin, for numbers with many values; empty for dates and for bins of a value each.
    """

    shares: pl.DataFrame
    labels: tuple[str, ...]
    centres: tuple[float, ...] = ()

    def of(self, title: str) -> list[float]:
        """Shares of the bins in one window."""
        return self.shares.filter(pl.col("window") == title).sort("bin")["share"].to_list()


def distribution(rows: pl.DataFrame, titles: Mapping[int, str]) -> Distribution:
    """Spread the column ``value`` of rows with ``window`` (the cutoff) over bins.

    Numbers with more than ``N_BINS`` distinct values get bins of one width over the middle 98 %, the outermost taking
    the rest; other columns a bin a value, the ``N_CATEGORIES`` most frequent ones where there is no order.
    """
    known = rows.filter(pl.col("value").is_not_null()).select("window", "value")
    dtype = rows.schema["value"]
    if not has_values(dtype) or known.is_empty():
        return Distribution(pl.DataFrame(schema=_SCHEMA), ())
    if has_order(dtype) and known["value"].n_unique() > N_BINS:
        return _binned(known, titles)
    return _by_value(known, titles)


def _binned(known: pl.DataFrame, titles: Mapping[int, str]) -> Distribution:
    values = known["value"].to_physical().cast(pl.Float64)
    edges = bin_edges(values, N_BINS)
    numbers = known.with_columns(value=values)
    shares = [
        (title, number, share)
        for cutoff, title in titles.items()
        for number, share in enumerate(
            binned_shares(numbers.filter(pl.col("window") == cutoff)["value"], edges)
        )
    ]
    frame = pl.DataFrame(shares, schema=_SCHEMA, orient="row")
    if not edges:
        return Distribution(frame, (f"{values[0]:.4g}",))
    width = edges[1] - edges[0]
    labels = _ranges(edges, known.schema["value"])
    if known.schema["value"].is_temporal():
        return Distribution(frame, labels)
    return Distribution(frame, labels, tuple(edges[0] + width * (n - 0.5) for n in range(len(edges) + 1)))


def _ranges(edges: list[float], dtype: pl.DataType) -> tuple[str, ...]:
    texts = [f"{edge:.4g}" for edge in edges]
    if dtype.is_temporal():
        texts = [str(value) for value in pl.Series(edges).cast(pl.Int64).cast(dtype)]
    return (f"up to {texts[0]}", *(f"{low} to {high}" for low, high in pairwise(texts)), f"above {texts[-1]}")


def _by_value(known: pl.DataFrame, titles: Mapping[int, str]) -> Distribution:
    counts = known.group_by("value").len().sort("len", "value", descending=[True, False])
    shown = (
        counts["value"].head(N_BINS if has_order(known.schema["value"]) else N_CATEGORIES).sort().to_list()
    )
    others = (OTHERS,) if len(shown) < counts.height else ()
    rows = []
    for cutoff, title in titles.items():
        values = known.filter(pl.col("window") == cutoff)["value"]
        found = dict(values.value_counts().iter_rows())
        shares = [found.get(value, 0) / max(len(values), 1) for value in shown]
        shares += [max(0.0, 1.0 - sum(shares)) if len(values) else 0.0] * len(others)
        rows += [(title, number, share) for number, share in enumerate(shares)]
    return Distribution(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), (*map(str, shown), *others))


@dataclass(frozen=True)
class WindowProfile:
    """A column in one window.

    Attributes
    ----------
    name, title
        Of the window; what it serves as: ``train1``, ``fold2``, ``test``.
    null_share, n_distinct
        Share of null among the pairs; number of distinct known values (None for arrays).
    mean, std
        Of the known numbers (ddof 1); None for others.
    quantiles
        At ``SHARES``; empty without an order or a value.
    """

    name: str
    title: str
    n_pairs: int
    null_share: float
    n_distinct: int | None
    mean: float | None
    std: float | None
    quantiles: tuple[Any, ...]


@dataclass(frozen=True)
class Near:
    """A column and its rank correlation, in [-1, 1], on the pairs where both have a value."""

    name: str
    correlation: float


@dataclass(frozen=True)
class Card:
    """All that is known of a column without a model.

    Attributes
    ----------
    read_by
        Features that read it.
    windows, distribution
        Earliest window first, the test window last.
    score, fold_scores, chance
        Metric of the column alone over all eval windows, in the better direction; by fold in that direction (None
        where no group counts); of a constant. None and empty without an order, or for metrics of predictions.
    drift
        From the train windows of the final fold to the test window, as audits measure and judge it.
    seconds
        Cost over all windows when it was made last.
    nearest, n_compared, n_not_stored
        Columns that rank the pairs most alike; how many were compared; how many are not in the store.
    examples
        Pairs of the last eval window: user, item, ``value``, ``relevance``.
    """

    column: FeatureColumn
    read_by: tuple[str, ...]
    windows: tuple[WindowProfile, ...]
    distribution: Distribution
    score: SingleFeatureScore | None
    fold_scores: Mapping[str, float | None]
    chance: float | None
    drift: Drift
    seconds: float | None
    nearest: tuple[Near, ...]
    n_compared: int
    n_not_stored: int
    examples: pl.DataFrame


def card_columns(catalogue: Catalogue, name: str) -> tuple[str, ...]:
    """Name the columns of a feature function, or those that a name or pattern of columns matches.

    Raises FeatureError if there is none, with the reason or the nearest name.
    """
    found = [
        column.name
        for column in catalogue.columns.values()
        if any(
            fnmatchcase(known, name)
            for known in (column.name, column.declaration.name, column.declaration.body.__name__)
        )
    ]
    if found:
        return tuple(found)
    lacking = [n for n in catalogue.unavailable if fnmatchcase(n, name) or n.partition("__")[0] == name]
    if lacking:
        reason = catalogue.unavailable[lacking[0]].rstrip(".")
        end = "" if reason.endswith("?") else "."
        raise FeatureError(
            f"{lacking[0]!r} is not available here: it {reason}{end}", todo="python -m features list"
        )
    functions = {column.declaration.name for column in catalogue.columns.values()}
    near = did_you_mean(name, [*catalogue.columns, *sorted(functions)])
    raise FeatureError(f"There is no feature {name!r}.{near}", todo="python -m features list")


def card_file_name(name: str) -> str:
    """Name the HTML file of a card: letters, digits and underscores of the name, so that it stays in its folder.

    >>> card_file_name("like_rate__*"), card_file_name("../a/b")
    ('card_like_rate__-.html', 'card_-a-b.html')
    """
    return f"card_{re.sub(r'[^A-Za-z0-9_]+', '-', name)[:120]}.html"


def make_cards(
    catalogue: Catalogue, folds: Folds, names: Sequence[str], store: Store, settings: Settings
) -> list[Card]:
    """Compute what is missing in the store, and the card of each column."""
    compute_features(catalogue, folds.windows, names, store, settings)
    competition = catalogue.dataset.competition
    stored = open_features(catalogue, folds.windows, names, store)
    drifting = stored_rows(catalogue, (*folds.final.train, folds.final.eval), names, store)
    near, n_compared, n_not_stored = _nearest(catalogue, folds.folds[-1].eval, names, store)
    seconds = stored_seconds(catalogue, folds.windows, names, store)
    evals = pl.col("window").is_in([fold.eval.cutoff for fold in folds.folds])
    constant = stored.pairs.filter(evals).with_columns(value=pl.lit(0.0))
    chance = own_score(competition, constant, "value")
    cards = []
    for name in names:
        rows = stored.pairs.with_columns(stored.read(name).alias("value"))
        by_window = {w.cutoff: rows.filter(pl.col("window") == w.cutoff) for w in folds.windows}
        score = own_score(competition, rows.filter(evals), "value")
        cards.append(
            Card(
                column=catalogue.columns[name],
                read_by=tuple(c.name for c in catalogue.columns.values() if name in c.reads),
                windows=tuple(
                    _profile(by_window[w.cutoff]["value"], window_title(competition.clock, w), title)
                    for w, title in zip(folds.windows, window_titles(folds).values(), strict=True)
                ),
                distribution=distribution(rows, window_titles(folds)),
                score=score,
                fold_scores=_fold_scores(competition, by_window, folds, score) if score else {},
                chance=chance.value if score and chance else None,
                drift=drift_of(
                    drifting, name, competition.user, is_input=catalogue.columns[name].is_model_input
                ),
                seconds=seconds[name],
                nearest=near.get(name, ()),
                n_compared=n_compared,
                n_not_stored=n_not_stored,
                examples=_examples(by_window[folds.folds[-1].eval.cutoff], competition),
            )
        )
    return cards


def window_titles(folds: Folds) -> dict[int, str]:
    """What each window serves as, by its cutoff: train windows by number, eval windows by their fold, the test."""
    titles = {fold.eval.cutoff: fold.name for fold in folds.folds} | {folds.final.eval.cutoff: "test"}
    rest = [window.cutoff for window in folds.windows if window.cutoff not in titles]
    titles |= {cutoff: f"train{number}" for number, cutoff in enumerate(rest, 1)}
    return {window.cutoff: titles[window.cutoff] for window in folds.windows}


def _profile(values: pl.Series, name: str, title: str) -> WindowProfile:
    known = values.drop_nulls()
    is_number = known.dtype.is_numeric() or known.dtype == pl.Boolean
    numbers = known.cast(pl.Float64) if is_number else pl.Series([], dtype=pl.Float64)
    mean: Any = numbers.mean()
    std: Any = numbers.std()
    return WindowProfile(
        name=name,
        title=title,
        n_pairs=len(values),
        null_share=values.null_count() / max(len(values), 1),
        n_distinct=known.n_unique() if has_values(known.dtype) else None,
        mean=mean,
        std=std,
        quantiles=quantile_values(known, list(SHARES.values())),
    )


def _fold_scores(
    competition: Competition, by_window: Mapping[int, pl.DataFrame], folds: Folds, score: SingleFeatureScore
) -> dict[str, float | None]:
    found = {
        fold.name: own_score(competition, by_window[fold.eval.cutoff], "value", score.direction)
        for fold in folds.folds
    }
    return {name: one.value if one else None for name, one in found.items()}


def _examples(rows: pl.DataFrame, competition: Competition) -> pl.DataFrame:
    """Pairs at quantiles of the values, or with the most frequent ones; and one without a value."""
    shown = [competition.user, competition.item, "value", "relevance"]
    rows = rows.with_row_index("at")
    known = rows.filter(pl.col("value").is_not_null())
    unknown = rows.filter(pl.col("value").is_null()).head(1)
    if not has_values(rows.schema["value"]):
        return pl.concat([known.head(N_ARRAYS), unknown]).select(shown)
    if has_order(rows.schema["value"]) and known.height:
        known = known.sort("value", "at")
        places = [round(share * (known.height - 1)) for share in (0, 0.25, 0.5, 0.75, 1)]
        return pl.concat([known[sorted(set(places))], unknown]).select(shown)
    frequent = known.with_columns(n=pl.len().over("value")).sort("n", "at", descending=[True, False])
    first = frequent.unique("value", keep="first", maintain_order=True).head(N_FREQUENT).drop("n")
    return pl.concat([first, unknown]).select(shown)


def _nearest(
    catalogue: Catalogue, window: Window, names: Sequence[str], store: Store
) -> tuple[Mapping[str, tuple[Near, ...]], int, int]:
    """Compare columns with every stored column of the window that has an order.

    Returns the ``N_NEAREST`` by absolute rank correlation for each name (none for columns without an order), the number
    of columns that were compared, and the number of those that are not in the store.
    """
    height = read_pairs(catalogue, window, store).height
    step = max(height // N_ROWS, 1)
    ordered = [n for n, column in catalogue.columns.items() if has_order(column.dtype)]
    recipes = column_recipes(catalogue, window, ordered)
    stored = [n for n in ordered if store.find(recipes[n]) is not None]
    columns = {n: read_column(recipes[n], n, store, height).gather_every(step) for n in stored}
    return nearest_of(columns, [n for n in names if n in columns]), len(stored), len(ordered) - len(stored)


def nearest_of(columns: Mapping[str, pl.Series], names: Sequence[str]) -> dict[str, tuple[Near, ...]]:
    """Find the nearest of ``columns`` for each of ``names`` among them.

    All are screened by ranks over their own known rows, which needs one ranking a column; the best ones are then
    compared exactly, on the rows that both know.
    """
    others = list(columns)
    screened = _screened({name: columns[name] for name in names}, columns)
    found = {}
    for name, strengths in zip(names, screened, strict=True):
        best = [others[n] for n in np.argsort(-strengths, kind="stable") if others[n] != name][:N_SCREENED]
        pairs = [(other, rank_correlation(columns[name], columns[other])) for other in best]
        near = [Near(other, value) for other, value in pairs if value is not None]
        found[name] = tuple(sorted(near, key=lambda n: (-abs(n.correlation), n.name))[:N_NEAREST])
    return found


def _screened(own: Mapping[str, pl.Series], others: Mapping[str, pl.Series]) -> Array:
    """Absolute correlations (n_own, n_others) of ranks, each pair on its common rows; 0 where one is constant."""
    if not own:
        return np.zeros((0, len(others)))
    mine = [_ranks(column) for column in own.values()]
    x, known_x = np.stack([m[0] for m in mine]), np.stack([m[1] for m in mine])
    squares = x * x
    result = np.zeros((len(own), len(others)))
    for place, column in enumerate(others.values()):
        y, known_y = _ranks(column)
        n = np.maximum(known_x @ known_y, 1.0)
        sum_x, sum_y = x @ known_y, known_x @ y
        covariance = x @ y - sum_x * sum_y / n
        variance = (squares @ known_y - sum_x**2 / n) * (known_x @ (y * y) - sum_y**2 / n)
        np.divide(
            covariance, np.sqrt(np.maximum(variance, 0.0)), out=result[:, place], where=variance > EPSILON
        )
    return np.abs(result)


def _ranks(column: pl.Series) -> tuple[Array, Array]:
    """Ranks among the known rows, scaled to (0, 1], 0 where null; and 1.0 where known: (n_rows,) each."""
    ranks = column.to_physical().cast(pl.Float64).rank("average") / max(len(column), 1)
    return ranks.fill_null(0.0).to_numpy(), column.is_not_null().cast(pl.Float64).to_numpy()
