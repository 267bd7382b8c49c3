"""A trained net on its own: predict, save, load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from engine import nets
from models._pair_frame import PairFrame, Scores
from models._ranker import FitContext, FitReport, read_json, write_json
from models.ranking.parameters import NetParameters

_BATCH = 65_536  # rows that go through the net at a time
_BETWEEN = 7_919  # seeds of the nets of one average, so that they are not those of a repeat


@dataclass(frozen=True)
class TrainedNet:
    """A net in Float64, in evaluation mode, and what turns frames into its inputs."""

    net: nets.ConcatNet
    encoder: nets.Encoder

    @torch.no_grad()
    def scores(self, frame: PairFrame) -> Scores:
        """Score every pair, Float64 (n_pairs,).

        The sums run in Float64 and the result is rounded to Float32: the last bits of a matrix product depend on
        how many rows it has, and a pair alone must get the score that it gets in bulk.
        """
        return np.concatenate([*map(self._scores, frame.chunks()), np.empty(0)])

    def save(self, folder: Path) -> None:
        """Write ``net.safetensors`` (Float32), ``shape.json`` and the encoder."""
        write_json(folder / "shape.json", self.net.shape)
        save_file({k: v.float() for k, v in self.net.state_dict().items()}, folder / "net.safetensors")
        self.encoder.save(folder)

    @classmethod
    def load(cls, folder: Path) -> TrainedNet:
        """Read what ``save`` wrote."""
        shape = read_json(folder / "shape.json", nets.NetShape)
        net = nets.ConcatNet.of(shape, load_file(folder / "net.safetensors"))
        return cls(net.double().eval(), nets.Encoder.load(folder))

    def _scores(self, frame: PairFrame) -> Scores:
        rows = torch.from_numpy(self.encoder.rows(frame))
        numbers = self.encoder.numbers(frame)
        scores = np.empty(len(rows), dtype=np.float32)
        for lo in range(0, len(rows), _BATCH):
            taken = np.arange(lo, min(lo + _BATCH, len(rows)))
            batch = torch.from_numpy(numbers(taken)).double()
            scores[taken] = self.net(self.net.embed(rows[taken]), batch).float().numpy()
        return scores.astype(np.float64)


class Trained(Protocol):
    """A trained net and what turns frames into its inputs."""

    def scores(self, frame: PairFrame) -> Scores:
        """Score every pair, Float64 (n_pairs,)."""
        ...

    def save(self, folder: Path) -> None:
        """Write native files."""
        ...


@dataclass(frozen=True)
class Average:
    """Nets of several seeds."""

    nets: tuple[Trained, ...]

    def scores(self, frame: PairFrame) -> Scores:
        """Take the mean of their scores, Float64 (n_pairs,)."""
        total = sum((net.scores(frame) for net in self.nets), np.zeros(frame.table.height))
        mean: Scores = total / len(self.nets)
        return mean

    def save(self, folder: Path) -> None:
        """Write each into a folder of its own."""
        for number, net in enumerate(self.nets):
            (own := folder / f"net_{number:03}").mkdir()
            net.save(own)


@dataclass(frozen=True)
class FittedNet:
    """A trained net, or the constant 0 if the train rows had one level of relevance (``trained`` is None)."""

    trained: Trained | None
    report: FitReport

    def predict(self, frame: PairFrame) -> Scores:
        """Score every pair: Float64 (n_pairs,), finite; the same alone as in bulk."""
        return np.zeros(frame.table.height) if self.trained is None else self.trained.scores(frame)

    def save(self, folder: Path) -> None:
        """Write ``report.json`` and, unless constant, the trained net."""
        write_json(folder / "report.json", self.report)
        if self.trained is not None:
            self.trained.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        report = read_json(folder / "report.json", FitReport)
        if several := sorted(folder.glob("net_*")):
            return cls(Average(tuple(map(cls._read, several))), report)
        is_trained = (folder / "net.safetensors").exists()
        return cls(cls._read(folder) if is_trained else None, report)

    @staticmethod
    def _read(folder: Path) -> Trained:
        return TrainedNet.load(folder)


Net = TypeVar("Net", bound=NetParameters)
Fitted = TypeVar("Fitted", bound=FittedNet)


def averaged(ranker: Net, context: FitContext, fit: Callable[[Net, FitContext], Fitted]) -> Fitted:
    """Fit under as many seeds as the ranker says, each in its share of the time budget; scores are their mean.

    The report has the mean of the iterations and of the training losses; the rest is the first one's, but for a time
    budget that ended any of them.
    """
    n = ranker.seeds
    if n == 1:
        return fit(ranker, context)
    budget = None if ranker.time_budget is None else ranker.time_budget / n
    one = replace(ranker, seeds=1, time_budget=budget)
    every = [fit(one, replace(context, seed=context.seed + k * _BETWEEN)) for k in range(n)]
    trained = [of.trained for of in every if of.trained is not None]
    if len(trained) < n:  # one level of relevance: no seed has anything to learn
        return every[0]
    reports = [of.report for of in every]
    losses = [r.training_loss for r in reports if r.training_loss is not None]
    report = replace(
        reports[0],
        iterations=round(sum(r.iterations or 0 for r in reports) / n),
        stopped_by="time budget"
        if "time budget" in [r.stopped_by for r in reports]
        else reports[0].stopped_by,
        training_loss=sum(losses) / n if len(losses) == n else None,
    )
    return replace(every[0], trained=Average(tuple(trained)), report=report)
