r"""A feed that keeps clicks, likes and hates, as aggregators do: tab-separated files with Unix seconds.

Every row is a document shown to a viewer. ``N`` is a normal variable of variance 1, a vector of ``N_TASTES`` of them
for tastes and flavours.

- Document d of author a: ``flavour = sqrt(.7) N(a) + sqrt(.3) N``, ``quality = .6 N(a) + .8 N``; popularity is
  log-normal (sigma 1); ``length`` in words is log-normal around 600. Authors: Zipf. The topic of a document is the
  dimension of its author's flavour that is largest.
- Viewer u: ``taste = N``, activity is log-normal (sigma 1), ``eager = N``.
- Shown: viewers by activity, documents by popularity, at random instants of ``N_DAYS`` days; the test is the day after
  them, of viewers with at least ``FEWEST`` rows in the log.
- With ``appeal = 1.2 (taste . flavour) / sqrt(N_TASTES) + .6 quality``, probabilities by the logistic function of::

    click: -.9 + .5 eager + appeal      like, of what was clicked: -1.2 + .5 eager + appeal
    hate: -3.2 + .4 eager - appeal

A hate is no like, whatever was drawn. The oracle's score is ``p_click (.5 + .5 p_like) - p_hate``, which is the
expected ``click / 2 + like / 2 - hate`` but for that exception.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl

from competitions.simulator.world import Doubles, Sizes, rng_of

N_TASTES, N_DAYS, FEWEST = 8, 10, 5
START, DAY = 1_717_200_000, 86_400  # Unix seconds: 2024-06-01
TOPICS = ("science", "sport", "music", "politics", "travel", "cooking", "games", "money")
DEVICES = ("android", "ios", "web")
FILES = ("feed.tsv", "documents.jsonl", "next_day.tsv", "solution.parquet")
SEEN = ("time", "viewer", "document", "device")


def write_clicks(folder: Path, n_rows: int, seed: int) -> tuple[tuple[str, ...], Sizes, int]:
    """Write the files; return their names, the log first, the sizes and the number of test pairs."""
    n_viewers, n_documents = max(50, n_rows // 60), max(50, n_rows // 80)
    n_authors = max(10, n_documents // 20)
    documents = _documents(n_documents, n_authors, seed)
    n_drawn = n_rows + n_rows // N_DAYS
    rows = _shown(documents, n_viewers, n_rows, n_drawn, seed)
    log, after = rows[:n_rows], rows[n_rows:]
    # A pair is named by viewer and document: once.
    after = after.unique(["viewer", "document"], keep="first", maintain_order=True)
    known = log["viewer"].value_counts().filter(pl.col("count") >= FEWEST)["viewer"]
    hidden = after.filter(pl.col("viewer").is_in(known.implode()))
    log.select(*SEEN, "click", "like", "hate").write_csv(folder / FILES[0], separator="\t")
    shown = documents.select("document", "author", "topic", "length")
    shown.write_ndjson(folder / FILES[1])
    hidden.select(SEEN).write_csv(folder / FILES[2], separator="\t")
    hidden.select("viewer", "document", "click", "like", "hate", "score").write_parquet(folder / FILES[3])
    sizes = Sizes(n_rows, n_viewers, n_documents, n_authors, hidden["viewer"].n_unique())
    return FILES, sizes, hidden.height


def _documents(n: int, n_authors: int, seed: int) -> pl.DataFrame:
    """Draw the documents, with what no file has: ``flavour``, ``quality`` and ``popularity``."""
    rng = rng_of(seed, 0)
    zipf = 1 / (np.arange(n_authors) + 3.0)
    author = rng.choice(n_authors, n, p=zipf / zipf.sum())
    of_author = rng.standard_normal((n_authors, N_TASTES))
    flavour = math.sqrt(0.7) * of_author[author] + math.sqrt(0.3) * rng.standard_normal((n, N_TASTES))
    quality = 0.6 * rng.standard_normal(n_authors)[author] + 0.8 * rng.standard_normal(n)
    return pl.DataFrame(
        {
            "document": rng.permutation(n) + 1,
            "author": rng.permutation(n_authors)[author] + 1,
            "topic": np.array(TOPICS)[of_author.argmax(axis=1)[author]],
            "length": np.round(np.exp(6.4 + 0.5 * rng.standard_normal(n))).astype(np.int64),
            "flavour": flavour,
            "quality": quality,
            "popularity": np.exp(rng.standard_normal(n)),
        }
    )


def _shown(documents: pl.DataFrame, n_viewers: int, n_rows: int, n_drawn: int, seed: int) -> pl.DataFrame:
    """Draw all rows in the order of time, the first ``n_rows`` in the log's days."""
    rng = rng_of(seed, 1)
    activity, taste = np.exp(rng.standard_normal(n_viewers)), rng.standard_normal((n_viewers, N_TASTES))
    eager = rng.standard_normal(n_viewers)
    popularity = documents["popularity"].to_numpy()
    viewer = rng.choice(n_viewers, n_drawn, p=activity / activity.sum())
    document = rng.choice(documents.height, n_drawn, p=popularity / popularity.sum())
    days = N_DAYS * rng.random(n_rows), N_DAYS + rng.random(n_drawn - n_rows)
    seconds = START + np.floor(np.concatenate([np.sort(part) for part in days]) * DAY).astype(np.int64)
    flavour = documents["flavour"].to_numpy()[document]
    liking = (taste[viewer] * flavour).sum(axis=1) / math.sqrt(N_TASTES)
    appeal = 1.2 * liking + 0.6 * documents["quality"].to_numpy()[document]
    p_click = _logistic(-0.9 + 0.5 * eager[viewer] + appeal)
    p_like = _logistic(-1.2 + 0.5 * eager[viewer] + appeal)
    p_hate = _logistic(-3.2 + 0.4 * eager[viewer] - appeal)
    click, like, hate = (rng.random(n_drawn) < p for p in (p_click, p_like, p_hate))
    return pl.DataFrame(
        {
            "time": seconds,
            "viewer": viewer + 1,
            "document": documents["document"].to_numpy()[document],
            "device": np.array(DEVICES)[rng.choice(3, n_viewers, p=[0.5, 0.3, 0.2])[viewer]],
            "click": click.astype(np.int8),
            "like": (click & like & ~hate).astype(np.int8),
            "hate": hate.astype(np.int8),
            "score": p_click * (0.5 + 0.5 * p_like) - p_hate,
        }
    )


def _logistic(odds: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-odds)))
