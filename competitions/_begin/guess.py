"""Guess what the tables of a competition are, and what their columns are for; every guess has its reason in words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from competitions._begin.tables import Seen, Table, column_of, words_of
from engine import DataError

# Names that columns have in such files, the surest first.
USERS = (
    "user", "uid", "visitor", "viewer", "customer", "member", "reader", "listener", "player", "client", "account",
    "person", "profile", "session", "query",
)  # fmt: skip
ITEMS = (
    "item", "iid", "product", "sku", "article", "aid", "movie", "film", "book", "track", "song", "video", "clip",
    "hotel", "document", "doc", "post", "news", "game", "recipe", "restaurant", "business", "place", "ad", "offer",
    "impression", "creative", "asin", "isbn",
)  # fmt: skip
SOURCES = (
    "source", "author", "channel", "brand", "chain", "artist", "publisher", "seller", "vendor", "producer",
    "manufacturer", "maker", "creator", "director", "studio", "owner", "shop", "store", "advertiser",
)  # fmt: skip
KEY_WORDS = {"id", "idx", "key", "code", "no", "number", "hash", "token", "index"}
INSTANTS = {
    "time",
    "timestamp",
    "clock",
    "ts",
    "date",
    "datetime",
    "at",
    "when",
    "unix",
    "epoch",
    "ms",
    "created",
    "day",
}
# What features call a reaction -> names that it has elsewhere.
REACTIONS: Mapping[str, tuple[str, ...]] = {
    "like": ("like", "liked", "likes", "favorite", "favourite", "upvote", "thumb", "thumbs"),
    "dislike": ("dislike", "disliked", "dislikes", "hate", "hated", "downvote", "hide", "hidden"),
    "rating": ("rating", "stars", "score", "grade", "vote", "points"),
    "timespent": ("timespent", "watchtime", "dwell", "seconds", "playtime", "spent", "watched"),
}
POSITIVES = ("click", "clicked", "clicks", "clickout", "purchase", "purchased", "buy", "bought", "order", "ordered",
             "cart", "target", "label", "is_click")  # fmt: skip
OTHERS = ("share", "bookmark", "bookmarks", "review", "comment", "skip", "skipped", "follow", "event", "action",
          "conversion", "converted", "reply", "download", "install")  # fmt: skip
LOGS = {
    "train",
    "log",
    "inter",
    "interactions",
    "events",
    "clicks",
    "ratings",
    "feed",
    "impressions",
    "views",
    "reviews",
}
TESTS = {"test", "pairs", "next", "score", "predict", "candidates", "sample", "submission", "hidden"}
TRUTHS = {"solution", "truth", "answers", "answer", "labels", "groundtruth"}
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}
FIRST_SECOND, LAST_SECOND = 600_000_000, 2_200_000_000  # 1989 to 2039, as Unix seconds


@dataclass
class Guess:
    """What was found.

    Attributes
    ----------
    renamed
        Columns of users and items that need another name: table -> old -> new.
    instants
        Expressions, as text, that make an instant of a column.
    outcomes
        Columns of the log that are known only afterwards.
    why
        The reason for a column's role.
    unread
        The names of tables that nothing is made of.
    """

    log: Table
    user: str
    item: str
    users: Table | None = None
    items: Table | None = None
    pairs: Table | None = None
    solution: Table | None = None
    source: str | None = None
    outcomes: tuple[str, ...] = ()
    instants: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    @property
    def clock_column(self) -> str | None:
        """The log's instant; the one with the most values, if there are several."""
        own = [n for n in self.instants if n in self.log.columns and self.log.columns[n].n_unique > 1]
        return max(own, key=lambda name: self.log.columns[name].n_unique, default=None)


def guess(tables: Sequence[Table], user: str | None = None, item: str | None = None) -> Guess:
    """Tell tables apart, then columns.

    ``user``, ``item``: the keys where they are known. Raises DataError if the log has no rows, or no keys.
    """
    log = _log_of(tables)
    if not log.n_rows:
        raise DataError(f"{log.name}, taken for the log, has no rows.", expected="what users did, a row each")
    instants = dict(_instants(log))
    keys = _keys(log, tables, instants, user, item)
    found = Guess(log, *keys, instants=instants)
    _place_others(found, [table for table in tables if table is not log])
    used = [id(t) for t in (log, found.users, found.items, found.pairs, found.solution)]
    found.unread = tuple(table.name for table in tables if id(table) not in used)
    for name, what in ((found.user, "user"), (found.item, "item")):
        each = log.n_rows / max(1, log.columns[name].n_unique)
        found.why[name] = f"{log.columns[name].n_unique:,} {what}s with {each:.1f} rows each"
    for table in (found.users, found.items):
        for name, expression in _instants(table) if table else ():
            found.instants.setdefault(name, expression)
    _find_outcomes(found)
    found.source = _source(found)
    _rename(found)
    return found


