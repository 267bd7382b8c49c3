"""What two towers read of pairs: users once a group, items and what counts beside them once a pair."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from engine import ConfigError, nets
from models._pair_frame import PairFrame
from models._ranker import FitContext
from models.ranking.derived import Derived, group_firsts
from models.ranking.losses import Index
from models.ranking.parameters import POWERS, HistoryRows, TowersParameters
from models.ranking.sequences import histories_of, with_histories


def with_powers(frame: PairFrame, names: Sequence[str]) -> Iterator[str]:
    """Name numbers and their powers, flags, and the numbers of vectors."""
    schema = frame.schema
    for name in names:
        dtype = schema[name]
        if isinstance(dtype, pl.Array):
            yield from (f"{name}[{i}]" for i in range(dtype.size))
        elif not isinstance(dtype, pl.Enum):
            yield name
            yield from (f"{name}^{power:g}" for power in POWERS if dtype != pl.Boolean)


def check_left(frame: PairFrame, names: Sequence[str]) -> None:
    """Refuse features of users that differ within what one of them is shown."""
    keys = frame.table.select("window", frame.user)
    for name in names:
        differ = keys.with_columns(frame.column(name).alias("value")).drop_nulls("value")
        n_values = differ.group_by("window", frame.user).agg(pl.col("value").n_unique())["value"]
        if (n_values > 1).any():
            raise ConfigError(
                f"The feature {name!r} has several values for one user of a window.",
                expected="features of users alone in user_features: their tower is asked once for all that is shown",
                todo="take it out of user_features in the model's table of config.toml",
            )


@dataclass(frozen=True)
class TowersEncoder:
    """Turns pairs into the inputs of a net of two towers.

    ``left`` reads the first pair of each group, ``right`` and ``beside`` every pair; ``past``: histories of the
    groups, None if the net has none.
    """

    left: nets.Encoder
    right: nets.Encoder
    beside: nets.Encoder
    past: nets.HistoryEncoder | None = None

    @classmethod
    def of(cls, rows: PairFrame, ranker: TowersParameters, *, has_context: bool) -> TowersEncoder:
        """Learn vocabularies and scales from train rows."""
        keys = [key for key in (rows.user, rows.item, rows.source) if key]
        names = [name for name in rows.features if not rows.schema[name].is_nested()]
        left, right = ([n for n in of if n != ranker.start] for of in ranker.sides(names, keys))
        check_left(rows, left)
        right += [name for name in ranker.item_vectors if name in rows.schema]
        levels = set(rows.categorical) if ranker.category_dim else set()
        firsts, pairs = Derived(group_firsts(rows)), Derived(rows)
        of_left = nets.Encoder.of(
            firsts, [rows.user, *(n for n in left if n in levels)], [*with_powers(rows, left)]
        )
        source = [rows.source] if rows.source and ranker.source_dim else []
        channels = [rows.item, *source, *(n for n in right if n in levels)]
        of_right = nets.Encoder.of(pairs, channels, [*with_powers(rows, right)])
        beside = [name for name in ranker.beside(rows.numeric, keys) if name not in (*left, *right)]
        past = None
        if has_context:
            of_right, found = with_histories(of_right, rows, HistoryRows())
            past = found if found.names else None
        return cls(of_left, of_right, nets.Encoder.of(rows, [], beside), past)

    def context_shape(self, dim: int = 8) -> nets.ContextShape | None:
        """Sizes of the histories."""
        if self.past is None:
            return None
        channels = list(self.right.channels.values())
        shared = [
            next((i for i, of in enumerate(channels) if of is known), -1) for known in self.past.ids.values()
        ]
        n_rows = [len(known) + 1 for known in self.past.ids.values()]
        return nets.ContextShape(self.past.length, shared, n_rows, self.past.n_numbers, dim)

    def rows(self, frame: PairFrame, context: FitContext | None = None) -> TowersRows:
        """Encode a frame; its numbers go to the context's scratch folder if they are many."""
        scratch = () if context is None else (context.scratch, context.scratch_from_bytes)
        firsts, pairs = Derived(group_firsts(frame)), Derived(frame)
        on = ["window", frame.user]
        numbered = firsts.frame.table.select(on).with_row_index("group")
        group = frame.table.select(on).join(
            numbered, on=on, how="left", nulls_equal=True, maintain_order="left"
        )
        return TowersRows(
            torch.from_numpy(self.left.rows(firsts)),
            torch.from_numpy(self.left.numbers(firsts)(np.arange(firsts.height))),
            torch.from_numpy(self.right.rows(pairs)),
            self.right.numbers(pairs, *scratch),
            self.beside.numbers(frame, *scratch),
            torch.from_numpy(group["group"].cast(pl.Int64).to_numpy(writable=True)),
            None if self.past is None else histories_of(frame, self.past)[0],
        )

    def save(self, folder: Path) -> None:
        """Write a folder an encoder, and ``towers.json``: which ids of histories read a table of the right tower."""
        for name, encoder in (("left", self.left), ("right", self.right), ("beside", self.beside)):
            (folder / name).mkdir()
            encoder.save(folder / name)
        if self.past is not None:
            (folder / "past").mkdir()
            self.past.save(folder / "past")
        (folder / "towers.json").write_text(json.dumps({"has_past": self.past is not None}), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TowersEncoder:
        """Read what ``save`` wrote."""
        facts = json.loads((folder / "towers.json").read_text(encoding="utf-8"))
        left, right, beside = (nets.Encoder.load(folder / name) for name in ("left", "right", "beside"))
        past = nets.HistoryEncoder.load(folder / "past") if facts["has_past"] else None
        return cls(left, right, beside, past)


@dataclass(frozen=True)
class TowersRows:
    """Encoded pairs and groups: see ``nets.TowersInputs``; numbers of pairs are read batch by batch."""

    left: Tensor
    left_numbers: Tensor
    right: Tensor
    right_numbers: nets.NumberRows
    beside: nets.NumberRows
    group: Tensor
    histories: nets.Histories | None

    def inputs(self, at: Index) -> nets.TowersInputs:
        """Inputs of the pairs at these places; each of their groups once."""
        groups, group = torch.unique(self.group[at], return_inverse=True)
        return nets.TowersInputs(
            self.left[groups],
            self.left_numbers[groups],
            self.right[at],
            torch.from_numpy(self.right_numbers(at)),
            torch.from_numpy(self.beside(at)),
            group,
            None if self.histories is None else self.histories[groups],
        )
