"""What tables of embeddings cannot do is said by their names, with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from engine import EmbeddingTable, TableError, load_tables, save_tables, working_sets
from tests.engine.tables import DIM, GIB, ROW, grown, table_of


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


def grows_while_trained() -> None:
    table = grown()
    for _ in working_sets([table], [(np.array([1]),)], rate=0.1):
        table.grow(pl.Series([9]))


NAN, ONES = float("nan"), torch.ones(2, DIM)


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
        (lambda: grown().grow(pl.Series([8, 9]), np.array([[1] * DIM, [NAN] * DIM], np.float32)), "of id 9"),
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
