"""Tables of embeddings: what they hold depends on the order of arrival alone, wherever their rows lie."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from engine import (
    EmbeddingTable,
    TableError,
    WorkingSet,
    bucket_order,
    load_tables,
    save_tables,
    working_sets,
)
from tests.processes import python

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]

DIM = 5
ROW = 4 * (DIM + 1)  # bytes
GIB = 2**30

ids_and_cuts = st.tuples(
    st.lists(st.one_of(st.integers(-30, 30), st.none()), max_size=60),
    st.lists(st.integers(0, 60), max_size=4),
)


def table_of(**how: Any) -> EmbeddingTable:
    return EmbeddingTable("things", DIM, **{"seed": 3, "noise": 0.1, **how})


def vectors_of(table: EmbeddingTable) -> Floats:
    return table.read(np.arange(len(table)))


def chunks(values: Sequence[Any], cuts: Sequence[int]) -> Iterator[Sequence[Any]]:
    edges = [0, *sorted(cuts), len(values)]
    for first, last in pairwise(edges):
        yield values[first : max(first, last)]


# Growing


@given(ids_and_cuts)
def test_rows_come_in_the_order_of_ids_whatever_the_chunks(case: tuple[list[int | None], list[int]]) -> None:
    ids, cuts = case
    at_once, grown = table_of(), table_of()
    rows = at_once.grow(pl.Series(ids, dtype=pl.Int64))
    found = [grown.grow(pl.Series(chunk, dtype=pl.Int64)) for chunk in chunks(ids, cuts)]
    order: dict[int | None, int] = {}
    for one in ids:
        if one is not None:
            order.setdefault(one, len(order))
    assert rows.tolist() == np.concatenate(found).tolist() == [order.get(one, -1) for one in ids]
    assert at_once.ids.to_list() == grown.ids.to_list() == list(order)
    assert np.array_equal(vectors_of(at_once), vectors_of(grown))


@given(st.lists(st.integers(-30, 30), max_size=40), st.permutations(range(-30, 31)), st.booleans())
def test_renaming_ids_changes_nothing(ids: list[int], names: list[int], as_texts: bool) -> None:
    plain, renamed = table_of(), table_of()
    other = [names[one + 30] for one in ids]
    rows = plain.grow(pl.Series(ids, dtype=pl.Int64))
    texts = pl.Series([f"n{one}" for one in other], dtype=pl.String)
    assert np.array_equal(rows, renamed.grow(texts if as_texts else pl.Series(other, dtype=pl.Int32)))
    assert np.array_equal(vectors_of(plain), vectors_of(renamed))


def test_an_id_that_was_never_seen_gets_no_row_when_it_is_asked_for() -> None:
    table = table_of()
    table.grow(pl.Series([7, 5]))
    asked = pl.Series([5, 6, None, 7, 6, 9])
    assert table.rows(asked).tolist() == [1, -1, -1, 0, -1, -1]
    assert table.unseen(asked).to_list() == [6, 9]
    assert len(table) == 2


def test_new_rows_start_at_zero_at_a_given_vector_or_at_noise() -> None:
    assert not vectors_of_grown(table_of(noise=0)).any()
    given_ = np.arange(4 * DIM, dtype=np.float32).reshape(4, DIM)
    table = table_of(noise=0)
    table.grow(pl.Series([1]))
    table.grow(pl.Series([4, 1, 4, 5]), given_)
    assert np.array_equal(vectors_of(table)[1:], given_[[0, 3]])
    wide = EmbeddingTable("wide", 100, seed=1, noise=0.5)
    wide.grow(pl.Series(range(2000)))
    noise = vectors_of(wide)
    assert abs(noise.mean()) < 0.005
    assert abs(noise.std() - 0.5) < 0.005
    assert np.abs(np.asarray(np.corrcoef(noise[::20]))[np.triu_indices(100, 1)]).max() < 0.5


def vectors_of_grown(table: EmbeddingTable) -> Floats:
    table.grow(pl.Series([3, 1, 2]))
    return vectors_of(table)


def test_a_thousand_appends_allocate_a_few_times() -> None:
    table, capacities = table_of(), set()
    for n in range(1000):
        table.grow(pl.Series([3 * n, 3 * n + 1, 3 * n]))
        capacities.add(table.capacity)
    assert len(table) == 2000
    assert len(capacities) <= 12
    assert max(capacities) <= 2 * 2000


# Training


@dataclass(frozen=True)
class Program:
    """Chunks of ids that a table grows by and is trained on, in batches, towards a target for each row."""

    chunks: list[list[int]]
    batch: int
    accumulate: int

    def run(self, table: EmbeddingTable, **how: Any) -> int:
        """Train, and give the most bytes that all working sets had at a time."""
        used, most = list[WorkingSet](), 0
        for ids in self.chunks:
            rows = table.grow(pl.Series(ids, dtype=pl.Int64))
            batches = [(rows[i : i + self.batch],) for i in range(0, len(rows), self.batch)]
            for (s,), (at,) in working_sets([table], batches, rate=0.3, accumulate=self.accumulate, **how):
                s.learn(at, gradient(at, s.take(at)))
                used += [] if s in used else [s]
                most = max(most, sum(one.n_bytes for one in used))
        return most


def gradient(rows: Index, vectors: torch.Tensor) -> torch.Tensor:
    """Of half the squared distance to a target for each row."""
    target = torch.sin(torch.from_numpy(rows)[:, None] + torch.arange(DIM)).float()
    return vectors - target


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


programs = st.builds(
    Program,
    chunks=st.lists(st.lists(st.integers(0, 60), max_size=40), min_size=1, max_size=4),
    batch=st.integers(1, 12),
    accumulate=st.integers(1, 3),
)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@settings(max_examples=40)
@given(programs, st.integers(36, 80), st.integers(36, 80), st.sampled_from([1, 2, 8, 16]))
def test_neither_files_nor_memory_nor_the_device_limit_change_a_bit(
    program: Program, rows_held: int, rows_on_device: int, block_rows: int
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        in_memory = table_of(block_rows=block_rows)
        program.run(in_memory)
        limits = {"folder": folder / "scratch", "memory_gib": rows_held * ROW / GIB}
        in_files = table_of(block_rows=block_rows, **limits)
        in_files.spill()
        program.run(in_files)
        on_device = table_of(block_rows=block_rows, **limits)
        most = program.run(on_device, device_gib=rows_on_device * ROW / GIB)
        for number, table in enumerate((in_memory, in_files, on_device)):
            save_tables(folder / str(number), [table])
        assert tree(folder / "0") == tree(folder / "1") == tree(folder / "2")
        assert most <= rows_on_device * ROW


def test_threads_change_no_bit(tmp_path: Path) -> None:
    """On a table that is large enough for torch to use them."""
    rng = np.random.default_rng(1)
    ids, batches = pl.Series(np.arange(40_000)), [(rng.integers(0, 40_000, 30_000),) for _ in range(3)]
    gradients = torch.from_numpy(rng.normal(size=(30_000, 64)).astype(np.float32))
    found = []
    for threads in (1, 2):
        table = EmbeddingTable("wide", 64, noise=0.1, folder=tmp_path, memory_gib=0.01)
        table.grow(ids)
        with torch_threads(threads):
            for (s,), (rows,) in working_sets([table], batches, rate=0.1):
                s.learn(rows, gradients * s.take(rows).sum(dim=1, keepdim=True))
        found.append(table.read(np.arange(40_000)))
    assert np.array_equal(found[0], found[1])


@given(programs)
def test_adagrad_is_that_of_the_formula(program: Program) -> None:
    table, plain = table_of(noise=0), table_of(noise=0)
    program.run(table)
    for ids in program.chunks:
        plain.grow(pl.Series(ids, dtype=pl.Int64))
    x, s = np.zeros((len(plain), DIM)), np.zeros(len(plain))
    for ids in program.chunks:
        rows = plain.rows(pl.Series(ids, dtype=pl.Int64))
        for first in range(0, len(rows), program.batch * program.accumulate):
            step = rows[first : first + program.batch * program.accumulate]
            target = np.sin(step[:, None] + np.arange(DIM))
            before = x.copy()
            for row in set(step.tolist()):
                g = sum(before[row] - t for r, t in zip(step, target, strict=True) if r == row)
                s[row] += (g**2).mean()
                x[row] -= 0.3 * g / (np.sqrt(s[row]) + 1e-8)
    np.testing.assert_allclose(vectors_of(table), x, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_a_dense_table_of_torch() -> None:
    rng = np.random.default_rng(2)
    left, right = (EmbeddingTable(name, 8, seed=i, noise=0.3) for i, name in enumerate("ab"))
    batches = [(rng.integers(0, 30, 50), rng.integers(0, 20, 50)) for _ in range(6)]
    for table, n in ((left, 30), (right, 20)):
        table.grow(pl.Series(range(n)))
    dense = [torch.tensor(vectors_of(table), requires_grad=True) for table in (left, right)]
    state = [torch.zeros(len(one)) for one in dense]
    for sets, rows in working_sets([left, right], batches, rate=0.2):
        leaves = [s.take(at).requires_grad_() for s, at in zip(sets, rows, strict=True)]
        torch.nn.functional.softplus(-(leaves[0] * leaves[1]).sum(dim=1)).sum().backward()  # type: ignore[no-untyped-call]
        for s, at, leaf in zip(sets, rows, leaves, strict=True):
            assert leaf.grad is not None
            s.learn(at, leaf.grad)
    for rows in batches:
        torch.nn.functional.softplus(-(dense[0][rows[0]] * dense[1][rows[1]]).sum(dim=1)).sum().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for one, of in zip(dense, state, strict=True):
                assert one.grad is not None
                of += one.grad.square().mean(dim=1)
                one -= 0.2 * one.grad / (of.sqrt() + 1e-8)[:, None]
                one.grad = None
    for table, one in zip((left, right), dense, strict=True):
        np.testing.assert_allclose(vectors_of(table), one.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_group_is_not_written_back_where_the_loop_is_left(tmp_path: Path) -> None:
    table = table_of(folder=tmp_path, memory_gib=6 * ROW / GIB)
    rows = table.grow(pl.Series(range(10)))
    before = vectors_of(table)
    batches = [(rows[i : i + 3],) for i in range(0, 9, 3)]
    for number, ((s,), (at,)) in enumerate(working_sets([table], batches, rate=1)):
        s.learn(at, torch.ones(3, DIM))
        if number == 2:
            break
    is_changed = (vectors_of(table) != before).any(axis=1)
    assert is_changed.tolist() == [True] * 6 + [False] * 4


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60), st.integers(1, 20))
def test_pairs_in_the_order_of_buckets(pairs: list[tuple[int, int]], rows: int) -> None:
    left, right = (np.array([p[i] for p in pairs], dtype=np.int64) for i in (0, 1))
    order = bucket_order(left, right, rows)
    assert sorted(order.tolist()) == list(range(len(pairs)))
    buckets = [(int(left[i]) // rows, int(right[i]) // rows) for i in order]
    runs = [b for i, b in enumerate(buckets) if i == 0 or buckets[i - 1] != b]
    assert len(runs) == len(set(runs))
    assert all(i < j for i, j, b, c in zip(order, order[1:], buckets, buckets[1:], strict=False) if b == c)
    if len(set(buckets)) == (max(left // rows, default=0) + 1) * (max(right // rows, default=0) + 1):
        assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(runs))


# Saving


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


def inodes(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_ino for p in (folder / "blocks").glob("*.f32")}


@pytest.mark.parametrize("is_new_folder", [False, True])
def test_blocks_that_did_not_change_are_not_written_again(tmp_path: Path, is_new_folder: bool) -> None:
    table = table_of(folder=tmp_path / "scratch", memory_gib=8 * ROW / GIB, block_rows=4)
    table.grow(pl.Series(range(40)))
    save_tables(tmp_path / "first", [table])
    before = inodes(tmp_path / "first")
    for (s,), (rows,) in working_sets([table], [(np.array([5, 6]),)], rate=1):
        s.learn(rows, torch.ones(2, DIM))
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


# Fewer dimensions


def test_reduced_is_the_pca_with_a_sign_that_is_always_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    start = (rng.normal(size=(300, 12)) * np.arange(1, 13)).astype(np.float32)
    tables = [
        EmbeddingTable("x", 12, folder=tmp_path, memory_gib=limit, block_rows=32) for limit in (1.0, 1e-6)
    ]
    found = []
    for table in tables:
        table.grow(pl.Series(range(300)), start)
        reduced = table.reduced(4, tmp_path)
        assert reduced.ids.equals(table.ids)
        found.append(vectors_of(reduced))
    pca = PCA(4, svd_solver="full").fit(start)
    largest = np.abs(pca.components_).argmax(axis=1)
    signs = np.sign(pca.components_[np.arange(4), largest])
    np.testing.assert_allclose(found[0], pca.transform(start) * signs, rtol=1e-3, atol=1e-3)
    assert np.array_equal(found[0], found[1])


# What cannot be


def trained(
    table: EmbeddingTable,
    rows: Sequence[int],
    gradients: torch.Tensor,
    learns: Sequence[int] | None = None,
    **how: Any,
) -> None:
    for (s,), (at,) in working_sets(
        [table], [(np.array(rows, dtype=np.int64),)], rate=0.1, place="rows 8 to 12", **how
    ):
        s.learn(at if learns is None else np.array(learns), gradients)


def grown() -> EmbeddingTable:
    table = table_of()
    table.grow(pl.Series([4, 5, 6]))
    return table


def grows_while_trained() -> None:
    table = grown()
    for _ in working_sets([table], [(np.array([1]),)], rate=0.1):
        table.grow(pl.Series([9]))


NAN, ONES = float("nan"), torch.ones(2, DIM)


@pytest.mark.parametrize("values", [[0.5, -1e9], [True, False], [date(2024, 1, 1), date(1, 1, 1)], [time(1), time(2)],
                                    [Decimal("0.5"), Decimal(3)]], ids=str)  # fmt: skip
def test_single_values_of_other_dtypes_have_rows(values: list[object]) -> None:
    table, ids = EmbeddingTable("things", 3), pl.Series([*values, None])
    table.grow(ids)
    assert table.rows(ids.reverse()).tolist() == [-1, 1, 0]


def test_ids_of_all_64_bits_have_rows() -> None:
    table, ids = EmbeddingTable("things", 3), pl.Series([2**64 - 1, 0, 2**63, 7], dtype=pl.UInt64)
    table.grow(ids)
    assert table.rows(ids).tolist() == [0, 1, 2, 3]
    assert table.rows(pl.Series([7, 1, 2**63 + 1], dtype=pl.UInt64)).tolist() == [3, -1, -1]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: EmbeddingTable("things", 0), "dim = 0"),
        (lambda: EmbeddingTable("things", 3, noise=NAN), "noise = nan"),
        (lambda: grown().grow(pl.Series([[1]])), "ids are of dtype List"),
        (lambda: grown().grow(pl.Series(["a"])), "those it has are Int64"),
        (lambda: grown().rows(pl.Series([2**63], dtype=pl.Int128)), "beyond 64 bits"),
        (lambda: grown().grow(pl.Series([7]), np.ones((1, 3), np.float32)), r"shape \(1, 3\) .* 1 ids"),
        (lambda: grown().grow(pl.Series([4, 8]), np.full((2, DIM), np.inf, np.float32)), "1 of 1 .* of id 8"),
        (lambda: grown().read(np.array([0, 3])), "has no row 3: it has 3"),
        (lambda: grown().read(np.array([-1])), "has no row -1"),
        (lambda: trained(grown(), [0, 3], ONES), "no row 3, rows 8 to 12"),
        (lambda: trained(grown(), [-1, 0], ONES), "no row -1"),
        (lambda: trained(grown(), [0], ONES), r"gradients of shape \(2, 5\) are given for 1 rows"),
        (lambda: trained(grown(), [0, 2], ONES * NAN), r"2 rows are not finite in batch 1, rows 8 to 12.*\(id 4\)"),
        (lambda: trained(grown(), [0, 2], ONES, device_gib=ROW / GIB), "a step reads 2 rows of 24 bytes"),
        (lambda: trained(grown(), [0], ONES[:1], learns=[1], device_gib=1), "row 1 is in no batch"),
        (grows_while_trained, "cannot grow while it is trained"),
        (lambda: grown().reduced(6), "cannot be reduced to 6"),
        (lambda: table_of().reduced(1), "0 vectors of 5"),
        (lambda: table_of().spill(), "no folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_by_the_name_of_the_table(act: Any, message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        act()
    assert "Table 'things'" in str(caught.value)


@pytest.mark.parametrize("is_in_files", [False, True])
def test_an_empty_chunk_is_nothing(tmp_path: Path, is_in_files: bool) -> None:
    table = table_of(folder=tmp_path / "scratch", memory_gib=0 if is_in_files else 1)
    if is_in_files:
        table.spill()
    assert table.grow(pl.Series([])).tolist() == []
    trained(table, [], torch.ones(0, DIM))
    assert table.read(np.array([], dtype=np.int64)).shape == (0, DIM)
    save_tables(tmp_path, [table])
    assert len(load_tables(tmp_path)[0]["things"]) == 0


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
