"""Write the file of a competition from guesses: at most ``MOST_LINES`` lines, each guess on a line with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from competitions._begin.guess import Guess, instant_of
from competitions._begin.tables import MOST_LEVELS, Seen, Table, column_of, quoted
from competitions._begin.task import Task

WIDTH, MOST_LINES = 110, 40
GENRES = ("genres", "genre", "categories", "category", "class", "tags", "tag", "keywords")
SLOW = ("*_wide_*", "channel*", "doc2vec*", "elsa_*", "entities*", "multvae*", "streamed_*")
IMPORTS = (
    "from competitions import Clock, Competition, Metric, RawTables, SubmissionFormat, scan_file, schema_of"
)
BREAK = "\x1f"  # where a line may be broken, a space otherwise


@dataclass
class Written:
    """A table as it is written.

    ``types``: dataframely types by column, as text. ``casts``: expressions that read needs, as text. ``left_out``:
    columns that no schema can name.
    """

    types: dict[str, str]
    casts: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def adapter(name: str, found: Guess, task: Task) -> str:
    """Write the text; the longest lists of levels become plain texts, then columns are left out, until it is short."""
    genres = _genres(found)
    tables = {
        kind: _written(kind, table, found, genres)
        for kind, table in (("LOG", found.log), ("USERS", found.users), ("ITEMS", found.items))
        if table
    }
    while len(lines := list(_lines(name, found, task, tables, genres))) > MOST_LINES:
        if not _shorten(tables, found):
            break
    return "\n".join(lines) + "\n"


def _shorten(tables: dict[str, Written], found: Guess) -> bool:
    """Leave a list of words out; then make a text of the longest list of levels, or leave out what no guess names."""
    joined = [(kind, name) for kind, of in tables.items() for name in of.types if _joined(name) in of.casts]
    if joined:
        _leave_out(tables, *joined[-1])
        return True
    listed = [
        (len(dtype), kind, n)
        for kind, of in tables.items()
        for n, dtype in of.types.items()
        if _has_levels(dtype)
    ]
    if listed:
        _, kind, name = max(listed)
        is_list = _seen(kind, name, found).dtype == pl.List(pl.String)
        nullable = ["nullable=True"] if "nullable=True" in tables[kind].types[name] else []
        casts = [cast for cast in tables[kind].casts if f"[{quoted(name)}]" not in cast]
        tables[kind].casts = casts + ([_joined(name)] if is_list else [])
        tables[kind].types[name] = _call("String", nullable)
        return True
    needed = {found.user, found.item, found.source, *found.outcomes, *found.instants, "genres", "main_genre"}
    plain = [(kind, name) for kind, of in tables.items() for name in of.types if name not in needed]
    if not plain:
        return False
    _leave_out(tables, *plain[-1])
    return True


def _leave_out(tables: dict[str, Written], kind: str, name: str) -> None:
    own = column_of(name)
    tables[kind].casts = [cast for cast in tables[kind].casts if own not in cast]
    del tables[kind].types[name]
    tables[kind].left_out.append(name)


def _has_levels(dtype: str) -> bool:
    return "dy.Enum(" in dtype and "GENRES" not in dtype


def _old(kind: str, name: str, found: Guess) -> str:
    """Name a column as its file does."""
    return {new: old for old, new in found.renamed.get(kind.lower(), {}).items()}.get(name, name)


def _seen(kind: str, name: str, found: Guess) -> Seen:
    table = {"LOG": found.log, "USERS": found.users, "ITEMS": found.items}[kind]
    assert table is not None
    return table.columns[_old(kind, name, found)]


def _lines(
    name: str, found: Guess, task: Task, tables: dict[str, Written], genres: str | None
) -> Iterator[str]:
    yield f'"""{name}: a first adapter by `python -m competitions new`; every guess has its reason beside it."""'
    yield from ("", "from pathlib import Path", "", "import dataframely as dy", "import polars as pl", "")
    yield IMPORTS
    yield ""
    if genres and found.items:
        yield from _wrapped("GENRES = ", [_list(found.items.columns[genres].levels)], "  # fmt: skip")
    for kind, written in tables.items():
        types = [f"{quoted(column)}: {dtype}" for column, dtype in written.types.items()]
        left_out = _on_a_line(", ".join(written.left_out))
        note = f"  # left out: {left_out}" if left_out else ""
        end = "})  # fmt: skip" + (
            note if len(note) < 80 else f"  # {len(written.left_out)} columns left out"
        )
        yield from _wrapped(f"{kind} = schema_of({{", types, end)
    yield from ("", "")
    yield from _read(found, tables, genres)
    yield from ("", "")
    yield from _competition(name, found, task, tables, genres)


def _list(texts: Sequence[str]) -> str:
    """Write a list of texts that may be broken between any two."""
    return f"[{f',{BREAK}'.join(map(quoted, texts))}]"


def _genres(found: Guess) -> str | None:
    """Name the column of the items that lists their genres, whatever it is called."""
    columns = found.items.columns if found.items else {}
    listed = {
        n
        for n, seen in columns.items()
        if seen.levels and (seen.separator or seen.dtype == pl.List(pl.String))
    }
    return next((name for name in GENRES if name in listed), None)


def _written(kind: str, table: Table, found: Guess, genres: str | None) -> Written:
    written = Written({})
    names = found.renamed.get(kind.lower(), {})
    for name, seen in table.columns.items():
        new = names.get(name, name)
        if kind == "ITEMS" and name == genres:
            null = ", nullable=True" if seen.n_null else ""
            written.types |= {
                "genres": f"dy.List(dy.Enum(GENRES){null})",
                "main_genre": f"dy.Enum(GENRES{null})",
            }
            written.casts.insert(0, _genre_cast(new, seen))
            continue
        at = "" if new in (found.user, found.item) else instant_of(new, seen)
        dtype = _type(name, new, table, found, is_instant=bool(at))
        if not dtype:
            written.left_out.append(name)
            continue
        written.types[new] = dtype
        if at:
            written.casts.append(at)
        elif dtype.startswith("dy.List(dy.Enum"):
            split = f'.str.split("{seen.separator}")' if seen.separator else ""
            written.casts.append(f"{column_of(new)}{split}.cast({kind}.columns()[{quoted(new)}].dtype)")
        elif seen.dtype == pl.List(pl.String):
            written.casts.append(_joined(new))
    return written


def _joined(name: str) -> str:
    """Write what makes a text of a list of words."""
    return f'{column_of(name)}.list.join(" ")'


def _genre_cast(name: str, seen: Seen) -> str:
    split = f'.str.split("{seen.separator}")' if seen.separator else ""
    return f'{column_of(name)}{split}.cast(pl.List(pl.Enum(GENRES))).alias("genres")'


def _type(name: str, new: str, table: Table, found: Guess, *, is_instant: bool) -> str:
    """Write the dataframely type of a column; empty if a schema cannot have it, or nothing could read it."""
    log = found.log.columns
    seen = log[new] if new in (found.user, found.item) else table.columns[name]
    pairs = found.pairs.columns.get(name) if found.pairs and table is found.log else None
    is_nullable = bool(seen.n_null or (pairs and pairs.n_null)) and new not in (found.user, found.item)
    options = ["nullable=True"] if is_nullable else []
    if is_instant:
        return _call("Datetime", ['time_unit="us"', *options])
    if seen.is_flag:
        return _call("Bool", options)
    levels = sorted({*seen.levels, *(pairs.levels if pairs else ())})
    has_levels = 0 < len(levels) <= MOST_LEVELS and new not in (found.user, found.item, *found.outcomes)
    enum = _list(levels)
    dtype = seen.dtype
    if dtype == pl.String and not seen.separator:
        return _call("Enum", [enum, *options]) if has_levels else _call("String", options)
    if dtype == pl.String:
        return _call("List", [f"dy.Enum({enum})", *options]) if has_levels else _call("String", options)
    if dtype.is_integer() or dtype.is_float():
        return _call(str(dtype), options + (["allow_nan=True", "allow_inf=True"] if seen.has_nan else []))
    return _nested(seen, enum if has_levels else "", options)


def _nested(seen: Seen, enum: str, options: Sequence[str]) -> str:
    dtype = seen.dtype
    inner = getattr(dtype, "inner", None)
    if isinstance(dtype, pl.Array) and inner is not None and inner.is_numeric():
        return _call("Array", [f"dy.{inner}()", str(dtype.size), *options])
    if isinstance(dtype, pl.List) and inner is not None and inner.is_numeric():
        if inner.is_float() and seen.width > 1:
            return _call("Array", [f"dy.{inner}()", str(seen.width), *options])
        return _call("List", [f"dy.{inner}()", *options])
    if dtype == pl.List(pl.String):
        return _call("List", [f"dy.Enum({enum})", *options]) if enum else _call("String", options)
    return _call("Enum", [str(list(dtype.categories)), *options]) if isinstance(dtype, pl.Enum) else ""


def _call(kind: str, arguments: Iterable[str]) -> str:
    return f"dy.{kind}({', '.join(arguments)})"


def _read(found: Guess, tables: dict[str, Written], genres: str | None) -> Iterator[str]:
    """Write ``read``: the log's instants first, each with its reason, then a file a line."""
    yield "def read(folder: Path) -> RawTables:"
    if unread := [_on_a_line(text) for text in found.unread]:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        every, first = f"    # Not read: {', '.join(unread)}.", f"    # Not read: {unread[0]}{more}."
        yield next(
            (line for line in (every, first) if len(line) <= WIDTH), f"    # Not read: {len(unread)} tables."
        )
    own = {n: e for n, e in found.instants.items() if e in tables["LOG"].casts}
    for number, (name, expression) in enumerate(own.items()):
        at = f"    at{number or ''} = {expression}"
        yield _remarked(at, f"instant: {_example(found.log.columns[name])}")
    casts = {n: f"at{number or ''}" for number, n in enumerate(own)}
    others = [e for e in tables["LOG"].casts if e not in own.values()]
    yield from _scanned("log", found.log, {}, [*casts.values(), *others])
    arguments = ["log"]
    for kind, table in (("users", found.users), ("items", found.items)):
        if table:
            renamed, of_table = found.renamed[kind], tables[kind.upper()].casts
            if genres and kind == "items":
                yield _remarked(f"    genres = {of_table[0]}", "lists of few texts", "genres")
                of_table = ["genres", 'genres.list.first().alias("main_genre")', *of_table[1:]]
            if of_table or renamed or table.renamed or len(table.files) > 1:
                yield from _scanned(kind, table, renamed, of_table)
                arguments.append(f"{kind}={kind}")
            else:
                arguments.append(f"{kind}={_file(table)}")
    if found.pairs:
        of_pairs = [at for n, at in casts.items() if n in found.pairs.columns]
        shared = [e for e in others if any(column_of(n) in e for n in found.pairs.columns)]
        yield from _scanned("pairs", found.pairs, {}, [*of_pairs, *shared])
        arguments.append("pairs=pairs")
    if found.solution and "score" in found.solution.renamed:
        yield f"    truth = {_file(found.solution)}"
        arguments += ["solution=truth", 'oracle=truth.select("score")']
    elif found.solution:
        arguments += [f"solution={_file(found.solution)}"]
    returned = list(_wrapped("    return RawTables(", arguments, ")", indent=8))
    yield from returned if len(returned) == 1 else [*returned[:-1], f"{returned[-1]}  # fmt: skip"]


