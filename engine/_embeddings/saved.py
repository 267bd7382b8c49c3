"""Saved states of tables: blocks that are named by what they hold, and one manifest that says which belong to it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from blake3 import blake3

from engine._embeddings.ids import IdIndex
from engine._embeddings.rows import disk_full
from engine._embeddings.table import EmbeddingTable
from engine._errors import TableError
from engine._store import sync_folder, write_atomically

FORMAT = 1
IDS = 2**20  # of a file
MANIFEST, BLOCKS = "tables.json", "blocks"
_TODO = "remove the folder of the state and train again"


def save_tables(
    folder: Path, tables: Sequence[EmbeddingTable], notes: Mapping[str, Any] | None = None
) -> None:
    """Save tables, and notes beside them, as one state: it is there as a whole or the one before it is.

    A folder that holds a state is given what changed since; what no longer belongs to it is removed afterwards. Rows in
    files are shared by links and copied when they change. How the bytes lie does not depend on where rows do.

    Parameters
    ----------
    notes
        What JSON can hold: how far the training is, for example.
    """
    with disk_full(folder):
        (folder / BLOCKS).mkdir(parents=True, exist_ok=True)
        saved = {table.name: _saved(folder / BLOCKS, table) for table in tables}
        manifest = {"format": FORMAT, "tables": saved, "notes": dict(notes or {})}
        sync_folder(folder / BLOCKS)
        write_atomically(folder / MANIFEST, json.dumps(manifest), unfinished=folder / BLOCKS)
    needed = {name for table in saved.values() for name in (*table["records"], *table["ids"])}
    for file in (folder / BLOCKS).iterdir():
        if file.name not in needed and not file.is_dir():
            file.unlink()


def load_tables(
    folder: Path, *, scratch: Path | None = None, memory_gib: float = 1.0
) -> tuple[dict[str, EmbeddingTable], dict[str, Any]]:
    """Load what ``save_tables`` wrote: tables by their names, and the notes.

    Parameters
    ----------
    scratch
        Folder for rows of tables that do not fit in memory; None = all in memory. The saved state stays as it is.
    memory_gib
        Of each table.

    Raises TableError for another format and for files that are missing or not as they were written; of rows that stay
    in files only the sizes are looked at.
    """
    try:
        manifest = json.loads(_content(folder / MANIFEST))
        version = manifest["format"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise TableError(
            f"{folder} holds no saved tables ({type(error).__name__}: {error}).",
            expected=f"a file {MANIFEST}, as `save_tables` writes it",
            todo=_TODO,
        ) from error
    if version != FORMAT:
        raise TableError(
            f"The tables in {folder} are another version's: format {version}.",
            expected=f"format {FORMAT}",
            todo="remove the folder and train again, or use the version that wrote it",
        )
    tables = {
        name: _loaded(folder / BLOCKS, name, facts, scratch, memory_gib)
        for name, facts in manifest["tables"].items()
    }
    return tables, manifest["notes"]


def _saved(folder: Path, table: EmbeddingTable) -> dict[str, Any]:
    """Write the blocks that the folder lacks, and say which the table is made of."""
    step = table.records.block_rows
    return {
        "dim": table.dim,
        "seed": table.seed,
        "noise": table.noise,
        "block_rows": step,
        "n_rows": len(table),
        "records": [_save_block(folder, table, number) for number in range(-(-len(table) // step))],
        "ids": [_save_ids(folder, table.index, first) for first in range(0, len(table), IDS)],
    }


def _save_block(folder: Path, table: EmbeddingTable, number: int) -> str:
    name = table.digests.get(number) or f"{_digest(table.records.block(number).tobytes())}.f32"
    if not (folder / name).exists() and not table.records.share(number, folder / name):
        write_atomically(folder / name, table.records.block(number).tobytes())
    table.digests[number] = name
    return name


def _save_ids(folder: Path, index: IdIndex, first: int) -> str:
    file = io.BytesIO()
    index.between(first, first + IDS).to_frame("id").rechunk().write_ipc(file)
    name = f"{_digest(file.getvalue())}.arrow"
    if not (folder / name).exists():
        write_atomically(folder / name, file.getvalue())
    return name


def _digest(content: bytes) -> str:
    return blake3(content).hexdigest()[:32]


def _loaded(
    folder: Path, name: str, facts: Mapping[str, Any], scratch: Path | None, memory_gib: float
) -> EmbeddingTable:
    table = EmbeddingTable(
        name,
        facts["dim"],
        seed=facts["seed"],
        noise=facts["noise"],
        folder=scratch,
        memory_gib=memory_gib,
        block_rows=facts["block_rows"],
    )
    n_rows, step = facts["n_rows"], facts["block_rows"]
    is_large = 4 * table.records.width * n_rows > table.memory_bytes
    files = table.spill() if scratch is not None and is_large else None
    for number, block in enumerate(facts["records"]):
        size = min(step, n_rows - number * step)
        if files is not None:
            _check_size(folder / block, 4 * table.records.width * size)
            files.adopt(folder / block, size)
        else:
            content = np.frombuffer(_checked(folder / block), dtype=np.float32)
            table.records.append(content.reshape(size, -1))
        table.digests[number] = block
    for file in facts["ids"]:
        table.index.add(pl.read_ipc(io.BytesIO(_checked(folder / file)))["id"])
    return table


def _content(file: Path) -> bytes:
    try:
        if file.is_file():  # and no pipe, which would be waited for
            return file.read_bytes()
        error: OSError | None = None
    except OSError as failed:
        error = failed
    raise TableError(
        f"There is no file {file} of a saved table{f' ({error})' if error else ''}.", todo=_TODO
    ) from error


def _checked(file: Path) -> bytes:
    """Read a file that is named by what it holds."""
    content = _content(file)
    if _digest(content) != file.stem:
        raise TableError(
            f"The file {file} of a saved table, of {len(content):,} bytes, is not as it was written.",
            todo=_TODO,
        )
    return content


def _check_size(file: Path, n_bytes: int) -> None:
    found = file.stat().st_size if file.is_file() else 0
    if found != n_bytes:
        raise TableError(
            f"The file {file} of a saved table has {found:,} bytes.",
            expected=f"{n_bytes:,}, as it was written",
            todo=_TODO,
        )
