"""Compute columns for an audit: what fails is told of the feature that fails, the others are computed all the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from polars.exceptions import PolarsError

from features._catalogue import Catalogue
from features._compute import compute_windows
from features._declare import FeatureError
from validation import Window


@dataclass(frozen=True)
class Computed:
    """Values of columns in windows.

    ``frames``: ``pair_id`` and the columns that could be computed. ``errors``: the message of those that failed by
    themselves; what reads them is in neither.
    """

    frames: Mapping[Window, pl.DataFrame]
    errors: Mapping[str, str]

    def has(self, name: str) -> bool:
        """Tell whether the column was computed."""
        return all(name in frame.columns for frame in self.frames.values())


def computed(catalogue: Catalogue, names: Iterable[str], pairs: Mapping[Window, pl.DataFrame]) -> Computed:
    """Compute the columns and what they read for the pairs of windows."""
    wanted = catalogue.closure(names)
    errors: dict[str, str] = {}
    frames = _tried(catalogue, wanted, pairs)
    if isinstance(frames, str):
        _collect_errors(catalogue, _declarations(catalogue, wanted), pairs, errors)
        wanted = tuple(n for n in wanted if not errors.keys() & set(catalogue.closure([n])))
        frames = _tried(catalogue, wanted, pairs) if wanted else {}
        if isinstance(frames, str):
            raise FeatureError(
                f"These features cannot be computed together, though each can by itself: {frames}",
                todo="audit them by name, a few at a time",
            )
    empty = {window: frame.select("pair_id") for window, frame in pairs.items()}
    return Computed(frames or empty, errors)


def _tried(
    catalogue: Catalogue, names: Sequence[str], pairs: Mapping[Window, pl.DataFrame]
) -> dict[Window, pl.DataFrame] | str:
    try:
        return compute_windows(catalogue, names, pairs)
    except (FeatureError, PolarsError) as error:
        return str(error)


def _declarations(catalogue: Catalogue, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Columns of one declaration together, each after what it reads."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(catalogue.columns[name].declaration.name, []).append(name)
    return [tuple(members) for members in found.values()]


def _collect_errors(
    catalogue: Catalogue,
    declarations: Sequence[tuple[str, ...]],
    pairs: Mapping[Window, pl.DataFrame],
    errors: dict[str, str],
) -> None:
    """Halve the declarations until those that fail stand alone."""
    names = [n for members in declarations for n in members]
    reading = [n for n in names if not errors.keys() & set(catalogue.closure([n]))]
    if not reading:
        return
    message = _tried(catalogue, catalogue.closure(reading), pairs)
    if not isinstance(message, str):
        return
    if len(declarations) == 1:
        errors.update(dict.fromkeys(reading, message))
        return
    half = len(declarations) // 2
    for part in (declarations[:half], declarations[half:]):
        _collect_errors(catalogue, part, pairs, errors)