def _file(table: Table) -> str:
    return f"scan_file(folder / {quoted(str(table.files[0]))})"


def _files(name: str, table: Table) -> Iterator[str]:
    """Write the scan of several files, in their order: one by one, by a pattern, or by a list of their names.

    What comes last is the expression; before it there may be lines that it needs.
    """
    names = [str(file) for file in table.files]
    listed = f"pl.concat([{', '.join(f'scan_file(folder / {quoted(name)})' for name in names)}])"
    if len(listed) <= WIDTH - 20:
        yield listed
    elif matching := _matching(table):
        yield f"    {name}_files = {matching}"
        yield f"pl.concat([scan_file(file) for file in {name}_files])"
    else:
        *lines, last = _wrapped(f"    {name}_files = [", list(map(quoted, names)), "]", indent=8)
        yield from (*lines, f"{last}  # fmt: skip" if lines else last)
        yield f"pl.concat([scan_file(folder / file) for file in {name}_files])"


def _matching(table: Table) -> str:
    """Write the files of a table as what matches a pattern, sorted; empty if that gives others, or another order."""
    patterns = {re.sub(r"\d+", "*", str(file)) for file in table.files}
    pattern = next(iter(patterns))
    if len(patterns) > 1 or re.search(r"[\[\]?]|\*\*", pattern):
        return ""
    files, wanted = sorted(table.folder.glob(pattern)), [table.folder / file for file in table.files]
    found = f"folder.glob({quoted(pattern)})"
    if files == wanted:
        return f"sorted({found})"
    files.sort(key=lambda file: (len(str(file)), file))
    return f"sorted({found}, key=lambda file: (len(str(file)), file))" if files == wanted else ""


