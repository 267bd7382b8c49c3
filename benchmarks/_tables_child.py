"""Runs of ``tables.py``, each in a process of its own: ``python -m benchmarks._tables_child KIND '{"rows": ...}'``."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from benchmarks._tables_pairs import CHUNK, Index, PairTables, drawn_pairs
from engine import EmbeddingTable, working_sets

MIB = 2**20
OTHERS = 100  # that a held-out one is ranked among
Facts = dict[str, float]


def train(rows: int, pairs: int, dim: int, gib: float, part_rows: int, folder: str, cap_gib: float) -> Facts:
    """Train on pairs of ``rows`` vectors, half of them on each side; in memory if ``gib`` is 0."""
    if cap_gib:
        resource.setrlimit(resource.RLIMIT_DATA, (int(cap_gib * 1024 * MIB),) * 2)
    facts: Facts = {}
    with TemporaryDirectory(dir=folder) as scratch:
        tables = PairTables.of(dim, Path(scratch) if gib else None, gib)
        began = time.perf_counter()
        for side in (tables.left, tables.right):
            for first in range(0, rows // 2, CHUNK):
                side.grow(pl.Series(np.arange(first, min(first + CHUNK, rows // 2))))
        facts["grow_seconds"] = time.perf_counter() - began
        left, right = drawn(rows // 2, rows // 2, pairs, 1)
        facts |= timed(lambda: tables.learn(left, right, part_rows), pairs)
        if gib:
            for name in ("save_seconds", "save_again_seconds"):
                began = time.perf_counter()
                tables.save(Path(scratch, "state"))
                facts[name] = time.perf_counter() - began
        facts["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        facts["check"] = float(np.abs(tables.scores(left[:1000], right[:1000])).sum())
    return facts


def drawn(n_left: int, n_right: int, pairs: int, seed: int) -> tuple[Index, Index]:
    """Pairs of a log, made in chunks; ids of 32 bits."""
    sides = [np.empty(pairs, dtype=np.int32) for _ in range(2)]
    for first in range(0, pairs, CHUNK):
        last = min(first + CHUNK, pairs)
        for side, of_chunk in zip(sides, drawn_pairs(n_left, n_right, first, last, seed), strict=True):
            side[first:last] = of_chunk
    return sides[0], sides[1]


def timed(work: Callable[[], object], pairs: int) -> Facts:
    """Pairs a second of wall time and of this process's own, which is what a busy machine leaves alone."""
    wall, own = time.perf_counter(), time.process_time()
    work()
    wall, own = time.perf_counter() - wall, time.process_time() - own
    return {"pairs_a_second": pairs / wall, "pairs_a_cpu_second": pairs / own}


Scores = Callable[[Index, Index], npt.NDArray[np.floating]]


def mean_rank(scores: Scores, held: tuple[Index, Index], others: Index) -> float:
    """Mean share of the others that come before the held-out one: 0 is best, 0.5 chance."""
    own = scores(*held)
    ranks = []
    for column in others.T:
        other = scores(held[0], column)
        ranks.append((other > own).mean() + (other == own).mean() / 2)
    return float(np.mean(ranks))


def documents(
    how: str,
    left: int,
    right: int,
    pairs: int,
    dim: int,
    epochs: int,
    gib: float,
    part_rows: int,
    folder: str,
) -> Facts:
    """Doc2vec of documents ``left`` and words ``right``: pairs a second, and the mean rank of held-out words."""
    seen, held = drawn(left, right, pairs, 1), drawn(left, right, 5_000, 2)
    others = np.random.default_rng(3).choice(seen[1], (len(held[0]), OTHERS))
    if how == "gensim":
        return of_gensim(seen, held, others, dim, epochs)
    with TemporaryDirectory(dir=folder) as scratch:
        tables = PairTables.of(dim, Path(scratch) if gib else None, gib)

        def learn() -> None:
            for _ in range(epochs):
                tables.learn(*seen, part_rows)

        facts = timed(learn, pairs * epochs)
        return facts | {"rank": mean_rank(tables.scores, held, others)}


