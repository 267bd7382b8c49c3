"""Saved tables of embeddings: they go on as if they had not been saved, whatever happens while they are."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from engine import EmbeddingTable, TableError, load_tables, save_tables, working_sets
from tests.engine.tables import DIM, GIB, ROW, Index, Program, grown, table_of, tree, vectors_of
from tests.processes import python


def test_a_saved_state_goes_on_as_if_it_had_not_been_saved(tmp_path: Path) -> None:
    program = Program([[3, 1, 2, 9], [5, 3, 7, 7]], 3, 1)
    more = Program([[1, 9, 11, 12], [2, 5]], 2, 2)
    for limit in (1.0, 4 * ROW / GIB):
        how: dict[str, Any] = {"folder": tmp_path / "scratch", "memory_gib": limit, "block_rows": 2}
        table = table_of(**how)
        program.run(table)
        save_tables(tmp_path / f"{limit}", [table], {"chunks": 2})
        tables, notes = load_tables(tmp_path / f"{limit}", scratch=tmp_path / "scratch", memory_gib=limit)
        saved = tree(tmp_path / f"{limit}")
        assert notes == {"chunks": 2}
        for one in (table, tables["things"]):
            more.run(one)
        assert np.array_equal(vectors_of(table), vectors_of(tables["things"]))
        assert table.ids.equals(tables["things"].ids)
        assert tree(tmp_path / f"{limit}") == saved  # a branch from it is thrown away
        for number, one in enumerate((table, tables["things"])):
            save_tables(tmp_path / f"{limit} {number}", [one])
        assert tree(tmp_path / f"{limit} 0") == tree(tmp_path / f"{limit} 1")


def moved(table: EmbeddingTable, rows: Index) -> None:
    for (s,), (at,) in working_sets([table], [(rows,)], rate=1):
        s.learn(at, torch.ones(len(rows), DIM))


def inodes(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_ino for p in (folder / "blocks").glob("*.f32")}


@pytest.mark.parametrize("is_new_folder", [False, True])
def test_blocks_that_did_not_change_are_not_written_again(tmp_path: Path, is_new_folder: bool) -> None:
    table = table_of(folder=tmp_path / "scratch", memory_gib=8 * ROW / GIB, block_rows=4)
    table.grow(pl.Series(range(40)))
    save_tables(tmp_path / "first", [table])
    before = inodes(tmp_path / "first")
    moved(table, np.array([5, 6]))
    target = tmp_path / ("second" if is_new_folder else "first")
    save_tables(target, [table])
    after = inodes(target)
    assert len(before) == len(after) == 10
    assert len(set(before.items()) & set(after.items())) == 9


def test_rows_in_memory_and_in_files_are_saved_by_the_same_bytes_as_several_tables(tmp_path: Path) -> None:
    for name, limit in (("a", 1.0), ("b", ROW / GIB)):
        tables = [
            EmbeddingTable(one, dim, noise=1, folder=tmp_path / "s", memory_gib=limit, block_rows=3)
            for one, dim in (("x", 2), ("y", 7))
        ]
        for table in tables:
            table.grow(pl.Series([f"id {i}" for i in range(10)]))
        save_tables(tmp_path / name, tables)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert list(load_tables(tmp_path / "a")[0]) == ["x", "y"]


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
import polars as pl
import torch
from engine import EmbeddingTable, load_tables, save_tables, working_sets

folder, limit = Path(sys.argv[1]), float(sys.argv[2])

def go_on(state, scratch):
    tables, notes = [EmbeddingTable(n, 3, noise=1, folder=scratch, memory_gib=limit, block_rows=4) for n in "ab"], {}
    if (state / "tables.json").exists():
        found, notes = load_tables(state, scratch=scratch, memory_gib=limit)
        tables = list(found.values())
    for chunk in range(notes.get("chunks", 0), 2):
        ids = pl.Series([chunk, chunk + 1, 5 * chunk, 6])
        rows = tuple(table.grow(ids) for table in tables)
        for sets, at in working_sets(tables, [rows, rows], rate=0.1):
            for s, r in zip(sets, at):
                s.learn(r, s.take(r) - 1)
        save_tables(state, tables, {"chunks": chunk + 1})
    save_tables(state, tables, {"chunks": 2})  # removes what a kill may have left

def is_write(event, arguments, state):
    if event == "open" and not arguments[2] & 3:
        return False
    writes = ("open", "os.rename", "os.link", "os.remove", "os.mkdir")
    return event in writes and any(str(one).startswith(str(state)) for one in arguments)

def in_child(work):
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def dies(state, scratch, at):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if is_write(event, arguments, state):
            count += 1
            if count == at:
                os._exit(9)
    sys.addaudithook(hook)
    go_on(state, scratch)

def tree(state):
    return {str(p.relative_to(state)): p.read_bytes() for p in state.rglob("*") if p.is_file()}

torch.set_num_threads(1)
torch.nn.functional.embedding_bag(torch.arange(2), torch.ones(2, 2), torch.zeros(1, dtype=torch.int64), mode="sum")
assert in_child(lambda: go_on(folder / "whole", folder / "s")) == 0
at = 0
while True:
    at += 1
    state = folder / str(at)
    if in_child(lambda: dies(state, folder / "s", at)) == 0:
        break
    assert in_child(lambda: go_on(state, folder / "s")) == 0, at
    assert tree(state) == tree(folder / "whole"), at
print(at)
"""


