"""Spans of tiles that hold the same rows of a key: what is made of them is the same, and is made once.

Most keys have rows in few tiles. All spans that see the same of these share one set of values, so that a further
cutoff or lookback costs little more than to hand them out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features._lookback import Lookback
from validation import Window

Slot = tuple[Window, Lookback]
Span = tuple[int, int]  # of tiles, first <= i < until
Positions = npt.NDArray[np.int64]
Tiles = npt.NDArray[np.unsignedinteger[Any]]  # by key: bit i tells whether it has rows in tile i
MOST_TILES = 64  # that have a bit
SHORT = 2**10  # rows of a piece: shorter ones are copied together


@dataclass(frozen=True)
class Block:
    """Keys of which each of these spans holds the same rows: values made of any of them are those of all."""

    spans: tuple[Span, ...]
    keys: Positions


@dataclass(frozen=True)
class Layout:
    """The distinct rows of each key in some slots, numbered block by block. ``spans``: the tiles of each slot."""

    spans: Mapping[Slot, Span]
    blocks: Sequence[Block]

    def only(self, lookbacks: Collection[Lookback]) -> Layout:
        """Keep what some lookbacks see, in the same order."""
        spans = {slot: span for slot, span in self.spans.items() if slot[1] in lookbacks}
        if len(spans) == len(self.spans):
            return self
        own = set(spans.values())
        kept = (Block(tuple(s for s in block.spans if s in own), block.keys) for block in self.blocks)
        return Layout(spans, [block for block in kept if block.spans])

    @property
    def keys(self) -> Positions:
        """The key of each of the rows."""
        return _joined(block.keys for block in self.blocks)

    def keys_in(self, slot: Slot) -> Positions:
        """Give the keys with rows in a slot, as ``picked`` orders them."""
        return _joined(block.keys for block in self.blocks if self.spans[slot] in block.spans)

    @property
    def wanted(self) -> list[tuple[Slot, Positions]]:
        """Slots, and the keys whose rows are to be taken from there."""
        slot_of = {span: slot for slot, span in self.spans.items()}
        found = [
            (slot_of[span], _joined(block.keys for block in blocks))
            for span, blocks in groupby(self.blocks, lambda block: block.spans[-1])
        ]
        return found or [(slot, np.zeros(0, dtype=np.int64)) for slot in list(self.spans)[:1]]

    def picked(self, values: pl.DataFrame, slot: Slot) -> pl.DataFrame:
        """Pick what belongs to a slot of values of the distinct rows. Long pieces are not copied."""
        if not values.width:
            return values
        pieces = [values[begin:end] for begin, end in self._pieces(self.spans[slot])]
        if len(pieces) < 2:
            return pieces[0] if pieces else values.clear()
        return pl.concat(pieces, rechunk=sum(piece.height for piece in pieces) < SHORT * len(pieces))

    def _pieces(self, span: Span) -> list[tuple[int, int]]:
        pieces: list[tuple[int, int]] = []
        end = 0
        for block in self.blocks:
            begin, end = end, end + len(block.keys)
            if span in block.spans:
                first = pieces.pop()[0] if pieces and pieces[-1][1] == begin else begin
                pieces.append((first, end))
        return pieces


def _joined(keys: Iterable[Positions]) -> Positions:
    return np.concatenate([np.zeros(0, dtype=np.int64), *keys])


def narrowest(n_bits: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Give the narrowest unsigned integer of so many bits: 16 bits are sorted much faster than 64."""
    return next(np.dtype(f"u{n}") for n in (1, 2, 4, 8) if 8 * n >= n_bits)


def blocks_of(tiles: Tiles, spans: Iterable[Span]) -> list[Block]:
    """Find the distinct rows of each key in so many spans of at most ``MOST_TILES`` tiles.

    Neighbours have spans in common, so that what a span holds lies in few pieces.
    """
    bits = [(span, (1 << span[1]) - (1 << span[0])) for span in sorted(set(spans))]
    found: dict[tuple[Span, ...], list[Positions]] = {}
    for mask, keys in _by_mask(tiles):
        shared: dict[int, list[Span]] = {}
        for span, own in bits:
            if mask & own:
                shared.setdefault(mask & own, []).append(span)
        for same in shared.values():
            found.setdefault(tuple(same), []).append(keys)
    return [Block(same, np.concatenate(found[same])) for same in sorted(found, key=lambda same: same[::-1])]


def _by_mask(tiles: Tiles) -> Iterator[tuple[int, Positions]]:
    """Give the keys that have rows in the same tiles."""
    order = np.argsort(tiles, kind="stable")
    ordered = tiles.take(order)
    cuts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    for keys in np.split(order, cuts):
        if len(keys):
            yield int(tiles[keys[0]]), keys
