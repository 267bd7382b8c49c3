"""How fast do two towers learn? ``python -m benchmarks.towers`` (20,000 groups of 20 pairs, 5,000 users and items).

A planted log: users and items have hidden vectors, and what is liked follows their product; numbers of both say
a little.
In turns, on ``--threads`` threads, the same layers from the same start, for ``--epochs`` epochs:

- *ours*: ``engine.nets``: the left tower once a group, row-wise Adagrad, layers in one pass;
- *plain*: the same net in plain PyTorch: both towers for every pair, ``SparseAdam`` and ``AdamW``.

Prints rows a second (medians of epochs after the first), and log loss and AUC on groups that were held out, after the
epoch that is best there. Wanted: 1.4 times the rows of *plain*, and no higher loss.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks._figures import keep
from benchmarks._net_rounds import epoch, quality
from engine import out
from engine.nets import Rates, Stepper, TowerShape, TowersInputs, TowersNet, TowersShape

N_SOURCES, N_LEFT, N_RIGHT = 100, 12, 24
WIDTH, SOURCE_DIM, HIDDEN, HIDDEN_DIMS = 32, 16, 64, 8
LEAST = 1.4


@dataclass(frozen=True)
class Planted:
    """Groups of as many pairs each: users (g,), items (g, pairs), numbers of both, labels (g, pairs)."""

    users: Tensor
    items: Tensor
    left: Tensor
    right: Tensor
    labels: Tensor

    @classmethod
    def of(cls, n_groups: int, n_pairs: int, n_users: int, n_items: int, seed: int) -> Planted:
        """Draw users and items; their vectors and numbers are the same for every seed."""
        world = torch.Generator().manual_seed(0)
        of_users, of_items = (torch.randn(n, HIDDEN_DIMS, generator=world) for n in (n_users, n_items))
        left, right = (
            of @ torch.randn(HIDDEN_DIMS, n, generator=world) / HIDDEN_DIMS**0.5
            + torch.randn(len(of), n, generator=world)
            for of, n in ((of_users, N_LEFT), (of_items, N_RIGHT))
        )
        draw = torch.Generator().manual_seed(seed)
        users = torch.randint(0, n_users, (n_groups,), generator=draw)
        items = torch.randint(0, n_items, (n_groups, n_pairs), generator=draw)
        product = (of_users[users][:, None] * of_items[items]).sum(dim=2) / HIDDEN_DIMS**0.5
        labels = torch.rand(product.shape, generator=draw) < torch.sigmoid(2 * product)
        return cls(users, items, left[users], right[items], labels.float())

    def batches(self, n_groups: int, seed: int) -> Iterator[Planted]:
        """Groups in another order, so many at a time."""
        order = torch.randperm(len(self.users), generator=torch.Generator().manual_seed(seed))
        for at in torch.split(order, n_groups):
            yield Planted(self.users[at], self.items[at], self.left[at], self.right[at], self.labels[at])


def shape_of(n_users: int, n_items: int) -> TowersShape:
    """Sizes of both nets."""
    left = TowerShape([n_users + 1], [WIDTH + 1], N_LEFT)
    right = TowerShape([n_items + 1, N_SOURCES + 1], [WIDTH + 1, SOURCE_DIM], N_RIGHT)
    return TowersShape(left, right, WIDTH, HIDDEN)


class Ours:
    """The net of ``engine.nets``."""

    def __init__(self, shape: TowersShape, rate: float) -> None:
        self.net = TowersNet(shape)
        self.step = Stepper(
            *self.net.tables_and_layers(), Rates(0.001, rate, 0.0, "row adagrad", is_fused=True)
        )

    def __call__(self, batch: Planted) -> Tensor:
        n_groups, n_pairs = batch.items.shape
        items = batch.items.flatten()
        scores: Tensor = self.net(
            TowersInputs(
                left=batch.users[:, None] + 1,
                left_numbers=batch.left,
                right=torch.stack([items + 1, items % N_SOURCES + 1], dim=1),
                right_numbers=batch.right.flatten(0, 1),
                beside=batch.left.new_zeros((len(items), 0)),
                group=torch.arange(n_groups).repeat_interleave(n_pairs),
            )
        )
        return scores.reshape(n_groups, n_pairs)


class Plain(nn.Module):
    """The same layers as somebody would write them: a row a pair."""

    def __init__(self, shape: TowersShape, rate: float) -> None:
        super().__init__()
        n_users, (n_items, _) = shape.left.n_rows[0], shape.right.n_rows
        self.users = nn.Embedding(n_users, WIDTH + 1, sparse=True)
        self.items = nn.Embedding(n_items, WIDTH + 1, sparse=True)
        self.sources = nn.Embedding(N_SOURCES + 1, SOURCE_DIM, sparse=True)
        self.left = nn.Sequential(
            nn.Linear(WIDTH + 1 + N_LEFT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WIDTH + 1)
        )
        self.right = nn.Sequential(
            nn.Linear(WIDTH + 1 + SOURCE_DIM + N_RIGHT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WIDTH + 1)
        )
        self.scale, self.level = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.take(TowersNet(shape))
        tables = [table.weight for table in (self.users, self.items, self.sources)]
        layers = [p for p in self.parameters() if all(p is not table for table in tables)]
        self.optimizers = [
            torch.optim.AdamW(layers, lr=0.001, weight_decay=0.0),
            torch.optim.SparseAdam(tables, lr=rate),
        ]

    @torch.no_grad()
    def take(self, net: TowersNet) -> None:
        """Start where our net starts."""
        tables = [*net.left_tables.parameters(), *net.right_tables.parameters()]
        for table, start in zip((self.users, self.items, self.sources), tables, strict=True):
            table.weight.copy_(start)
        for layers, tower in ((self.left, net.left), (self.right, net.right)):
            of_tower = [*tower.hidden.parameters(), *tower.output.parameters()]
            for own, other in zip(layers.parameters(), of_tower, strict=True):
                own.copy_(other)

    def step(self, loss: Tensor) -> None:
        """Move all parameters."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()

    def forward(self, batch: Planted) -> Tensor:
        """Scores (groups, pairs)."""
        n_pairs = batch.items.shape[1]
        user = self.users(batch.users.repeat_interleave(n_pairs) + 1)
        left = batch.left.repeat_interleave(n_pairs, dim=0)
        items = batch.items.flatten()
        item, source = self.items(items + 1), self.sources(items % N_SOURCES + 1)
        u = user + self.left(torch.cat([user, left], dim=1))
        v = item + self.right(torch.cat([item, source, batch.right.flatten(0, 1)], dim=1))
        product = (u[:, :-1] * v[:, :-1]).sum(dim=1)
        scores: Tensor = self.scale * product + u[:, -1] + v[:, -1] + self.level
        return scores.reshape(batch.items.shape)


