"""The channel net, streamed: vectors of user, source and item side by side, one hidden layer, one output.

The net of ``models/channel_net.py`` without its other columns, as a feed trains it: rows come, tables grow, and each
chunk is learned only as long as its newest rows, which are held out, gain from it.

    score = w . relu(A user + B source + C item + b) + c        (log odds of relevance > 0)

Vectors move by row-wise Adagrad, the layers by AdamW (Loshchilov, Hutter 2019), both on the log loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import EmbeddingTable, load_tables, save_tables, working_sets
from features import Column, FeatureError, LogColumns, StreamContext, streamed
from features.toolkit import Floats, hidden_scores, highest_scores, multiplied

if TYPE_CHECKING:
    from torch import Tensor

Rows = npt.NDArray[np.int64]

DIMS = (100, 80, 20)  # of user, source and item
HIDDEN = 70
BATCH, EPOCHS, PATIENCE = 256, 5, 1
HELD = 10  # one row of so many of a chunk is held out: the newest ones
RATE_OF_TABLES, RATE_OF_LAYERS, DECAY = 0.05, 0.003, 0.01
NOISE = 0.1  # of new users and sources: where all are alike, nothing tells them apart
MEMORY_GIB = 0.25  # of each table; what is beyond that lies in files
FRESH, BEST = 50_000, 100  # items in the pool that is searched, and what is found for a user
FORMAT = {"format": 1, "hidden": HIDDEN}
_LAYERS = "layers.npz"
_FEW = 2_048  # rows that are multiplied at a time

_VECTOR = "Vector of the {} as it reaches the hidden layer; never null: zero if unseen."
_COLUMNS = {
    "channel_score": Column(pl.Float32, "Log odds of a positive relevance by the channel net; never null."),
    **{
        f"channel_{of}": Column(pl.Array(pl.Float32, HIDDEN), _VECTOR.format(of))
        for of in ("user", "source", "item")
    },
}


class Layers:
    """The hidden layer and the output with their optimiser."""

    def __init__(self, width: int) -> None:
        import torch
        from torch import nn

        self.hidden, self.output = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, 1)
        # Without offsets small vectors lie where units turn on and off; elsewhere the net begins as a sum.
        nn.init.zeros_(self.hidden.bias)
        self.net = nn.Sequential(self.hidden, nn.ReLU(), self.output)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=RATE_OF_LAYERS, weight_decay=DECAY, foreach=False
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Parameters, and what AdamW knows of each once it has moved them."""
        found = dict[str, npt.NDArray[Any]]()
        for name, parameter in self.net.named_parameters():
            known = {"": parameter.detach(), **self.optimizer.state[parameter]}
            found |= {f"{name} {of}": value.numpy().copy() for of, value in known.items()}
        return found

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Be as ``arrays`` found it."""
        import torch

        for name, parameter in self.net.named_parameters():
            known = {
                of.removeprefix(f"{name} "): torch.from_numpy(value.copy())
                for of, value in arrays.items()
                if of.startswith(f"{name} ")
            }
            parameter.data = known.pop("")
            self.optimizer.state[parameter] = known


@dataclass
class Chunk:
    """Rows of the log on their way through the net, as ``train_until`` trains it.

    ``at``: rows of each table (n,), -1 where there is none. ``is_good``: Float32 (n,). ``touched``: distinct rows
    of each table. ``position``: of its first row in the log.
    """

    tables: Sequence[EmbeddingTable]
    layers: Layers
    at: Sequence[Rows]
    is_good: Floats
    touched: Sequence[Rows]
    position: int
    seed: int

    def state_dict(self) -> dict[str, Any]:
        """All that learning changes: layers with their optimiser, and records of the rows."""
        records = [table.records.at(rows) for table, rows in zip(self.tables, self.touched, strict=True)]
        return {"layers": self.layers.arrays(), "records": records}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Be as ``state_dict`` found it."""
        self.layers.restore(state["layers"])
        for table, rows, records in zip(self.tables, self.touched, state["records"], strict=True):
            table.records.write(rows, records)
            table.changed(rows)

    def learn(self, first: int, last: int, epoch: int) -> float:
        """Go over rows once, in an order drawn by position and epoch; gives the mean log loss."""
        order = first + np.random.default_rng([self.seed, self.position, epoch]).permutation(last - first)
        chosen = [order[begin : begin + BATCH] for begin in range(0, len(order), BATCH)]
        batches = [[of[rows][of[rows] >= 0] for of in self.at] for rows in chosen]
        place = f"rows {self.position + first:,} to {self.position + last:,} of the log"
        lent = working_sets(self.tables, batches, rate=RATE_OF_TABLES, place=place)
        total = 0.0
        for rows, (sets, batch) in zip(chosen, lent, strict=True):
            vectors = [s.take(of).requires_grad_() for s, of in zip(sets, batch, strict=True)]
            self.layers.optimizer.zero_grad()
            loss = self.loss(rows, vectors)
            loss.backward()  # type: ignore[no-untyped-call]
            self.layers.optimizer.step()
            for s, of, vector in zip(sets, batch, vectors, strict=True):
                if vector.grad is not None:
                    s.learn(of, vector.grad)
            total += float(loss.detach()) * len(rows)
        return total / len(order)

    def held_loss(self, first: int, last: int) -> float:
        """Mean log loss of rows that nothing is learned from."""
        import torch

        total = 0.0
        for begin in range(first, last, _FEW):
            rows = np.arange(begin, min(begin + _FEW, last))
            with torch.no_grad():
                vectors = [
                    torch.from_numpy(table.read(of[rows][of[rows] >= 0]))
                    for table, of in zip(self.tables, self.at, strict=True)
                ]
                total += float(self.loss(rows, vectors)) * len(rows)
        return total / (last - first)

    def loss(self, rows: Rows, vectors: Sequence[Tensor]) -> Tensor:
        """Mean log loss of rows; ``vectors``: those of each table, without the rows that have none there."""
        import torch

        parts = []
        for of, found in zip(self.at, vectors, strict=True):
            is_there = torch.from_numpy(of[rows] >= 0)
            whole = torch.zeros(len(rows), found.shape[1])
            parts.append(whole.masked_scatter(is_there[:, None], found))
        scores = self.layers.net(torch.cat(parts, dim=1)).squeeze(1)
        labels = torch.from_numpy(self.is_good[rows])
        return torch.nn.functional.binary_cross_entropy_with_logits(scores, labels)