def _scanned(name: str, table: Table, renamed: dict[str, str], casts: Sequence[str]) -> Iterator[str]:
    *before, line = [_file(table)] if len(table.files) == 1 else _files(name, table)
    yield from before
    names_of = {**table.renamed, **renamed}
    if names_of:
        line += f".rename({_dict(names_of)})"
    whole = f"    {name} = {line}" + (f".with_columns({', '.join(casts)})" if casts else "")
    if len(whole) <= WIDTH:
        yield whole
        return
    yield f"    {name} = {line}"
    yield from _wrapped(f"    {name} = {name}.with_columns(", casts, ")  # fmt: skip", indent=8)


def _example(seen: Seen) -> str:
    return str(seen.sample[0]) if seen.sample else "nothing"


def _competition(
    name: str, found: Guess, task: Task, tables: dict[str, Written], genres: str | None
) -> Iterator[str]:
    yield f"{name.upper()} = Competition("
    facts = [
        f"name={quoted(name)}",
        f"title={quoted(name)}",
        'licence="not known"',
        "read=read",
        "interactions=LOG",
    ]
    facts += [f"{kind.lower()}={kind}" for kind in tables if kind != "LOG"]
    yield from _wrapped("    ", facts, ",", indent=4)
    source = found.source or ("main_genre" if genres else None)
    users, items = found.why[found.user], found.why[found.item]
    yield _remarked(
        f"    user={quoted(found.user)}, item={quoted(found.item)},", f"{users}, {items}", users, "guesses"
    )
    if source:
        yield _remarked(
            f"    source={quoted(source)},", found.why.get(source, "no author or brand: the first genre")
        )
    outcomes = ", ".join(map(quoted, found.outcomes)) + "," * (len(found.outcomes) == 1)
    yield _remarked(f"    outcomes=({outcomes}),", found.why[found.outcomes[0]].removeprefix("outcome: "))
    if task.reactions:
        yield _remarked(
            f"    reactions={_dict(task.reactions)},", "what features call them -> what they are here"
        )
    if task.derived:
        derived = ", ".join(f"{quoted(n)}: {expression}" for n, expression in task.derived.items())
        yield _remarked(f"    derived={{{derived}}},", task.derived_why, "thresholds")
    yield _remarked(f"    relevance={task.relevance},", task.relevance_why, "a guess")
    short = f" horizon={task.horizon}," if task.horizon == "1" else ""
    yield _remarked(f"    clock={task.clock},{short}", task.clock_why, task.clock_why.split(":")[0])
    windows = f" n_train_windows={task.n_train_windows}," if task.n_train_windows != 4 else ""
    if not short:
        yield _remarked(
            f"    horizon={task.horizon},{windows}", task.horizon_why, task.horizon_why.split(":")[0]
        )
    yield _remarked(f"    metric={task.metric},", task.metric_why, "a guess")
    columns = {found.user: found.user, found.item: found.item, "score": "score"}
    ordered = ", ordered=True" if task.is_ordered else ""
    whys = ("some pairs repeat: in their order",) if ordered else ("look at the rules", "a guess")
    yield _remarked(f"    submission=SubmissionFormat({_dict(columns)}{ordered}),", *whys)
    yield f"    leave_out=({', '.join(map(quoted, SLOW))}),  # slow"
    yield ")  # fmt: skip"


