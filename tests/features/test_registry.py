"""Names, meanings and the order of features; no two have one name."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from competitions import Dataset
from features import (
    Aggregate,
    FeatureError,
    Log,
    Registry,
    aggregate,
    bind_catalogue,
    count,
    last_n,
    per_pair,
)
from tests.features.planting import (
    one_aggregate,
    one_table,
)

HERE = Path(__file__).name


def module_from(file: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a feature file that registers into ``registry``."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.registry = registry  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, file.stem, module)
    spec.loader.exec_module(module)
    return module


FEATURE_FILE = '''
from features import aggregate, count

@aggregate(keys=["user_id"], registry=registry)
def n_seen(log):
    """Number of rows."""
    return count()
'''


def test_two_features_of_one_name_are_refused_naming_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    for stem in ("first_family", "second_family"):
        (tmp_path / f"{stem}.py").write_text(FEATURE_FILE, encoding="utf-8")
    module_from(tmp_path / "first_family.py", registry, monkeypatch)
    with pytest.raises(FeatureError, match="n_seen") as refused:
        module_from(tmp_path / "second_family.py", registry, monkeypatch)
    assert "first_family.py:4" in str(refused.value)
    assert "second_family.py:4" in str(refused.value)


def test_two_features_that_give_one_column_are_refused(timed: Dataset) -> None:
    registry = one_table(lambda history: history, {"planted_x": pl.UInt32})

    @per_pair(each=["user_id"], registry=registry)
    def planted_x(column: pl.Expr) -> pl.Expr:
        """Gives planted_x__user_id, as the table does."""
        return column

    with pytest.raises(FeatureError, match="Two features give the column 'planted_x__user_id'") as refused:
        bind_catalogue(timed, registry)
    assert HERE in str(refused.value)
    assert "planting.py" in str(refused.value)


def test_two_bindings_of_one_name_are_refused() -> None:
    def ratio(above: pl.Expr, below: pl.Expr) -> pl.Expr:
        """Planted by a test."""
        return above / below

    with pytest.raises(FeatureError, match="columns ratio__age, ratio__age") as caught:
        per_pair(each=[("age", "user_id"), ("age", "item_id")], registry=Registry())(ratio)
    assert "named twice" in caught.value.expected


@pytest.mark.parametrize("name", ["age", "stars", "clock", "pair_id", "relevance", "cutoff", "window"])
def test_a_feature_named_as_a_column_is_not_available_or_refused(timed: Dataset, name: str) -> None:
    registry = Registry()

    def body(user_id: pl.Expr) -> pl.Expr:
        """Planted by a test."""
        return user_id

    body.__name__ = name
    per_pair(registry=registry)(body)
    if name in ("age", "stars"):
        assert "a column of the competition has" in bind_catalogue(timed, registry).unavailable[name]
        return
    with pytest.raises(FeatureError, match=f"'{name}'.*has the name of a column that Samewise needs"):
        bind_catalogue(timed, registry)


def test_a_feature_without_docstring_is_refused() -> None:
    with pytest.raises(FeatureError, match=f"'silent' \\({HERE}:[0-9]+\\) has no docstring"):

        @per_pair(registry=Registry())
        def silent(age: pl.Expr) -> pl.Expr:
            return age


def test_the_meaning_is_the_first_line_of_the_docstring(timed: Dataset) -> None:
    registry = Registry()

    @aggregate(keys=["user_id"], registry=registry)
    def n_seen(log: Log) -> Aggregate:
        """Number of plays; 0 if none.

        More of it.
        """
        return count()

    column = bind_catalogue(timed, registry).columns["n_seen__user_id"]
    assert (column.meaning, column.kind, column.family) == (
        "Number of plays; 0 if none.",
        "aggregate",
        Path(HERE).stem,
    )


def test_columns_are_named_by_feature_key_and_lookback(timed: Dataset) -> None:
    registry = one_aggregate(
        lambda log: count(), ["user_id", ("user_id", "kind"), ()], lookbacks=["2h", last_n(5), None]
    )
    assert list(bind_catalogue(timed, registry).columns) == [
        f"planted__{key}{lookback}"
        for key in ("user_id", "user_id_x_kind", "everything")
        for lookback in ("__2h", "__last5", "")
    ]


ORDER_SCRIPT = """
import sys
from pathlib import Path
from competitions import get_competition, random_tables, take_in
from features import bind_catalogue, feature_keys, load_registry, per_pair
from validation import Window
competition = get_competition("movielens")
tables = random_tables(competition, n_users=20, n_items=20, n_rows=300, seed=1)
registry = load_registry()

@per_pair(registry=registry)
def zoo(lion, tiger, bear, wolf):
    "Declared before what it reads."
    return lion + tiger + bear + wolf

def animal(name):
    def body(age):
        "One of many."
        return age
    body.__name__ = name
    per_pair(registry=registry)(body)

for name in ("lion", "tiger", "bear", "wolf"):
    animal(name)
dataset = take_in(competition, tables, Path(sys.argv[1]), fingerprint="x")
catalogue = bind_catalogue(dataset, registry)
print(list(catalogue.columns), feature_keys(catalogue, [Window(7, 7, 8)], catalogue.columns))
"""


def test_columns_have_the_same_order_and_keys_in_every_process(tmp_path: Path) -> None:
    """Python hashes texts differently in each process. Models see columns in the catalogue's order."""
    script = tmp_path / "order.py"  # a file: the place of a feature is looked up in its source
    script.write_text(ORDER_SCRIPT, encoding="utf-8")
    folders = {seed: tmp_path / seed for seed in ("1", "2")}
    for folder in folders.values():
        folder.mkdir()
    outputs = [
        subprocess.run(
            [sys.executable, str(script), str(folder)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.curdir},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, folder in folders.items()
    ]
    assert len(outputs[0]) > 1000
    assert outputs[0] == outputs[1]
