"""docs/features.md: the catalogue with meanings, written from the registry and held to be current."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from competitions import get_competition, random_tables, take_in
from engine import write_atomically
from features._cards.facts import other_pairs
from features._catalogue import Catalogue, as_dtype, bind_catalogue, dtype_name
from features._declare import Column, Declaration, FeatureError, Registry

Catalogues = Mapping[str, Catalogue]

SHIPPED = ("movielens", "vk2024")
PAGE = Path(__file__).parents[2] / "docs" / "features.md"
COMMAND = "python -m features page"
_SIZE = {
    "n_users": 30,
    "n_items": 40,
    "n_rows": 600,
    "seed": 1,
}  # of generated logs: only their schemas count


def page_text(registry: Registry) -> str:
    """Write the whole page: the same text for the same registry, on any machine and without any data."""
    with TemporaryDirectory() as folder:
        catalogues = {name: _shipped_catalogue(name, registry, Path(folder) / name) for name in SHIPPED}
    families: dict[Path, list[Declaration]] = {}
    for declaration in sorted(
        registry.declarations.values(), key=lambda d: (d.place.file.stem, d.place.line, d.name)
    ):
        families.setdefault(declaration.place.file, []).append(declaration)
    sections = [line for file, own in families.items() for line in _section(file, own, catalogues)]
    return "\n".join([*_head(families, catalogues), *sections]) + "\n"


def write_page(text: str, path: Path = PAGE) -> bool:
    """Write the page; tell whether it changed."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_atomically(path, text)
    return True


def check_page(text: str, path: Path = PAGE) -> None:
    """Raise FeatureError if the page is not this text, with the first lines that differ."""
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    if found == text:
        return
    lines = unified_diff(found.splitlines(), text.splitlines(), lineterm="", n=0)
    differing = [line[:110] for line in lines if not line.startswith(("---", "+++"))]
    shown = "\n".join(differing[1:5])
    raise FeatureError(
        f"docs/{path.name} is not what the feature files say now:\n{shown}",
        expected="the page as it is generated from the registry",
        todo=f"run {COMMAND}, and commit docs/{path.name}",
    )


def _shipped_catalogue(name: str, registry: Registry, folder: Path) -> Catalogue:
    """Bind the registry to a small generated log of a shipped competition; no data of theirs are read."""
    competition = get_competition(name)
    folder.mkdir()
    dataset = take_in(
        competition, random_tables(competition, **_SIZE), folder, fingerprint=f"generated {name}"
    )
    return bind_catalogue(dataset, registry)


def _head(families: Mapping[Path, Sequence[Declaration]], catalogues: Catalogues) -> list[str]:
    rows = [[f"[{file.stem}](#{file.stem})", *_counts(own, catalogues)] for file, own in families.items()]
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
        *_table(
            ["family", *catalogues], [*rows, ["**all**", *(f"**{n}**" for n in _counts(every, catalogues))]]
        ),
    ]


def _counts(own: Sequence[Declaration], catalogues: Catalogues) -> list[str]:
    of = {id(declaration) for declaration in own}
    return [str(sum(id(c.declaration) in of for c in cat.columns.values())) for cat in catalogues.values()]


def _section(file: Path, own: Sequence[Declaration], catalogues: Catalogues) -> list[str]:
    """The docstring of a file, from its source (a registry may hold features of files that are gone), and its rows."""
    intro = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    rows = [_row(declaration, catalogues) for declaration in own]
    table = _table(["feature", "meaning", "columns", "kind", *catalogues], rows)
    return ["", f"## {file.stem}", "", *map(escaped, intro.splitlines()), "", *table]


def _row(declaration: Declaration, catalogues: Catalogues) -> list[str]:
    """Describe one feature function: name, meanings, names of its columns, kind and notes, where it is available."""
    said: Mapping[str, Column] = declaration.options.get("columns", {})
    meanings = [escaped(declaration.meaning)]
    if any(column.meaning for column in said.values()):
        meanings = [f"`{n}`: {escaped(column.meaning or declaration.meaning)}" for n, column in said.items()]
    return [
        f"`{declaration.name}`",
        "<br>".join(meanings),
        "<br>".join(_columns(declaration)),
        "<br>".join([f"@{declaration.kind}", *_notes(declaration, catalogues)]),
        *(_available(declaration, catalogue) for catalogue in catalogues.values()),
    ]


def _columns(declaration: Declaration) -> list[str]:
    """How the names of its columns are made: keys and lookbacks, outputs and variants, or what it is bound to."""
    options = declaration.options
    match declaration.kind:
        case "aggregate":
            keys = (" x ".join(key) or "everything" for key, _ in options["grid"])
            lookbacks = dict.fromkeys(lookback.text or "all" for _, lookback in options["grid"])
            over = [] if list(lookbacks) == ["all"] else [f"over {_codes(lookbacks)}"]
            return [f"by {_codes(dict.fromkeys(keys))}", *over]
        case "per_pair":
            if callable(options["each"]):
                return ["of each such column of the competition"]
            bound = [names[0] for names in options["each"]]
            return [f"of {_codes(bound)}"] if bound else [f"from {_codes(declaration.parameters)}"]
        case "table":
            return [f"by `{' x '.join(options['key'])}`", f"gives {_codes(options['columns'])}"]
        case "fitted" | "streamed":
            variants = [v for v in options["variants"] if v]
            return [f"gives {_codes(options['columns'])}", *([f"for {_codes(variants)}"] if variants else [])]


def _notes(declaration: Declaration, catalogues: Catalogues) -> list[str]:
    """Dtypes, scope, whether models are offered it."""
    options = declaration.options
    columns = [column for catalogue in catalogues.values() for column in catalogue.columns.values()]
    dtypes = [column.dtype for column in columns if column.declaration is declaration]
    if not dtypes and declaration.kind in ("table", "fitted", "streamed"):
        said = [column.dtype for column in options["columns"].values()]
        dtypes = [as_dtype(dtype) for dtype in said if isinstance(dtype, pl.DataType | type)]
    names = ("Enum" if isinstance(dtype, pl.Enum) else dtype_name(dtype) for dtype in dtypes)
    others = other_pairs(options.get("scope", "row"))
    notes = [
        ", ".join(dict.fromkeys(names)),
        f"looks at {others}" if others else "",
        *(f"shows {word}" for word in ("ids", "time") if options.get(f"uses_{word}")),
        f"steps of {options['step']:,} rows" if declaration.kind == "streamed" else "",
        "" if options.get("model_input", True) else "not offered to models",
    ]
    return [note for note in notes if note]


def _available(declaration: Declaration, catalogue: Catalogue) -> str:
    """How many of its columns a competition has, of how many, and what the others would need."""
    if callable(declaration.options.get("each")):
        return str(sum(column.declaration is declaration for column in catalogue.columns.values()))
    names, reasons = declaration.names, catalogue.unavailable
    needed = dict.fromkeys(root_reason(reasons[name]) for name in names if name in reasons)
    n_found = sum(name in catalogue.columns for name in names)
    return f"{n_found} of {len(names)}: needs {escaped(', '.join(needed))}" if needed else str(n_found)


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


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


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
