"""All states of the folder of saved tables: what was saved is loaded, or a message says what is not as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine import EmbeddingTable, TableError, load_tables, save_tables
from tests.engine.test_store_states import STATES, put_in_place

ENTRIES = ["", "tables.json", "blocks", "blocks/*.f32", "blocks/*.arrow", "blocks/stray", "stray"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table, folder = (
        EmbeddingTable("things", 3, seed=1, noise=0.5),
        tmp_path_factory.mktemp("tables") / "saved",
    )
    table.grow(pl.Series(["a", "b", "c"]))
    save_tables(folder, [table], {"rows": 3})
    return folder


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("in_files", [False, True])
def test_saved_tables_in_any_state(
    saved: Path, tmp_path: Path, entry: str, state: str, in_files: bool
) -> None:
    before, notes = load_tables(saved)
    folder = Path(shutil.copytree(saved, tmp_path / "saved"))
    put_in_place(next(folder.glob(entry)) if "*" in entry else folder / entry, state)
    where = {"scratch": tmp_path / "scratch", "memory_gib": 1e-9} if in_files else {}
    is_seen = "stray" not in entry and not (in_files and state == "altered" and entry.endswith(".f32"))
    if is_seen:
        with pytest.raises(TableError, match=r"(?s)saved.*\nTo do: remove the folder"):
            load_tables(folder, **where)  # type: ignore[arg-type]
        return
    after, said = load_tables(folder, **where)  # type: ignore[arg-type]
    assert said == notes
    assert after["things"].rows(pl.Series(["c", "a"])).tolist() == [2, 0]
    if state != "altered":
        every = np.arange(3)
        assert np.array_equal(after["things"].read(every), before["things"].read(every))
    save_tables(folder, [after["things"]], notes)  # what lies beside it does not stop it
