"""An epoch of a net's training and how good it is then, for benchmarks that train nets side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional


class Batch(Protocol):
    """Groups of pairs with labels."""

    @property
    def labels(self) -> Tensor:
        """Labels, 0 or 1."""
        ...


def epoch(model: Any, batches: Iterator[Batch]) -> float:
    """Train once through the batches; rows a second."""
    n_rows, began = 0, time.perf_counter()
    for batch in batches:
        model.step(functional.binary_cross_entropy_with_logits(model(batch), batch.labels))
        n_rows += batch.labels.numel()
    return n_rows / (time.perf_counter() - began)


@torch.no_grad()
def quality(model: Any, held: Iterator[Batch]) -> tuple[float, float]:
    """Log loss and AUC on batches that were held out."""
    found = [(model(batch), batch.labels) for batch in held]
    scores, labels = (torch.cat([one[of] for one in found]) for of in (0, 1))
    loss = float(functional.binary_cross_entropy_with_logits(scores, labels))
    return loss, float(roc_auc_score(labels.flatten().numpy(), scores.flatten().numpy()))