def of_gensim(
    seen: tuple[Index, Index], held: tuple[Index, Index], others: Index, dim: int, epochs: int
) -> Facts:
    """Doc2Vec of gensim: PV-DBOW with five negatives in one thread; an unseen document or word scores 0."""
    from gensim.models.doc2vec import Doc2Vec, TaggedDocument

    table = pl.DataFrame({"left": seen[0], "right": seen[1]})
    lists = table.group_by("left", maintain_order=True).agg(pl.col("right").cast(pl.String))
    corpus = [TaggedDocument(words, [tag]) for tag, words in lists.iter_rows()]
    how = {"min_count": 1, "sample": 0, "workers": 1, "epochs": epochs, "seed": 1}
    model = Doc2Vec(dm=0, vector_size=dim, negative=5, **how)
    model.build_vocab(corpus)
    facts = timed(
        lambda: model.train(corpus, total_examples=len(corpus), epochs=epochs), len(seen[0]) * epochs
    )
    of_tag = np.full(int(max(seen[0].max(), held[0].max())) + 1, -1)
    of_tag[model.dv.index_to_key] = np.arange(len(model.dv))
    of_word = np.full(int(max(seen[1].max(), held[1].max())) + 1, -1)
    of_word[[int(word) for word in model.wv.index_to_key]] = np.arange(len(model.wv))

    def scores(left: Index, right: Index) -> npt.NDArray[np.float32]:
        at, to = of_tag[left], of_word[right]
        products = np.einsum("nd,nd->n", model.dv.vectors[at], model.syn1neg[to])
        return np.where((at < 0) | (to < 0), 0, products).astype(np.float32)

    return facts | {"rank": mean_rank(scores, held, others)}


def resume(
    state: str, rows: int, pairs: int, dim: int, gib: float, part_rows: int, folder: str, chunks: int
) -> Facts:
    """Train chunk by chunk, saving after each, from where the state is."""
    scratch = Path(folder)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    is_begun = (Path(state) / "tables.json").exists()
    tables = PairTables.load(Path(state), scratch, gib) if is_begun else PairTables.of(dim, scratch, gib)
    print(f"at {tables.n_done}", flush=True)
    began = time.perf_counter()
    step = pairs // chunks
    for first in range(tables.n_done, pairs, step):
        tables.learn(*drawn_pairs(rows // 2, rows // 2, first, first + step, 1), part_rows)
        tables.save(Path(state))
    tables.save(Path(state))
    return {"seconds": time.perf_counter() - began}


def grow(rounds: int, more: int, dim: int, gib: float, folder: str) -> Facts:
    """Grow by ``more`` ids a round and train on them and as many others; what memory and seconds become of."""
    seconds, own, beyond = [], [], []
    rng = np.random.default_rng(1)
    with TemporaryDirectory(dir=folder) as scratch:
        table = EmbeddingTable("grown", dim, noise=0.1, folder=Path(scratch) if gib else None, memory_gib=gib)
        for _ in range(rounds):
            began, own_began = time.perf_counter(), time.process_time()
            new = table.grow(pl.Series(rng.integers(0, 2**62, more)))
            batches = [(np.concatenate([new, rng.integers(0, len(table), more)]),) for _ in range(4)]
            for (s,), (rows,) in working_sets([table], batches, rate=0.1):
                s.learn(rows, s.take(rows))
            seconds.append(time.perf_counter() - began)
            own.append(time.process_time() - own_began)
            held = 4 * (dim + 1) * len(table) if table.capacity else 0
            beyond.append(resident() - held)
    tenth = rounds // 10
    return {
        "grown_mib": (max(beyond[tenth:]) - beyond[tenth]) / MIB,
        "last_mib": (beyond[-1] - beyond[tenth]) / MIB,
        "ratio": sum(seconds[-tenth:]) / sum(seconds[tenth : 2 * tenth]),
        "cpu_ratio": sum(own[-tenth:]) / sum(own[tenth : 2 * tenth]),
        "cpu_seconds": sum(own),
    }


def resident() -> int:
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


KINDS: dict[str, Callable[..., Facts]] = {
    "train": train,
    "documents": documents,
    "resume": resume,
    "grow": grow,
}


def main() -> None:
    """Run one kind, and print its facts as JSON on the last line."""
    torch.set_num_threads(1)
    arguments: dict[str, Any] = json.loads(sys.argv[2])
    print(json.dumps(KINDS[sys.argv[1]](**arguments)))


if __name__ == "__main__":
    main()
