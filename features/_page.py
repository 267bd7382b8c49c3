"""docs/features.md: the catalogue with meanings, written from the registry and held to be current."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory

from engine import write_atomically
from features._catalogue import Catalogue
from features._errors import FeatureError
from features._page_rows import PageRow, page_row, shipped_catalogues
from features._registry import Declaration, Registry

PAGE = Path(__file__).parent.parent / "docs" / "features.md"
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
