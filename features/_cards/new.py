"""Write the file of a new feature: a name that is free, an example that runs here, nothing overwritten."""

from __future__ import annotations

import importlib
import json
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import polars as pl

import features
from features._catalogue import WINDOW_COLUMNS, Catalogue
from features._declare import FeatureError

Kind = Literal["aggregate", "per_pair", "table", "fitted"]
_WIDTH = 110  # of a line, as in pyproject.toml


def class_name(name: str) -> str:
    """Name the class of a ``@fitted`` feature.

    >>> class_name("fresh_likes")
    'FreshLikes'
    """
    return "".join(part.capitalize() for part in name.split("_"))


def aggregate_text(name: str, catalogue: Catalogue) -> str:
    """The mean of an outcome over the last rows of the user, the item and its source."""
    c = catalogue.dataset.competition
    keys = [key for key in (c.user, c.item, c.source) if key]
    outcome = _outcome(catalogue)
    value = f"log.{outcome}" if outcome.isidentifier() else f"log[{_quoted(outcome)}]"
    is_share = catalogue.dataset.history_schema[outcome] == pl.Boolean
    return f'''{_intro(name)}
from features import Aggregate, Log, aggregate, last_n, mean


@aggregate(keys=[{", ".join(map(_quoted, keys))}], lookbacks=[last_n(10), last_n(30)])
def {name}(log: Log) -> Aggregate:
    """{"Share" if is_share else "Mean"} of {outcome} in the key's last exposures; null if it has none."""
    return mean({value})
'''


def per_pair_text(name: str, catalogue: Catalogue) -> str:
    """The ratio of two features, or what the pairs themselves show."""
    if reads := _two_features(catalogue):
        above, below = reads
        meaning = f"Ratio of {above} to {below}; null if either is, or the second is 0."
        return _pair_feature(name, "@per_pair", [above, below], meaning, f"{above} / {below}")
    if number := _observed_number(catalogue):
        meaning = f"Logarithm of 1 + {number}; null if it is unknown or below 0."
        body = f"({number}.cast(pl.Float64) + 1.0).log()"
        return _pair_feature(name, "@per_pair", [number], meaning, body)
    c = catalogue.dataset.competition
    body = f"{c.item}.n_unique().over({c.user}).cast(pl.UInt32)"
    meaning = f"Number of distinct {c.item} among the user's pairs in the window; never null."
    return _pair_feature(name, '@per_pair(scope="user")', [c.user, c.item], meaning, body)


def table_text(name: str, catalogue: Catalogue) -> str:
    """How often the item comes up, from any Polars query over the history."""
    c = catalogue.dataset.competition
    item = _quoted(c.item)
    return f'''{_intro(name)}
import polars as pl

from features import Window, table


@table(key={item}, columns={{{_quoted(name)}: pl.Float32}}, needs=[{item}])
def {name}(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Mean distance between two exposures of {c.item}, in horizons; null below two exposures."""
    span = (pl.col("clock").max() - pl.col("clock").min()) / window.horizon
    column = (span / (pl.len() - 1)).cast(pl.Float32).alias({_quoted(name)})
    return history.group_by({item}).agg(column)
'''


def fitted_text(name: str, catalogue: Catalogue) -> str:
    """User mean plus item mean: fitted on the history once a window, then looked up for each pair."""
    c = catalogue.dataset.competition
    user, item = _quoted(c.user), _quoted(c.item)
    return f'''{_intro(name)}
import polars as pl

from features import Window, fitted

SHRINK = 10  # rows that pull a mean halfway to that of all rows


@fitted(columns={{{_quoted(name)}: pl.Float32}}, needs=[{user}, {item}, "relevance"])
class {class_name(name)}:
    """Mean relevance of the user's rows plus that of the item's, less that of all rows; null without any history."""

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Take the mean of all rows, and how far each user and each item is from it."""
        self.overall = history.select(pl.col("relevance").mean()).collect(engine="streaming").item()
        self.users = self._offsets(history, {user})
        self.items = self._offsets(history, {item})

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Add up what is known of each pair's user and item; one that was never seen adds nothing."""
        found = pairs.select("pair_id", {user}, {item})
        for key, offsets in (({user}, self.users), ({item}, self.items)):
            found = found.join(offsets, on=key, how="left", validate="m:1", maintain_order="left")
        value = pl.lit(self.overall, pl.Float64)
        for key in ({user}, {item}):
            value += pl.col(f"{{key}} offset").fill_null(0.0)
        return found.select("pair_id", value.cast(pl.Float32).alias({_quoted(name)}))

    def _offsets(self, history: pl.LazyFrame, key: str) -> pl.DataFrame:
        total = pl.col("relevance").cast(pl.Int64).sum()  # whole numbers: the same in any order of the rows
        offset = (total - pl.len() * pl.lit(self.overall, pl.Float64)) / (pl.len() + SHRINK)
        return history.group_by(key).agg(offset.alias(f"{{key}} offset")).collect(engine="streaming")
'''


BODIES: Mapping[Kind, Callable[[str, Catalogue], str]] = {
    "aggregate": aggregate_text,
    "per_pair": per_pair_text,
    "table": table_text,
    "fitted": fitted_text,
}


def _intro(name: str) -> str:
    words = name.replace("_", " ").capitalize()
    return f'"""{words}: say here what the features of this file have in common."""\n'


def _pair_feature(name: str, decorator: str, reads: Sequence[str], meaning: str, body: str) -> str:
    return f'''{_intro(name)}
import polars as pl

from features import per_pair


{decorator}
{_signature(name, reads)}
    """{meaning}"""
    return {body}
'''