@pytest.mark.parametrize("limit", [1.0, 16 / GIB * 4])
def test_killed_at_any_write_it_goes_on_to_the_same_bytes(tmp_path: Path, limit: float) -> None:
    ran = python("-c", KILLED, tmp_path, limit)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 20


def break_format(folder: Path) -> None:
    manifest = json.loads((folder / "tables.json").read_text())
    (folder / "tables.json").write_text(json.dumps(manifest | {"format": 0}))


def test_a_state_of_another_version_is_said_to_be(tmp_path: Path) -> None:
    save_tables(tmp_path, [grown()])
    break_format(tmp_path)
    with pytest.raises(TableError, match="another version's: format 0"):
        load_tables(tmp_path)


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(os.name == "nt", reason="there are no limits of files")
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    table = table_of(folder=tmp_path / "scratch", memory_gib=ROW / GIB)
    table.grow(pl.Series(range(100)))
    save_tables(tmp_path / "state", [table])
    saved = tree(tmp_path / "state")
    with largest_file(100 * ROW + 50), pytest.raises(TableError, match="disk is full"):
        table.grow(pl.Series(range(200)))
    assert len(table) == 100
    unhindered = table_of()
    for one in (table, unhindered):
        one.grow(pl.Series(range(150)))
        save_tables(tmp_path / f"{one.capacity}", [one])
    assert tree(tmp_path / "0") == tree(tmp_path / f"{unhindered.capacity}")
    in_memory = grown()
    with largest_file(60), pytest.raises(TableError, match="disk is full"):
        save_tables(tmp_path / "state", [in_memory])
    assert {name: saved[name] for name in tree(tmp_path / "state")} == saved
    loaded = load_tables(tmp_path / "state")[0]["things"]
    assert np.array_equal(vectors_of(loaded), vectors_of(table)[:100])


@pytest.mark.skipif(os.name == "nt", reason="there are no limits of files")
@pytest.mark.parametrize("n_rows", [3, 800])
def test_a_disk_that_gets_full_while_rows_are_trained_leaves_the_saved_state(
    n_rows: int, tmp_path: Path
) -> None:
    """Rows go to a copy of the file that the state shares: a few of them, or the block as a whole."""
    table = table_of(folder=tmp_path / "scratch", block_rows=2048)
    table.spill()
    table.grow(pl.Series(range(2000)))
    save_tables(tmp_path / "state", [table])
    before = vectors_of(table)
    with largest_file(1000 * ROW + 50), pytest.raises(TableError, match=r"(?s)disk is full.*last is whole"):
        moved(table, np.arange(0, 2 * n_rows, 2))
    assert np.array_equal(vectors_of(load_tables(tmp_path / "state")[0]["things"]), before)
