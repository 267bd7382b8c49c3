"""The one protocol of everything that ranks pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast, get_type_hints

import polars as pl
from pydantic import PydanticUserError, TypeAdapter

from competitions import Metric
from engine import ConfigError, FeatureSettings
from models._pair_frame import PairFrame, Scores
from models._start import vector_width

if TYPE_CHECKING:  # models are listed without it
    from features import Catalogue

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


@dataclass(frozen=True)
class FitContext:
    """What a fit may use beside the pairs.

    ``iterations``: None = find the count on an inner hold-out; a number = train so many on all rows (the final fit
    reuses what the folds found). ``scratch``: a folder on disk for what a fit would rather not hold in memory,
    None = there is none; ``scratch_from_bytes``: size from which on a matrix goes there. What is fitted does not
    depend on either. ``metric``: the competition's.
    """

    seed: int
    threads: int = 1
    iterations: int | None = None
    scratch: Path | None = None
    scratch_from_bytes: int = 2**28
    metric: Metric = field(default_factory=lambda: Metric("user_auc"))


@dataclass(frozen=True)
class FitReport:
    """What a fit tells about itself.

    ``stopped_by``: "converged", "hold-out", "iterations" or "time budget". ``importance``: share of each feature
    in the model, empty if the model has none. ``training_loss``: what the fit minimised, on the rows that it was
    fitted on, without penalties (None if it has no such number), and ``loss`` which loss that is; losses of one name
    are comparable. ``notes``: other numbers, which the report shows beside the fit.
    """

    iterations: int | None = None
    stopped_by: str = "converged"
    importance: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)
    training_loss: float | None = None
    loss: str = ""


class FittedRanker(Protocol):
    """A ranker after fit."""

    @property
    def report(self) -> FitReport:
        """What the fit tells about itself."""
        ...

    def predict(self, frame: PairFrame) -> Scores:
        """Score every pair: Float64 (n_pairs,), finite, in the order of ``frame.table``. Larger ranks higher."""
        ...

    def save(self, folder: Path) -> None:
        """Write native files (no pickle) into an existing empty folder. ``@saved_as_json`` writes small ones."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; predictions repeat exactly."""
        ...


class Ranker(Protocol):
    """A ranker before fit: a frozen dataclass of its parameters.

    A model file holds one class whose fields are its parameters and which says with ``@model("name")`` under what
    name ``config.toml`` knows it. It gets all features that the patterns select, unless it has ``needs``, the names of
    the columns that it reads: then it gets those and no others. Vectors that it reads beside what the patterns select
    it names in ``also_needs``; columns of arrays that it reads where the competition has them, in
    ``also_reads``, without the key that follows two underscores. One that reads only some of what the patterns select
    has ``selected(names, keys)``, which gives those of the names; ``keys`` are the names of user, item and source.
    """

    def fit(self, train: PairFrame, context: FitContext) -> FittedRanker:
        """Fit on pairs with labels. Never changes ``train``. Repeats exactly for the same context and rows.

        A model file annotates the very class that is returned: its ``load`` reads what its ``save`` wrote.
        """
        ...


def needed_columns(ranker: Ranker) -> tuple[str, ...]:
    """Feature columns that a model reads by name; empty: it gets all that the patterns select."""
    return tuple(getattr(ranker, "needs", ()))


def also_needed_columns(ranker: Ranker) -> tuple[str, ...]:
    """Columns of vectors that a model reads by name, beside those that the patterns select."""
    return tuple(getattr(ranker, "also_needs", ()))


def also_read_columns(ranker: Ranker) -> tuple[str, ...]:
    """Columns that a model reads where they are there, beside those that the patterns select: without their key."""
    return tuple(getattr(ranker, "also_reads", ()))


def selected_columns(ranker: Ranker, names: Sequence[str], keys: Sequence[str]) -> tuple[str, ...]:
    """Of the feature columns that the patterns select those that a model reads: all, unless it says which."""
    select = getattr(ranker, "selected", None)
    return tuple(names) if select is None else tuple(select(names, keys))