def main() -> int:
    """Measure, print, keep the figures."""
    asked = arguments()
    torch.set_num_threads(asked.threads)
    train, held = (
        Planted.of(n, asked.pairs, asked.users, asked.items, seed)
        for n, seed in ((asked.groups, 1), (max(1, asked.groups // 10), 2))
    )
    shape = shape_of(asked.users, asked.items)
    models: dict[str, Any] = {}
    for name, make in (
        ("ours", lambda: Ours(shape, asked.rate)), ("plain", lambda: Plain(shape, asked.plain_rate))
    ):  # fmt: skip
        torch.manual_seed(3)
        models[name] = make()
    speeds: dict[str, list[float]] = {name: [] for name in models}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for number in range(asked.epochs):
        for name, model in models.items():
            speeds[name].append(epoch(model, train.batches(asked.batch_groups, number)))
            found[name].append(quality(model, held.batches(256, 0)))
    figures = {name: (median(speeds[name][1:] or speeds[name]), *min(found[name])) for name in models}
    for name, (speed, loss, auc) in figures.items():
        course = ", ".join(f"{one:.4f}" for one, _ in found[name])
        out.print(
            f"{name}: {speed:,.0f} rows a second, log loss {loss:.4f} ({course}), AUC {auc:.4f}",
            highlight=False,
        )
    ratio = figures["ours"][0] / figures["plain"][0]
    word = "kept" if ratio >= LEAST and figures["ours"][1] <= figures["plain"][1] else "MISSED"
    out.print(f"ours / plain: {ratio:.2f} (at least {LEAST}, at no higher loss: {word})", highlight=False)
    keep("towers", {"figures": figures, "rounds": speeds, "losses": found}, asked.out)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = {
        "groups": 20_000,
        "pairs": 20,
        "users": 5_000,
        "items": 5_000,
        "batch-groups": 25,
        "epochs": 4,
        "threads": 2,
    }
    for name, number in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--rate", type=float, default=0.1, help="of our tables")
    parser.add_argument("--plain-rate", type=float, default=0.003, help="of the plain net's tables")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
