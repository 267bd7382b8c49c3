"""Pairs beside the histories of their groups: what a sequence net is trained on, and predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine import nets
from models._pair_frame import PairFrame, Scores
from models._ranker import FitContext, read_json, write_json
from models.ranking.derived import Derived, group_firsts
from models.ranking.losses import Index
from models.ranking.parameters import (
    CONTENT,
    CONTENTS,
    GAPS,
    ITEMS,
    LEVELS,
    NUMBERS,
    SOURCES,
    HistoryRows,
)
from models.ranking.trained import FittedNet, Trained
from models.ranking.training import NetData, Training
from models.ranking.transitions import Transitions

_BATCH = 8_192  # rows that go through the net at a time, each with the tokens of its history


@dataclass(frozen=True)
class SequenceData(NetData):
    """Encoded pairs and the histories of their groups. ``group``, ``level``: Int64 (n,), of each pair.

    ``vector``: numbers of each pair's content; None = none are read.
    """

    histories: nets.Histories
    group: Tensor
    level: Tensor
    vector: nets.NumberRows | None = None

    @classmethod
    def read(
        cls,
        frame: PairFrame,
        encoder: nets.Encoder,
        past: nets.HistoryEncoder,
        levels: Scores,
        context: FitContext,
        content: nets.Encoder | None = None,
    ) -> SequenceData:
        """Encode a sorted frame; ``levels``: the levels of relevance of the whole train frame, sorted."""
        plain = NetData.of(frame, encoder, float(levels[0]), float(levels[-1]), context)
        histories, group = histories_of(frame, past)
        level = torch.from_numpy(np.searchsorted(levels, frame.relevance))
        vector = vectors_of(frame, content, context.scratch, context.scratch_from_bytes)
        return cls(
            plain.rows,
            plain.numbers,
            plain.relevance,
            plain.weight,
            plain.groups,
            histories,
            group,
            level,
            vector,
        )

    @property
    def eval_rows(self) -> int:
        """Rows of a batch when no gradients are kept."""
        return _BATCH

    def scored(self, net: Any, embedded: Tensor, rows: Index, training: Training) -> tuple[Tensor, Tensor]:
        """Scores of rows, and the loss of what else the net is trained for."""
        inputs = inputs_of(self.histories, self.group, rows, self.numbers, self.vector)
        if not net.training:
            return net(embedded, inputs), torch.zeros(())
        weight = None if self.weight is None else self.weight[rows]
        scores, more = net.scores_and_more(embedded, inputs, self.level[rows], weight, training.more)
        return scores, more


def histories_of(frame: PairFrame, past: nets.HistoryEncoder) -> tuple[nets.Histories, Tensor]:
    """Histories of the frame's groups, in the order in which they come, and the group of each pair: Int64 (n,)."""
    firsts, on = group_firsts(frame), ["window", frame.user]
    numbered = firsts.table.select(on).with_row_index("group")
    group = frame.table.select(on).join(numbered, on=on, how="left", nulls_equal=True, maintain_order="left")
    arrays = {name: firsts.column(name) for name in past.names}
    numbers = group["group"].cast(pl.Int64).to_numpy(writable=True)
    return past.histories(arrays, firsts.height), torch.from_numpy(numbers)


def content_encoder(rows: PairFrame) -> nets.Encoder | None:
    """What turns each pair's content into numbers, and one that is 1 where it is unknown; None without contents.

    The scales are those of the train rows' contents, for pairs and for histories.
    """
    dtype = rows.schema.get(CONTENT)
    if not isinstance(dtype, pl.Array) or len(dtype.shape) != 1 or not dtype.inner.is_float():
        return None
    learned = nets.Encoder.of(Derived(rows), [], [f"{CONTENT}[{i}]" for i in range(dtype.size)])
    is_first = np.arange(dtype.size) == 0  # a vector is known as a whole: one number says so
    return replace(learned, scaler=replace(learned.scaler, has_nulls=is_first))


def vectors_of(
    frame: PairFrame,
    content: nets.Encoder | None,
    scratch: Path | None = None,
    scratch_from_bytes: int = 2**28,
) -> nets.NumberRows | None:
    """Numbers of each pair's content, in a file in the folder ``scratch`` if they are many; None without an encoder."""
    return None if content is None else content.numbers(Derived(frame), scratch, scratch_from_bytes)


def arrays_of(frame: PairFrame, names: Sequence[str]) -> dict[str, pl.Series]:
    """Columns of arrays that the pairs of a group share: one array a group, as ``histories_of`` reads them."""
    firsts = group_firsts(frame)
    return {name: firsts.column(name) for name in names}


def shared_channels(frame: PairFrame, of_rows: HistoryRows) -> dict[str, str]:
    """Channel whose table each column of ids of a history reads."""
    items, sources = (f"{of_rows.named(of)}__{frame.user}" for of in (ITEMS, SOURCES))
    return {items: frame.item} if frame.source is None else {items: frame.item, sources: frame.source}