def columns_of(ranker: Ranker, catalogue: Catalogue, features: FeatureSettings) -> tuple[str, ...]:
    """Feature columns that a model gets: those that it needs by name, or else of those that the patterns select.

    Raises ConfigError for columns that are not there, and for one that should be vectors and is none.
    """
    needs, also = needed_columns(ranker), also_needed_columns(ranker)
    by_name = features.model_copy(update={"include": (), "exclude": ()})
    also_read = also_read_columns(ranker)
    reads = [
        name
        for name, column in catalogue.columns.items()
        if name.partition("__")[0] in also_read and isinstance(column.dtype, pl.Array)
    ]
    named = {*needs, *also, *reads}
    columns = catalogue.select(by_name if needs else features, needs=named)
    if not needs:
        c = catalogue.dataset.competition
        keys = [key for key in (c.user, c.item, c.source) if key]
        own = {*selected_columns(ranker, [n for n in columns if n not in named], keys), *named}
        columns = tuple(name for name in columns if name in own)
    for name in also:
        vector_width(name, catalogue.columns[name].dtype)
    return columns


class _Fits(Protocol[_T_co]):
    def fit(self, rows: Any, context: Any, /) -> _T_co: ...


def fitted_class(maker: _Fits[_T]) -> type[_T]:
    """Return the class that ``fit`` of a ranker or blender is annotated with.

    Raises ConfigError if it is annotated with none, or with a protocol.
    """
    fit = type(maker).fit
    try:
        found = get_type_hints(fit).get("return")
    except NameError as error:
        found = error
    saves = hasattr(found, "save") and hasattr(found, "load")
    if not isinstance(found, type) or getattr(found, "_is_protocol", False) or not saves:
        why = f" ({found})" if isinstance(found, NameError) else ""
        raise ConfigError(
            f"{fit.__module__}: {fit.__qualname__} does not say which class it returns{why}.",
            expected="a class with save and load, such as `def fit(self, train, context) -> FittedMine`",
        )
    return cast("type[_T]", found)


def saved_as_json(kind: type[_T]) -> type[_T]:
    """Give a frozen dataclass of plain values the methods ``save`` and ``load``: its fields as one JSON file."""

    def save(self: Any, folder: Path) -> None:
        write_json(folder / "fitted.json", self)

    def load(cls: type[_T], folder: Path) -> _T:
        return read_json(folder / "fitted.json", cls)

    for name, method in (("save", save), ("load", classmethod(load))):
        setattr(kind, name, method)
    return kind


def write_json(file: Path, value: Any) -> None:
    """Write a dataclass of plain values, or of such dataclasses. Raises ConfigError if one would not come back."""
    try:
        file.write_text(json.dumps(asdict(value), indent=1), encoding="utf-8")
        found = read_json(file, type(value))
        pairs = {f.name: (getattr(value, f.name), getattr(found, f.name)) for f in fields(value)}
        other = [f"{n} = {a!r} as {b!r}" for n, (a, b) in pairs.items() if not (a == b or repr(a) == repr(b))]
        other += [f"{n}, which is no field," for n in getattr(value, "__dict__", ()) if n not in dir(found)]
        why = f"it would give back {' and '.join(other)}" if other else ""
    except (TypeError, ValueError, PydanticUserError) as error:
        why = str(error)
    if why:
        raise ConfigError(
            f"{type(value).__qualname__} cannot be saved as JSON: {why}.",
            expected="a dataclass whose fields hold plain values of the annotated types: x: tuple[int, ...] = (1, 2)",
            todo="convert numpy's by .item() and .tolist(), or write save and load",
        )


def read_json(file: Path, kind: type[_T]) -> _T:
    """Read what ``write_json`` wrote of a dataclass of this kind."""
    return TypeAdapter(kind).validate_python(json.loads(file.read_text(encoding="utf-8")))