@streamed(
    columns=_COLUMNS,
    needs=lambda log, dims: (log.user, log.item, *([log.source] if log.source else []), "relevance"),
    step=100_000,
    # One more line is one more width to compare, by `python -m features card 'channel_score__*'`.
    variants={"_".join(map(str, dims)): {"dims": dims} for dims in (DIMS, (50, 40, 10), (20, 16, 4))},
)
class Channel:
    """User, source and item vectors, one hidden layer: trained chunk by chunk until the chunk's newest rows turn.

    ``dims``: widths of user, source and item. ``held``: one row of so many is held out; 0 = none. A new user or source
    starts near zero; a new item at the mean of its source's items. Rows without user, item or relevance are passed
    over.
    """

    def __init__(
        self, log: LogColumns, dims: Sequence[int] = DIMS, memory_gib: float = MEMORY_GIB, held: int = HELD
    ) -> None:
        named = {"user": (log.user, dims[0]), "source": (log.source, dims[1]), "item": (log.item, dims[2])}
        self.keys = {name: key for name, (key, _) in named.items() if key is not None}
        self.dims = {name: named[name][1] for name in self.keys}
        self.memory_gib, self.held = memory_gib, held

    def start(self, context: StreamContext) -> None:
        """Begin without a row."""
        self.folder, self.seed, self.n_rows = context.folder, context.seed, 0
        self.tables = {
            name: EmbeddingTable(
                name,
                dim,
                seed=context.seed + at,
                noise=0.0 if name == "item" else NOISE,
                folder=context.folder,
                memory_gib=self.memory_gib,
            )
            for at, (name, dim) in enumerate(self.dims.items())
        }
        from engine import nets

        with nets.reproducible(context.seed, 1):
            self.layers = Layers(sum(self.dims.values()))
        self.source_of = np.zeros(0, dtype=np.int32)  # row of each item's source; -1 for none
        self.n_items = np.zeros(0, dtype=np.int64)  # of each source
        self.total = np.zeros((0, self.dims["item"]))  # of their vectors

    def learn(self, rows: pl.DataFrame) -> None:
        """Grow by what is new, then train until the newest rows turn; these are learned from once after that."""
        from engine import nets

        known = rows.filter(
            pl.col(name).is_not_null() for name in (self.keys["user"], self.keys["item"], "relevance")
        )
        position, self.n_rows = self.n_rows, self.n_rows + rows.height
        if known.is_empty():
            return
        at = self._grown(known)
        touched = {name: np.unique(of[of >= 0]) for name, of in at.items()}
        before = self.tables["item"].read(touched["item"])
        good = (known["relevance"] > 0).cast(pl.Float32).to_numpy()
        tables = list(self.tables.values())
        chunk = Chunk(
            tables, self.layers, list(at.values()), good, list(touched.values()), position, self.seed
        )
        with nets.reproducible(self.seed, 1):
            self._train(chunk)
        self._add(touched["item"], self.tables["item"].read(touched["item"]).astype(np.float64) - before)

    def _train(self, chunk: Chunk) -> None:
        """Train until the newest rows turn, and go back to before that; too few rows are gone over once."""
        from engine import nets

        n_rows = len(chunk.is_good)
        n_held = n_rows // self.held if self.held else 0
        last, numbers = n_rows - n_held, iter(range(EPOCHS))
        course = nets.train_until(
            chunk,
            lambda: chunk.learn(0, last, next(numbers)),
            (lambda: chunk.held_loss(last, n_rows)) if n_held else None,
            epochs=1 if self.held and not n_held else EPOCHS,
            patience=PATIENCE,
            may_be_best=True,
        )
        if n_held and course.n_epochs:
            chunk.learn(last, n_rows, EPOCHS)

    def _grown(self, rows: pl.DataFrame) -> dict[str, Rows]:
        """Give the rows of each table, with new ones for what is new."""
        n_before, at = len(self.tables["item"]), dict[str, Rows]()
        for name in ("user", "source"):
            if name in self.keys:
                at[name] = self.tables[name].grow(rows[self.keys[name]])
        source = at.get("source", np.full(rows.height, -1))
        n_new = len(self.tables["source"]) - len(self.n_items) if "source" in self.tables else 0
        self.n_items = np.append(self.n_items, np.zeros(n_new, dtype=np.int64))
        self.total = np.vstack([self.total, np.zeros((n_new, self.total.shape[1]))])
        starts = self._means(source)
        at["item"] = self.tables["item"].grow(rows[self.keys["item"]], starts)
        distinct, first = np.unique(at["item"], return_index=True)
        first = first[distinct >= n_before]
        self.source_of = np.append(self.source_of, source[first].astype(np.int32))
        self._add(np.arange(n_before, len(self.source_of)), starts[first])
        np.add.at(self.n_items, source[first][source[first] >= 0], 1)
        return at

    def _means(self, source: Rows) -> Floats:
        """Mean vector of the items of each source, Float32 (n, dim); zero for -1 and for a source without items."""
        found = np.zeros((len(source), self.total.shape[1]), dtype=np.float32)
        is_there = source >= 0
        of = source[is_there]
        found[is_there] = self.total[of] / np.maximum(self.n_items[of], 1)[:, None]
        return found

    def _add(self, items: Rows, change: npt.NDArray[np.floating]) -> None:
        """Let the sums of sources follow their items."""
        of = self.source_of[items]
        np.add.at(self.total, of[of >= 0], change[of >= 0])

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Floats]:
        """Score each pair by itself, and give what user, source and item add to the hidden units."""
        import torch

        at = {name: table.rows(pairs[self.keys[name]]) for name, table in self.tables.items()}
        nothing = np.zeros((pairs.height, HIDDEN), dtype=np.float32)
        user = self._part("user", at["user"])
        source = self._part("source", at["source"]) if "source" in at else nothing
        item = self._part("item", self._or_like_source(at["item"], at.get("source")))
        bias, weights, level = self._output()
        score = np.zeros(pairs.height, dtype=np.float32)
        for first in range(0, pairs.height, _FEW):
            some = slice(first, first + _FEW)
            left, right = torch.from_numpy(user[some]), torch.from_numpy(item[some] + source[some] + bias)
            score[some] = hidden_scores(left, right, torch.from_numpy(weights)).numpy() + level
        vectors = {"channel_user": user, "channel_source": source, "channel_item": item}
        return {"channel_score": score, **vectors}

    def best_fresh(self, users: pl.Series, n_fresh: int = FRESH, k: int = BEST) -> pl.DataFrame:
        """Find for each user the best of the items that came last, at most ``n_fresh``.

        Columns ``user``, ``item`` and ``score``, ``k`` rows for each user, the best first, of equal ones the older.
        """
        table = self.tables["item"]
        last, users = len(table), users.alias("user")
        rows = np.arange(max(last - n_fresh, 0), last)
        bias, weights, level = self._output()
        items = self._part("item", rows)
        if "source" in self.tables:
            items = items + self._part("source", self.source_of[rows].astype(np.int64))
        of_users = self._part("user", self.tables["user"].rows(users))
        places, scores = highest_scores(of_users, items + bias, weights, k)
        ids = table.ids.slice(int(rows[0]) if len(rows) else 0)
        return pl.DataFrame(
            {
                "user": users.gather(np.repeat(np.arange(len(users)), places.shape[1])),
                "item": ids.gather(places.ravel()),
                "score": scores.ravel() + level,
            }
        )

    def _or_like_source(self, item: Rows, source: Rows | None) -> Rows:
        """Rows of items; -2 and below stand for unseen items of a source that has a row, -1 for others."""
        return item if source is None else np.where((item < 0) & (source >= 0), -2 - source, item)

    def _part(self, name: str, rows: Rows) -> Floats:
        """Give what rows of a table add to the hidden units: Float32 (n, HIDDEN), the same for a row in any company."""
        distinct, places = np.unique(rows, return_inverse=True)
        vectors = np.zeros((len(distinct), self.dims[name]), dtype=np.float32)
        vectors[distinct >= 0] = self.tables[name].read(distinct[distinct >= 0])
        like_source = distinct < -1
        if like_source.any():
            vectors[like_source] = self._means(-2 - distinct[like_source])
        names = list(self.dims)
        first = sum(self.dims[other] for other in names[: names.index(name)])
        weights = self.layers.hidden.weight.detach().numpy()[:, first : first + self.dims[name]]
        return multiplied(vectors, weights).take(places, axis=0)

    def _output(self) -> tuple[Floats, Floats, np.float32]:
        """Give the offsets of the hidden units, the weights of the output (HIDDEN,), and its level."""
        hidden, output = self.layers.hidden, self.layers.output
        level = np.float32(output.bias.detach().numpy()[0])
        return hidden.bias.detach().numpy(), output.weight.detach().numpy()[0], level

    def save(self, folder: Path) -> None:
        """Write the tables with the format and the rows so far, and beside them layers and sums."""
        save_tables(folder, list(self.tables.values()), {**FORMAT, "rows": self.n_rows})
        arrays = self.layers.arrays()
        arrays |= {"source_of": self.source_of, "n_items": self.n_items, "total": self.total}
        np.savez(folder / _LAYERS, allow_pickle=False, **arrays)

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote."""
        tables, about = load_tables(folder, scratch=self.folder, memory_gib=self.memory_gib)
        expected = {**FORMAT, **self.dims}
        found = {
            **{name: about.get(name) for name in FORMAT},
            **{n: table.dim for n, table in tables.items()},
        }
        if found != expected:
            raise FeatureError(
                f"The state in {folder} is another version's: {found}.",
                expected=f"{expected}",
                todo="remove it",
            )
        self.tables, self.n_rows = tables, about["rows"]
        with np.load(folder / _LAYERS, allow_pickle=False) as saved:
            arrays = dict(saved)
        self.source_of, self.n_items, self.total = (arrays.pop(n) for n in ("source_of", "n_items", "total"))
        self.layers.restore(arrays)
