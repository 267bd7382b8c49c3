"""docs/features.md: the catalogue with meanings, written from the registry and held to be current."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from competitions import get_competition, random_tables, take_in
from engine import write_atomically
from features._catalogue import (
    Catalogue,
    FeatureColumn,
    as_dtype,
    bind_catalogue,
    dtype_name,
)
from features._declare import Column, Declaration, FeatureError, Registry

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


def _availability(declaration: Declaration, catalogue: Catalogue) -> tuple[int, int, tuple[str, ...]]:
    names = declaration.names
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
    columns: Mapping[str, Column] = declaration.options.get("columns", {})
    if not any(said.meaning for said in columns.values()):
        return (("", declaration.meaning),)
    return tuple((output, said.meaning or declaration.meaning) for output, said in columns.items())


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
        dtypes = [_plain(as_dtype(said.dtype)) for said in declaration.options["columns"].values()]
    scope = _SCOPES[declaration.options.get("scope", "row")]
    is_stone = not declaration.options.get("model_input", True)
    notes = [", ".join(dict.fromkeys(dtypes)), scope, "not offered to models" if is_stone else ""]
    return tuple(note for note in notes if note)


def _plain(dtype: pl.DataType) -> str:
    return "Enum" if isinstance(dtype, pl.Enum) else dtype_name(dtype)


def _codes(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


PAGE = Path(__file__).parents[2] / "docs" / "features.md"
COMMAND = "python -m features page"


def page_text(registry: Registry) -> str:
    """Write the whole page: the same text for the same registry, on any machine and without any data."""
    with TemporaryDirectory() as folder:
        catalogues = shipped_catalogues(registry, Path(folder))
    families: dict[Path, list[Declaration]] = {}
    for declaration in sorted(
        registry.declarations.values(), key=lambda d: (d.place.file.stem, d.place.line)
    ):
        families.setdefault(declaration.place.file, []).append(declaration)
    sections = [_section(file, own, catalogues) for file, own in families.items()]
    return (
        "\n".join([*_head(families, catalogues), *(line for section in sections for line in section)]) + "\n"
    )


def write_page(registry: Registry, path: Path = PAGE) -> bool:
    """Write the page; tell whether it changed."""
    text = page_text(registry)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_atomically(path, text)
    return True


def check_page(registry: Registry, path: Path = PAGE) -> None:
    """Raise FeatureError if the page is not what the registry gives, with the first lines that differ."""
    found = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    wanted = page_text(registry).splitlines()
    if found == wanted:
        return
    lines = [
        line for line in unified_diff(found, wanted, lineterm="", n=0) if not line.startswith(("---", "+++"))
    ]
    shown = "\n".join(line[:110] for line in lines[1:5])
    raise FeatureError(
        f"docs/{path.name} is not what the feature files say now:\n{shown}",
        expected="the page as it is generated from the registry",
        todo=f"run {COMMAND}, and commit docs/{path.name}",
    )


def _head(families: Mapping[Path, Sequence[Declaration]], catalogues: Mapping[str, Catalogue]) -> list[str]:
    names = list(catalogues)
    rows = [[f"[{file.stem}](#{file.stem})", *(_counts(own, catalogues))] for file, own in families.items()]
    every = [d for own in families.values() for d in own]
    return [
        "# The feature catalogue",
        "",
        f"Written by `{COMMAND}` from the files in `features/`; `make check` holds it to be current. Edit the",
        "docstrings there, not this page. `python -m features list` shows the columns of the competition at hand,",
        "`python -m features card NAME` what one is worth, `python -m features new NAME` begins another.",
        "",
        "A feature function gives one column for each key and lookback, output and variant, or bound name. A lookback",
        "is a number of horizons (`h2`), of the key's last rows (`last20`), a time (`7d`), or `all` of the history.",
        "The last two columns say how many of its columns each competition has, and what the others would need.",
        "",
        "Columns by family, those that models are not offered included:",
        "",
        *_table(["family", *names], [*rows, ["**all**", *(f"**{n}**" for n in _counts(every, catalogues))]]),
    ]


def _counts(own: Sequence[Declaration], catalogues: Mapping[str, Catalogue]) -> list[str]:
    of = {id(declaration) for declaration in own}
    return [str(sum(id(c.declaration) in of for c in cat.columns.values())) for cat in catalogues.values()]


def _section(file: Path, own: Sequence[Declaration], catalogues: Mapping[str, Catalogue]) -> list[str]:
    rows = [_cells(page_row(declaration, catalogues)) for declaration in own]
    return [
        "",
        f"## {file.stem}",
        "",
        *_intro(file),
        "",
        *_table(["feature", "meaning", "columns", "kind", *catalogues], rows),
    ]


def _intro(file: Path) -> list[str]:
    """The docstring of the file, from its source: a registry may hold features of files that are gone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [escaped(line) for line in (ast.get_docstring(tree) or "").splitlines()]


def _cells(row: PageRow) -> list[str]:
    meanings = [f"`{output}`: {escaped(text)}" if output else escaped(text) for output, text in row.meanings]
    return [
        f"`{row.name}`",
        "<br>".join(meanings),
        "<br>".join(row.columns),
        "<br>".join([f"@{row.kind}", *row.notes]),
        *(_available(*found) for found in row.available.values()),
    ]


def _available(n_found: int, n_all: int, reasons: Sequence[str]) -> str:
    if not reasons:
        return str(n_found)
    return f"{n_found} of {n_all}: needs {escaped(', '.join(reasons))}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def escaped(text: str) -> str:
    r"""Write text of a docstring as Markdown: what is in backticks is code, the rest means nothing but itself.

    >>> escaped("Share of ``n_likes`` in <all> | *rows*.")
    'Share of `n_likes` in &lt;all> \\| \\*rows\\*.'
    """
    parts = text.replace("``", "`").split("`")
    if len(parts) % 2 == 0:  # a backtick without its other half is a character
        parts[-2:] = [f"{parts[-2]}\\`{parts[-1]}"]
    plain = [re.sub(r"([\\*_|\[])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    codes = [f"`{part.replace('|', chr(92) + '|')}`" for part in parts[1::2]]
    return "".join(text for pair in zip(plain, [*codes, ""], strict=True) for text in pair)