def with_histories(
    encoder: nets.Encoder,
    rows: PairFrame,
    of_rows: HistoryRows,
    *,
    has_times: bool = False,
    content: nets.Encoder | None = None,
) -> tuple[nets.Encoder, nets.HistoryEncoder]:
    """What turns histories into inputs: their items and sources and those of the pairs have one vocabulary each.

    ``has_times``: whether histories tell the time since each place, where there are gaps. ``content``: by what scales
    they tell contents, where there are any; None = not.
    """
    arrays = arrays_of(rows, of_rows.columns(rows))
    channels, ids = dict(encoder.channels), {}
    for name, channel in shared_channels(rows, of_rows).items():
        if name in arrays and channel in channels:
            met = arrays[name].arr.explode(empty_as_null=True).cast(channels[channel].values.dtype)
            channels[channel] = ids[name] = nets.Vocabulary.of(pl.concat([channels[channel].values, met]))
    levels, numeric = (of_rows.columns(rows, names) for names in (LEVELS, NUMBERS))
    ids |= {name: nets.Vocabulary.of(arrays[name].arr.explode(empty_as_null=True)) for name in levels}
    encoder = nets.Encoder(channels, encoder.numeric, encoder.scaler)
    gaps = of_rows.columns(rows, [GAPS]) if has_times else []
    vectors = None
    if content is not None and (names := of_rows.columns(rows, [CONTENTS])):
        vectors = nets.Vectors(names[0], content.scaler)
        arrays[vectors.name] = pl.Series(dtype=rows.schema[vectors.name])  # its scales are known
    past = nets.HistoryEncoder.of(arrays, ids, numeric, gaps[0] if gaps else None, vectors)
    return encoder, past


def inputs_of(
    histories: nets.Histories,
    group: Tensor,
    at: Index,
    numbers: nets.NumberRows,
    vector: nets.NumberRows | None = None,
) -> nets.SequenceInputs:
    """Inputs of the pairs at these places, whose groups are ``group`` (n_pairs,): each of their histories once."""
    groups, of = torch.unique(group[at], return_inverse=True)
    own = None if vector is None else torch.from_numpy(vector(at))
    return nets.SequenceInputs(torch.from_numpy(numbers(at)), histories[groups], of, own)


@dataclass(frozen=True)
class TrainedSequence:
    """A sequence net in Float64, in evaluation mode, and what turns frames into its inputs."""

    net: nets.SequenceNet
    encoder: nets.Encoder
    past: nets.HistoryEncoder
    content: nets.Encoder | None = None
    led: Transitions | None = None

    @torch.no_grad()
    def scores(self, frame: PairFrame) -> Scores:
        """Score every pair, Float64 (n_pairs,), the same alone as in bulk: see ``TrainedNet.scores``."""
        return np.concatenate([*map(self._scores, frame.chunks()), np.empty(0)])

    def _scores(self, frame: PairFrame) -> Scores:
        frame = frame if self.led is None else self.led.added(frame)
        rows, numbers = torch.from_numpy(self.encoder.rows(frame)), self.encoder.numbers(frame)
        histories, group = histories_of(frame, self.past)
        vector = vectors_of(frame, self.content)
        scores = np.empty(len(rows), dtype=np.float32)
        for lo in range(0, len(rows), _BATCH):
            taken = np.arange(lo, min(lo + _BATCH, len(rows)))
            inputs = inputs_of(histories, group, taken, numbers, vector).double()
            scores[taken] = self.net(self.net.embed(rows[taken]), inputs).float().numpy()
        return scores.astype(np.float64)

    def save(self, folder: Path) -> None:
        """Write ``net.safetensors`` (Float32), ``shape.json`` and the encoders."""
        write_json(folder / "shape.json", self.net.shape)
        save_file({k: v.float() for k, v in self.net.state_dict().items()}, folder / "net.safetensors")
        self.encoder.save(folder)
        self.past.save(folder)
        if self.content is not None:
            (folder / "content").mkdir()
            self.content.save(folder / "content")
        if self.led is not None:
            (folder / "transitions").mkdir()
            self.led.save(folder / "transitions")

    @classmethod
    def load(cls, folder: Path) -> TrainedSequence:
        """Read what ``save`` wrote."""
        shape = read_json(folder / "shape.json", nets.SequenceShape)
        net = nets.SequenceNet.of(shape, load_file(folder / "net.safetensors"))
        past, own = nets.HistoryEncoder.load(folder), folder / "content"
        content = nets.Encoder.load(own) if own.exists() else None
        led = Transitions.load(folder / "transitions") if (folder / "transitions").exists() else None
        return cls(net.double().eval(), nets.Encoder.load(folder), past, content, led)


@dataclass(frozen=True)
class FittedSequence(FittedNet):
    """A trained sequence net, or the constant 0 if the train rows had one level of relevance."""

    @staticmethod
    def _read(folder: Path) -> Trained:
        return TrainedSequence.load(folder)