def _signature(name: str, reads: Sequence[str]) -> str:
    """Write the first lines of a function of expressions, broken as the formatter would."""
    arguments = [f"{read}: pl.Expr" for read in reads]
    if len(line := f"def {name}({', '.join(arguments)}) -> pl.Expr:") <= _WIDTH:
        return line
    if len(line := f"    {', '.join(arguments)}") <= _WIDTH:
        return f"def {name}(\n{line}\n) -> pl.Expr:"
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f"def {name}(\n{lines}) -> pl.Expr:"


def _outcome(catalogue: Catalogue) -> str:
    """An outcome to learn from: ``like`` if there is one, another Boolean, or the target."""
    schema, roles = catalogue.dataset.history_schema, catalogue.dataset.competition.roles
    known = [n for n, role in roles.items() if role == "outcome" and schema.get(n) == pl.Boolean]
    return "like" if "like" in known else known[0] if known else "relevance"


def _two_features(catalogue: Catalogue) -> tuple[str, str] | None:
    """The same rate of the item and of the user, short and positive enough for a ratio; None if there is none."""
    c = catalogue.dataset.competition
    by_key: dict[str, dict[str, str]] = {}
    for column in catalogue.columns.values():
        if (
            column.dtype == pl.Float32
            and column.is_model_input
            and not column.lookback.text
            and len(column.key) == 1
        ):
            by_key.setdefault(column.declaration.name, {})[column.key[0]] = column.name
    both = {
        n: keys for n, keys in by_key.items() if {c.user, c.item} <= keys.keys() and c.user.isidentifier()
    }
    name = "like_rate" if "like_rate" in both else min(both, default=None)
    return (both[name][c.item], both[name][c.user]) if name else None


def _observed_number(catalogue: Catalogue) -> str | None:
    dataset = catalogue.dataset
    keys = {"pair_id", dataset.competition.user, dataset.competition.item, dataset.competition.source}
    numbers = [n for n, dtype in dataset.pair_schema.items() if dtype.is_numeric() and n not in keys]
    return next((n for n in numbers if n.isidentifier()), None)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


FOLDER = Path(__file__).parents[1]
LONGEST = 40  # keys and lookbacks are added to it
_TODO = "choose another name: python -m features list shows the taken ones"


def write_feature(name: str, kind: Kind, catalogue: Catalogue, folder: Path = FOLDER) -> Path:
    """Write ``NAME.py`` with an example of the kind over the competition's own columns; return its path.

    Raises FeatureError if the name cannot be a feature's and a file's, is taken, or the file exists.
    """
    check_name(name, kind, catalogue, folder)
    path = folder / f"{name}.py"
    text = BODIES[kind](name, catalogue)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise FeatureError(
            f"{path} exists already.", todo="choose another name, or edit that file"
        ) from error
    return path


def check_name(name: str, kind: Kind, catalogue: Catalogue, folder: Path = FOLDER) -> None:
    """Raise FeatureError unless the name can be that of a new feature and of its file."""
    if (
        not re.fullmatch(r"[a-z][a-z0-9_]*", name)
        or "__" in name
        or name.endswith("_")
        or keyword.iskeyword(name)
    ):
        raise FeatureError(
            f"{name!r} cannot be the name of a feature.",
            expected="a Python name in small letters, digits and single underscores that starts with a letter: "
            "fresh_likes",
        )
    if len(name) > LONGEST:
        raise FeatureError(f"{name!r} has {len(name)} characters.", expected=f"at most {LONGEST}")
    if taken := _taken_by(name, kind, catalogue, folder):
        raise FeatureError(f"The name {name!r} is taken: {taken}.", todo=_TODO)


def _taken_by(name: str, kind: Kind, catalogue: Catalogue, folder: Path) -> str:
    """Say what has the name; empty if nothing has."""
    dataset = catalogue.dataset
    declared = {c.declaration.name: str(c.declaration.place) for c in catalogue.columns.values()}
    own = class_name(name).lower() if kind == "fitted" else name
    columns = {*catalogue.columns, *catalogue.unavailable}
    taken = {*(column.partition("__")[0] for column in columns), *columns}
    if own in declared or name in declared:
        return f"a feature in features/{declared.get(own) or declared[name]}"
    if name in taken:
        return "a column of the catalogue, available here or not"
    if name in {*dataset.history_schema, *dataset.pair_schema, *WINDOW_COLUMNS, "window", "weight", "pl"}:
        return "a column that every feature may read"
    files = {path.stem.lower() for path in folder.iterdir()}
    if name in files:
        return f"the folder {folder.name} has a file of that name"
    # A file of this name would stand where the package's own name was: features/mean.py hides features.mean.
    if hasattr(features, name) or find_spec(name) is not None:
        return "a package, a module or a name of `features`"
    return ""


def import_feature(name: str) -> None:
    """Import the new file of the room, so that its features are in the registry."""
    importlib.invalidate_caches()
    try:
        importlib.import_module(f"features.{name}")
    except ImportError as error:
        raise FeatureError(f"features/{name}.py cannot be imported: {error}") from error


def next_steps(name: str) -> str:
    """Say what to do with a new feature."""
    steps = {
        f"python -m features card {name}": "its values, drift, own score, cost",
        f"python -m features audit '{name}*'": "the proof that it does not know the future",
        "make cv": "what it is worth to the models",
        "python -m features page": "docs/features.md, which `make check` holds to be current",
    }
    width = max(map(len, steps)) + 3
    return "\n".join(
        [f"edit features/{name}.py; then", *(f"  {step:{width}}{why}" for step, why in steps.items())]
    )