def _dict(values: dict[str, str]) -> str:
    return f"{{{', '.join(f'{quoted(key)}: {quoted(value)}' for key, value in values.items())}}}"


def _remarked(line: str, *whys: str) -> str:
    """Put the first reason that there is room for behind a line."""
    room = WIDTH - len(line) - 4
    lines = [_on_a_line(why) for why in whys]
    return next((f"{line}  # {why}" for why in lines if why and len(why) <= room), line)


def _on_a_line(text: str) -> str:
    """Keep what can be printed, on one line: names of files and columns may hold anything, and lines end comments."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _wrapped(start: str, items: Sequence[str], end: str, indent: int = 4) -> Iterator[str]:
    """Put items with commas between them on as few lines as hold them; a long item is broken where it may be."""
    line = start
    for number, item in enumerate(items):
        text = item + (end if number == len(items) - 1 else ",")
        gap = "" if line == start or line.isspace() else " "
        if len(line + gap + text) > WIDTH and line.strip() and line != start:
            yield line.rstrip()
            line, gap = " " * indent, ""
        for place, atom in enumerate(text.split(BREAK)):
            space = " " if place else gap
            if len(line + space + atom) > WIDTH and line.strip():
                yield line.rstrip()
                line, space = " " * indent, ""
            line += space + atom
    yield line if items else start + end
