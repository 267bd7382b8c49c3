"""Work in as many threads as Polars has: arrays and queries let others run meanwhile, and results keep their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import polars as pl

T = TypeVar("T")


def run_all(jobs: Sequence[Callable[[], None]], n_threads: int | None = None) -> None:
    """Run all jobs, the first ones first. Raises the error of the first that failed, without starting more."""
    n_threads = min(n_threads or pl.thread_pool_size(), len(jobs))
    if n_threads < 2:
        for job in jobs:
            job()
        return
    with _pool(n_threads) as pool:
        for started in [pool.submit(job) for job in jobs]:
            started.result()


def interleave(streams: Iterable[Iterator[T]], n_threads: int | None = None) -> Iterator[T]:
    """Yield what streams give, in turns. As many as there are threads go on at a time, one step ahead of the taker."""
    rest, n_threads = iter(streams), n_threads or pl.thread_pool_size()
    with _pool(n_threads) as pool:

        def step(stream: Iterator[T]) -> tuple[Iterator[T], Future[list[T]]]:
            return stream, pool.submit(lambda: list(islice(stream, 1)))

        waiting = deque(step(stream) for stream in islice(rest, n_threads))
        while waiting:
            stream, ahead = waiting.popleft()
            found = ahead.result()
            waiting.extend(step(one) for one in ([stream] if found else islice(rest, 1)))
            yield from found


@contextmanager
def _pool(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that end with the block; what has not begun by then is not started."""
    pool = ThreadPoolExecutor(n_threads)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
