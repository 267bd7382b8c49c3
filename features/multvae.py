"""MultVAE (Liang, Krishnan, Hoffman, Jebara 2018): a variational autoencoder of likes, with a softmax over items.

"Variational Autoencoders for Collaborative Filtering", WWW 2018. A user's row x of likes, at length 1 and with half of
it dropped, is encoded as a normal distribution of a latent z; z is decoded to one logit an item, and likes are taken as
draws of their softmax. What is made smallest is -sum_i x_i log p_i(z) + beta KL(q(z | x), N(0, 1)), with beta grown
from 0 over the first half of the steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from engine import capped_threads
from features import Column, Window, fitted
from features.toolkit import Embeddings, Floats, Sparse, Values, dots, embeddings, opinions, usual

if TYPE_CHECKING:
    from torch import Generator, Tensor

HIDDEN, LATENT, DROPPED, BETA = 200, 64, 0.5, 0.2
EPOCHS, BATCH, RATE = 60, 128, 1e-3
WORK = 4_000_000  # items x steps: what a batch costs grows with its items
SEED = 20_180_215


@fitted(
    columns={
        "multvae_score": Column(
            pl.Float32,
            "Log-probability of the item among what the user likes, by MultVAE; null if the user likes nothing or "
            "nobody likes the item.",
        )
    },
    null_without="user_id",
    needs=usual("user_id", "item_id", "relevance"),
)
@dataclass
class MultVae:
    """MultVAE on the newest likes, in one thread and with a fixed seed, so that it repeats exactly."""

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Learn the net, and keep of each user the decoder's hidden units and the logarithm of the softmax's sum."""
        seen = opinions(history, "like", "item_id")
        width = HIDDEN + 2
        self.users, self.items = Embeddings(seen.users[:0], _NONE), Embeddings(seen.entities[:0], _NONE)
        if seen.cells.nnz:
            # How a product of matrices is rounded depends on the threads that share it.
            with capped_threads(1):
                users, items = vectors_of(seen.cells.astype(np.float32))
            self.users = embeddings(seen.users, users, width)
            self.items = embeddings(seen.entities, items, width)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Values]:
        """Score each pair by itself."""
        return {"multvae_score": dots(self.users[pairs["user_id"]], self.items[pairs["item_id"]])}


_NONE = np.full((1, HIDDEN + 2), np.nan)


def vectors_of(cells: Sparse) -> tuple[Floats, Floats]:
    """Learn, and give vectors of users and items (n, HIDDEN + 2) whose products are log-probabilities.

    The last numbers of a user are 1 and the logarithm of their softmax's sum, those of an item its offset and -1.
    """
    import torch

    rng = torch.Generator().manual_seed(SEED)
    n_items = cells.shape[1]
    sizes = ((n_items, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, n_items))
    net = [t for n_in, n_out in sizes for t in layer(n_in, n_out, rng)]
    optimiser = torch.optim.Adam(net, RATE)
    per_epoch = -(-cells.shape[0] // BATCH)
    n_steps = max(min(EPOCHS * per_epoch, WORK // n_items), per_epoch)
    for number, rows in enumerate(batches(cells.shape[0], n_steps), 1):
        x = torch.from_numpy(cells[rows].toarray())
        beta = min(BETA, 2 * BETA * number / n_steps)
        optimiser.zero_grad()
        loss(net, x, beta, rng).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    users = []
    with torch.no_grad():
        for start in range(0, cells.shape[0], BATCH):
            x = torch.from_numpy(cells[start : start + BATCH].toarray())
            hidden = decoded(net, encoded(net, torch.nn.functional.normalize(x))[0])
            total = torch.logsumexp(hidden @ net[6] + net[7], dim=1, keepdim=True)
            users.append(torch.cat([hidden, torch.ones_like(total), total], dim=1).numpy())
        items = torch.cat([net[6].T, net[7][:, None], torch.full((n_items, 1), -1.0)], dim=1)
    return np.concatenate(users), items.numpy()


def batches(n_users: int, n_steps: int) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Draw so many batches of users: each user once before any again."""
    rng, order = np.random.default_rng(SEED), np.zeros(0, dtype=np.int64)
    for _ in range(n_steps):
        if not len(order):
            order = rng.permutation(n_users)
        yield order[:BATCH]
        order = order[BATCH:]


def layer(n_in: int, n_out: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Weights (n_in, n_out) of Glorot and Bengio's spread, and offsets of zero."""
    import torch

    weights = torch.randn(n_in, n_out, generator=rng) * (2 / (n_in + n_out)) ** 0.5
    return weights.requires_grad_(), torch.zeros(n_out, requires_grad=True)


def encoded(net: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and logarithm of the variance of z, (n_users, LATENT) each."""
    import torch

    found = torch.tanh(x @ net[0] + net[1]) @ net[2] + net[3]
    return found[:, :LATENT], found[:, LATENT:]


def decoded(net: list[Tensor], z: Tensor) -> Tensor:
    """Hidden units before the softmax, (n_users, HIDDEN)."""
    import torch

    return torch.tanh(z @ net[4] + net[5])


def loss(net: list[Tensor], x: Tensor, beta: float, rng: Generator) -> Tensor:
    """Mean of the users' losses; which cells are dropped and the noise of z come from ``rng``."""
    import torch

    left = torch.rand(x.shape, generator=rng) >= DROPPED
    mean, log_variance = encoded(net, torch.nn.functional.normalize(x) * left / (1 - DROPPED))
    z = mean + torch.randn(mean.shape, generator=rng) * (0.5 * log_variance).exp()
    log_p = torch.log_softmax(decoded(net, z) @ net[6] + net[7], dim=1)
    divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1)
    return (beta * divergence - (x * log_p).sum(dim=1)).mean()