def named_like(names: Iterable[str], words: Sequence[str], beside: Collection[str] = KEY_WORDS) -> str | None:
    """Name the column that the surest of these words names, with nothing but ``beside`` in its name.

    >>> named_like(["user_age", "userId"], ["user"])
    'userId'
    """
    ranked = []
    for at, name in enumerate(names):
        own = words_of(name) - set(beside)
        if len(own) == 1 and (word := next(iter(own))) in words:
            ranked.append((words.index(word), at, name))
    return min(ranked)[2] if ranked else None


def _log_of(tables: Sequence[Table]) -> Table:
    """Take the table with the keys of others that is called like a log, or is the longest."""

    def rank(table: Table) -> tuple[float, int]:
        others = [other for other in tables if other is not table]
        keys = sum(any(n in table.columns and other.is_unique(n) for n in other.columns) for other in others)
        words = table.words()
        named = bool(words & LOGS) - bool(words & (TESTS | TRUTHS))
        ids = sum(seen.is_id and not table.is_unique(name) for name, seen in table.columns.items())
        return (min(ids, 2) + keys / 2 + named, table.n_rows)

    return max(tables, key=rank)


def _keys(
    log: Table, tables: Sequence[Table], instants: Collection[str], user: str | None, item: str | None
) -> tuple[str, str]:
    for name in (user, item):
        if name is not None and name not in log.columns:
            raise DataError(
                f"{log.name} has no column {name!r}.", expected=f"one of {', '.join(log.columns)}"
            )
    able = {
        n: seen for n, seen in log.columns.items() if seen.is_id and n not in instants and not seen.n_null
    }
    # A key of another table is one here.
    of_others = [
        name
        for table in tables
        if table is not log
        for name in table.columns
        if name in able and table.is_unique(name) and table.n_rows > 1
    ]
    item = item or named_like(able, ITEMS) or next((n for n in of_others if n != user), None)
    user = user or named_like(able, USERS) or next((n for n in of_others if n != item), None)
    left = sorted(
        (n for n, seen in able.items() if n not in (user, item) and not log.is_unique(n) and not seen.levels),
        key=lambda n: -able[n].n_unique,
    )
    if user is None and left:
        user = left.pop(0)
    if item is None and left:
        item = left.pop(0)
    if user is None or item is None:
        raise DataError(
            f"{log.name}, taken for the log, has no columns that look like users and items: {', '.join(log.columns)}.",
            expected="two columns of ids: whole numbers or texts without nulls",
            todo="name them: --user COLUMN --item COLUMN",
        )
    return user, item


def _place_others(found: Guess, others: Sequence[Table]) -> None:
    """Say which of the other tables has attributes of users or items, pairs to score, or their solution."""
    with_keys = [t for t in others if {found.user, found.item} <= set(t.columns)]
    seen_of_pair = [
        t for t in with_keys if set(t.columns) < set(found.log.columns) and not t.words() & TRUTHS
    ]
    found.pairs = max(seen_of_pair, key=lambda t: (bool(t.words() & TESTS), len(t.columns)), default=None)
    if found.pairs is not None:
        hidden = set(found.log.columns) - set(found.pairs.columns)
        of_pairs = [
            t
            for t in with_keys
            if t is not found.pairs and t.n_rows == found.pairs.n_rows and hidden & set(t.columns)
        ]
        found.solution = next((t for t in of_pairs if _same_pairs(t, found)), None)
    for table in others:
        if table in with_keys:
            continue
        for kind, key in (("items", found.item), ("users", found.user)):
            if own := _key_in(table, key, found.log):
                best: Table | None = getattr(found, kind)
                if best is None or len(table.columns) > len(best.columns):
                    setattr(found, kind, table)
                    found.renamed[kind] = {} if own == key else {own: key}
                break


def _same_pairs(table: Table, found: Guess) -> bool:
    """Whether the rows of a table are the pairs, in their order."""
    assert found.pairs is not None
    mine, theirs = (
        t.scan().select(pl.col(found.user, found.item).cast(pl.String)).collect(engine="streaming")
        for t in (table, found.pairs)
    )
    return mine.equals(theirs)


