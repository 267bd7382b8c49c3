"""What the catalogue's page says of each feature function, over the competitions that come with the repository."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from competitions import get_competition, random_tables, take_in
from features._bind_history import declared_names
from features._bind_pairs import pair_name
from features._catalogue import Catalogue, bind_catalogue, dtype_name
from features._column import FeatureColumn, as_dtype
from features._registry import Declaration, Registry

SHIPPED = ("movielens", "vk2024")
_SCOPES = {
    "row": "",
    "user": "looks at the user's other pairs",
    "window": "looks at the window's other pairs",
}
_SIZE = {
    "n_users": 30,
    "n_items": 40,
    "n_rows": 600,
    "seed": 1,
}  # of the generated logs: only their schemas count


@dataclass(frozen=True)
class PageRow:
    """One feature function on the page.

    Attributes
    ----------
    meanings
        Name of the output and its meaning; one entry with an empty name where the docstring is of all columns.
    columns
        How the names of its columns are made: keys and lookbacks, outputs and variants, or what it is bound to.
    notes
        Dtypes, scope, whether models are offered it.
    available
        For each competition how many of its columns there are, of how many, and why not the others.
    """

    name: str
    kind: str
    meanings: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    available: Mapping[str, tuple[int, int, tuple[str, ...]]]


def shipped_catalogues(registry: Registry, folder: Path) -> dict[str, Catalogue]:
    """Bind the registry to a small generated log of each shipped competition; no data of theirs are read.

    ``folder`` is empty; the logs are written into it.
    """
    catalogues = {}
    for name in SHIPPED:
        competition = get_competition(name)
        (folder / name).mkdir()
        tables = random_tables(competition, **_SIZE)
        dataset = take_in(competition, tables, folder / name, fingerprint=f"generated {name}")
        catalogues[name] = bind_catalogue(dataset, registry)
    return catalogues


def page_row(declaration: Declaration, catalogues: Mapping[str, Catalogue]) -> PageRow:
    """Describe one feature function."""
    found = [
        column
        for catalogue in catalogues.values()
        for column in catalogue.columns.values()
        if column.declaration is declaration
    ]
    return PageRow(
        name=declaration.name,
        kind=declaration.kind,
        meanings=_meanings(declaration),
        columns=_columns(declaration),
        notes=_notes(declaration, found),
        available={name: _availability(declaration, catalogue) for name, catalogue in catalogues.items()},
    )


def all_names(declaration: Declaration) -> list[str]:
    """Names of all columns of a declaration, be they available or not."""
    if declaration.kind != "per_pair":
        return declared_names(declaration)
    return [pair_name(declaration, bound) for bound in declaration.options["each"] or ((),)]


def _availability(declaration: Declaration, catalogue: Catalogue) -> tuple[int, int, tuple[str, ...]]:
    names = all_names(declaration)
    reasons = [root_reason(catalogue.unavailable[name]) for name in names if name in catalogue.unavailable]
    return sum(name in catalogue.columns for name in names), len(names), tuple(dict.fromkeys(reasons))


def root_reason(reason: str) -> str:
    """Name what is lacking in the end, without the chain that leads there and without a guess at another name.

    >>> root_reason("needs 'a__b', which needs the column 'rating' in the log. Did you mean 'x'?")
    '`rating`'
    >>> root_reason("needs a time clock for the lookback '7d'; here it is 'row'")
    'a time clock for the lookback `7d`'
    """
    text = reason[reason.rfind("needs ") + len("needs ") :]
    column = re.match(
        r"(?:the (?:key )?column )?'([^']*)'(?: in the log|, which it lacks|, which is neither)", text
    )
    if column:
        return f"`{column[1]}`"
    return re.sub(
        r"'([^']*)'", r"`\1`", text.partition("; here")[0].partition(" Did you mean")[0].rstrip(".")
    )


def _meanings(declaration: Declaration) -> tuple[tuple[str, str], ...]:
    told: Mapping[str, str] = declaration.options.get("meanings") or {}
    if not told:
        return (("", declaration.meaning),)
    outputs = declaration.options["columns"]
    return tuple((output, told.get(output, declaration.meaning)) for output in outputs)


def _columns(declaration: Declaration) -> tuple[str, ...]:
    options = declaration.options
    match declaration.kind:
        case "aggregate":
            grid = options["grid"]
            keys = dict.fromkeys(" x ".join(key) or "everything" for key, _ in grid)
            lookbacks = dict.fromkeys(lookback.text or "all" for _, lookback in grid)
            return (
                f"by {_codes(keys)}",
                *([] if list(lookbacks) == ["all"] else [f"over {_codes(lookbacks)}"]),
            )
        case "per_pair":
            bound = [names[0] for names in options["each"]]
            return (f"of {_codes(bound)}",) if bound else (f"from {_codes(declaration.parameters)}",)
        case "table":
            return (f"by `{' x '.join(options['key'])}`", f"gives {_codes(options['columns'])}")
        case "fitted":
            variants = [v for v in options["variants"] if v]
            gives = f"gives {_codes(options['columns'])}"
            return (gives, f"for {_codes(variants)}") if variants else (gives,)


def _notes(declaration: Declaration, found: Sequence[FeatureColumn]) -> tuple[str, ...]:
    dtypes = [_plain(column.dtype) for column in found]
    if not found and declaration.kind in ("table", "fitted"):
        dtypes = [_plain(as_dtype(dtype)) for dtype in declaration.options["columns"].values()]
    scope = _SCOPES[declaration.options.get("scope", "row")]
    is_stone = not declaration.options.get("model_input", True)
    notes = [", ".join(dict.fromkeys(dtypes)), scope, "not offered to models" if is_stone else ""]
    return tuple(note for note in notes if note)


def _plain(dtype: pl.DataType) -> str:
    return "Enum" if isinstance(dtype, pl.Enum) else dtype_name(dtype)


def _codes(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names)
