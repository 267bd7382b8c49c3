"""The last window's columns by their keys, as Parquet files that any store loads: how features reach a server."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from competitions import Dataset
from engine import sync_folder
from features import Catalogue
from models import ranking
from stacking import Plan

Key = tuple[str, ...]
PAIRS = "pairs"  # file of what belongs to a user and an item together
INDEX = "index.json"
_ENOUGH = 100  # ids with several pairs from which on it is told that a column belongs to the id


def write_features(plan: Plan, names: Iterable[str], folder: Path) -> Path:
    """Write columns of the test window, each into the file of its key; the folder appears whole or not at all.

    ``KEY.parquet`` holds the key's columns, in whose order its rows are sorted, and one row for each key that the test
    pairs have: no others are computed. Attributes that are keys lie in the file of their user or item, too.
    ``index.json`` says of each file its keys and columns, which columns depend on the other pairs that are shown
    (``shown``) or on what is observed of the pair beside its ids (``observed``), and as of which cutoff all is.
    """
    frame = plan.reader.read([plan.folds.final.eval], plan.all_columns, labels=False)
    features = sorted({ranking.derived_parts(name)[0] for name in names} & set(plan.catalogue.columns))
    table = _keys(plan.dataset, frame.table.select("pair_id", *_ids(plan.dataset)))
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        found = _Files(plan.catalogue, table)
        for name in features:
            found.add(name, frame.column(name))
        facts = found.write(new)
        facts |= {"competition": plan.dataset.competition.name, "cutoff": plan.folds.final.eval.cutoff}
        (new / INDEX).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        new.chmod(0o755)
        sync_folder(new)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def _ids(dataset: Dataset) -> list[str]:
    c = dataset.competition
    return [name for name in (c.user, c.item) if name]


def _keys(dataset: Dataset, pairs: pl.DataFrame) -> pl.DataFrame:
    """Pairs with all that columns may be keyed by: ids, the source, attributes and what was observed."""
    shown = dataset.with_attributes(dataset.test_pairs)
    own = [name for name in shown.collect_schema() if name not in pairs.columns or name == "pair_id"]
    return pairs.join(
        shown.select(own).collect(), on="pair_id", how="left", validate="1:1", maintain_order="left"
    )


@dataclass
class _Files:
    """Columns by key. ``pairs``: the test pairs with all that may be a key."""

    catalogue: Catalogue
    pairs: pl.DataFrame

    def __post_init__(self) -> None:
        self.columns: dict[Key, list[pl.Series]] = {}

    def add(self, name: str, values: pl.Series) -> None:
        """Put a column, one value a pair, to its key."""
        key = next((k for k in self._candidates(name) if self._is_of(k, values)), self._pair)
        self.columns.setdefault(key, []).append(values.alias(name))

    def write(self, folder: Path) -> dict[str, object]:
        """Write one file a key; gives what the index says of them."""
        files: dict[str, object] = {}
        self._add_attributes()
        for key, columns in sorted(self.columns.items()):
            file = f"{PAIRS if key == self._pair else '_x_'.join(key) or 'all'}.parquet"
            table = pl.DataFrame([*self.pairs.select(key).get_columns(), *columns])
            table = table.unique(key, keep="first", maintain_order=True) if key else table.head(1)
            (table.sort(key) if key else table).write_parquet(folder / file)
            names = [column.name for column in columns]
            files[file] = {"keys": key, "columns": names, "n_rows": table.height}
        known = self.catalogue.columns
        every = [column.name for some in self.columns.values() for column in some]
        shown = [name for name in every if name in known and known[name].scope != "row"]
        observed = [name for name in every if name in known and self._is_observed(name)]
        return {"files": files, "shown": sorted(shown), "observed": sorted(observed)}

    def _add_attributes(self) -> None:
        """Put attributes that are keys, and the source, to their user or item: so that the keys can be looked up."""
        c = self.catalogue.dataset.competition
        needed = {part for key in self.columns for part in key} | ({c.source} if c.source else set())
        of_users, of_items = _attributes(self.catalogue.dataset)
        for id_column, attributes in ((c.user, of_users), (c.item, of_items)):
            for name in sorted(needed & attributes - {c.user, c.item}):
                self.columns.setdefault((id_column,), []).append(self.pairs[name])

    @property
    def _pair(self) -> Key:
        c = self.catalogue.dataset.competition
        return (c.user, c.item)

    def _candidates(self, name: str) -> Sequence[Key]:
        """Keys that a column may belong to, the smallest first: as it is declared, or as its values tell."""
        c = self.catalogue.dataset.competition
        if self.catalogue.columns[name].scope != "row":
            return ()
        declared = self._declared(name)
        if declared is not None:
            return () if self._is_observed(name) else (_least(declared, self.catalogue.dataset),)
        ids = [(c.user,), (c.item,), *([(c.source,), (c.user, c.source)] if c.source else [])]
        return [key for key in ids if self._has_evidence(key)]

    def _declared(self, name: str) -> frozenset[str] | None:
        """All that a column is keyed by, through what it reads; None if a body does not say."""
        column = self.catalogue.columns[name]
        if column.kind in ("fitted", "streamed"):
            return None
        parts = set(column.key) if column.kind != "per_pair" else set(column.columns)
        for other in column.reads if column.kind == "per_pair" else ():
            below = self._declared(other)
            if below is None:
                return None
            parts |= below
        return frozenset(parts)

    def _is_observed(self, name: str) -> bool:
        """Tell whether a column depends on what is observed of the pair itself, such as the instant."""
        of_users, of_items = _attributes(self.catalogue.dataset)
        return bool((self._declared(name) or frozenset()) - of_users - of_items)

    def _has_evidence(self, key: Key) -> bool:
        sizes = self.pairs.group_by(key).len()["len"]
        return int((sizes > 1).sum()) >= _ENOUGH

    def _is_of(self, key: Key, values: pl.Series) -> bool:
        """Tell whether all pairs of a key have one value."""
        if any(name not in self.pairs.columns for name in key):
            return False
        table = self.pairs.select(key).with_columns(values.alias("__value"))
        if not key:
            return values.n_unique() <= 1
        return table.n_unique() == table.n_unique(key)


def _attributes(dataset: Dataset) -> tuple[set[str], set[str]]:
    """Columns of users and of items."""
    return set(dataset.users.collect_schema().names()), set(dataset.items.collect_schema().names())


def _least(parts: frozenset[str], dataset: Dataset) -> Key:
    """Leave out attributes of a user or an item that is among the parts; the user comes first, then the item.

    In place of an attribute that is a list or an array, the user or item is a part.
    """
    c, schema = dataset.competition, dataset.pair_schema
    of_users, of_items = _attributes(dataset)
    nested = {part for part in parts if part in schema and schema[part].is_nested()}
    parts = parts - nested | {c.user if part in of_users else c.item for part in nested}
    implied = (of_users if c.user in parts else set()) | (of_items if c.item in parts else set())
    left = parts - (implied - {c.user, c.item})
    order: Mapping[str, int] = {c.user: 0, c.item: 1}
    return tuple(sorted(left, key=lambda part: (order.get(part, 2), part)))