def _key_in(table: Table, key: str, log: Table) -> str | None:
    """Name the column of a table that the key of the log is in: of its name, or an id with most of its values."""
    if key in table.columns:
        return key if table.is_unique(key) else None
    able = [
        n for n in table.columns if n not in log.columns and table.columns[n].is_id and table.is_unique(n)
    ]
    if len(able) != 1 or table.columns[able[0]].dtype != log.columns[key].dtype:
        return None
    known = table.scan().select(able[0]).collect(engine="streaming").to_series()
    own = log.scan().select(pl.col(key).unique()).collect(engine="streaming").to_series()
    return able[0] if own.is_in(known.implode()).mean() > 0.9 else None  # type: ignore[operator]


def _instants(table: Table) -> Iterable[tuple[str, str]]:
    for name, seen in table.columns.items():
        if expression := instant_of(name, seen):
            yield name, expression


def instant_of(name: str, seen: Seen) -> str:
    """Write the expression that makes an instant in microseconds of a column; empty if it is none."""
    column, dtype = column_of(name), seen.dtype
    if isinstance(dtype, pl.Datetime):
        naive = (
            column
            if dtype.time_zone is None
            else f'{column}.dt.convert_time_zone("UTC").dt.replace_time_zone(None)'
        )
        return f'{naive}.cast(pl.Datetime("us"))'
    if dtype == pl.Date:
        return f'{column}.cast(pl.Datetime("us"))'
    if dtype == pl.String and seen.share_iso == 1.0:
        return f'{column}.str.to_datetime(time_unit="us")'
    named = words_of(name) & INSTANTS
    if (
        named
        and dtype.is_numeric()
        and isinstance(seen.low, int | float)
        and isinstance(seen.high, int | float)
    ):
        for unit, per_second in UNITS.items():
            if seen.low / per_second >= FIRST_SECOND and seen.high / per_second <= LAST_SECOND:
                whole = column if dtype.is_integer() else f"{column}.cast(pl.Int64)"
                return f'pl.from_epoch({whole}, "{unit}").cast(pl.Datetime("us"))'
    return ""


def reaction_of(name: str) -> str | None:
    """What features call a column of this name; None if it is no reaction, "" if one that they have no name for.

    >>> reaction_of("hate"), reaction_of("is_clicked"), reaction_of("price")
    ('dislike', '', None)
    """
    own = words_of(name) - {"is", "has", "num", "n"}
    if name.lower() in REACTIONS or name.lower().replace("_", "") in REACTIONS:
        return name.lower().replace("_", "")
    for standard, names in REACTIONS.items():
        if own & set(names):
            return standard
    return "" if own & {*POSITIVES, *OTHERS} else None


def _find_outcomes(found: Guess) -> None:
    log = found.log
    for name in log.columns:
        if name in (found.user, found.item):
            continue
        if found.pairs is not None:
            if name not in found.pairs.columns:
                found.outcomes += (name,)
                found.why[name] = f"outcome: not in {found.pairs.name}"
        elif reaction_of(name) is not None and name not in found.instants:
            found.outcomes += (name,)
            found.why[name] = "outcome: by its name"
    if not found.outcomes:
        raise DataError(
            f"{log.name}, taken for the log, has no column that looks like a reaction: {', '.join(log.columns)}.",
            expected="a click, a like, a rating or the like; or a table of test pairs that lacks it",
            todo="rename the column in the file, or write the competition by hand: docs/adapters.md",
        )


def _source(found: Guess) -> str | None:
    """Name what stands behind an item: a column of the items, or one of the log that pairs have."""
    known = {*found.outcomes, *found.instants, found.user, found.item}
    for table in (found.items, found.log):
        able = [n for n in table.columns if n not in known and not table.is_unique(n)] if table else []
        if name := named_like([n for n in able if table and table.columns[n].dtype != pl.List], SOURCES):
            found.why[name] = "what stands behind an item: by its name"
            return name
    return None


def _rename(found: Guess) -> None:
    """Give columns of users and items that the log has too another name."""
    taken = {*found.log.columns}
    for kind, key in (("users", found.user), ("items", found.item)):
        table: Table | None = getattr(found, kind)
        names = found.renamed.setdefault(kind, {})
        for name in table.columns if table else ():
            if name in taken and names.get(name, name) != key:
                names[name] = f"{kind[:-1]}_{name}"
        taken |= {names.get(name, name) for name in (table.columns if table else ())}
