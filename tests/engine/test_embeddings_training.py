"""Training of tables of embeddings: by the formula, and to the same bits wherever the rows lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import EmbeddingTable, TableError, bucket_order, load_tables, save_tables, working_sets
from tests.engine.tables import DIM, GIB, ROW, Program, gradient, programs, table_of, tree, vectors_of


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


@pytest.mark.parametrize("n_rows", [1, 40, 700, 4000])
def test_scattered_rows_are_read_and_written_as_those_of_an_array(n_rows: int, tmp_path: Path) -> None:
    """Few rows of a block and many, alone and side by side; a file that a saved state shares stays as it is."""
    in_memory, in_files = (
        table_of(block_rows=2048, folder=folder) for folder in (None, tmp_path / "scratch")
    )
    in_files.spill()
    rng, expected = np.random.default_rng(n_rows), []
    for number in range(3):
        rows = np.append(rng.choice(2000, n_rows // 2, replace=False), rng.integers(2000, 5000, n_rows))
        for table in (in_memory, in_files):
            table.grow(pl.Series(range(5000)))
            for (s,), (at,) in working_sets([table], [(np.append(rows, np.arange(2000, 2050)),)], rate=0.3):
                s.learn(at, gradient(at, s.take(at)))
        assert np.array_equal(vectors_of(in_memory), vectors_of(in_files))
        save_tables(tmp_path / f"{number}", [in_files])
        expected.append(vectors_of(in_memory))
    for number, vectors in enumerate(expected):
        assert np.array_equal(vectors_of(load_tables(tmp_path / f"{number}")[0]["things"]), vectors)


@pytest.mark.parametrize("batch", [3, 40])
def test_few_rows_of_many_are_trained_as_all_of_them_are(batch: int, tmp_path: Path) -> None:
    """Whether the rows of a working set are searched for or looked up: 5,000 rows, some 2 or 7 % of which are read."""
    rng = np.random.default_rng(batch)
    tables = [table_of(), table_of(folder=tmp_path)]
    tables[1].spill()
    batches = [(rng.integers(0, 5_000, batch),) for _ in range(9)]
    for table in tables:
        table.grow(pl.Series(range(5_000)))
        for (s,), (at,) in working_sets([table], batches, rate=0.3):
            s.learn(at, gradient(at, s.take(at)))
            if table is tables[1]:
                unread = np.setdiff1d(np.arange(5_000), np.concatenate([rows for (rows,) in batches]))
                for row in (*unread[:3], unread[-1], -1, 5_000):
                    with pytest.raises(TableError, match="is in no batch of this group"):
                        s.take(np.array([at[0], row]))
    np.testing.assert_array_equal(vectors_of(tables[0]), vectors_of(tables[1]))


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


def test_working_sets_and_what_is_taken_of_them_lie_on_the_device() -> None:
    """A device without numbers stands for one that this machine lacks: nothing may be computed elsewhere."""
    table = table_of()
    rows = table.grow(pl.Series(range(10)))
    for (s,), (at,) in working_sets([table], [(rows[3:7],)], rate=0.1, device="meta"):
        assert s.rows is not None
        assert (s.rows.tolist(), s.n_bytes) == ([3, 4, 5, 6], 4 * ROW)
        assert {s.records.device.type, s.take(at).device.type} == {"meta"}
        break


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
