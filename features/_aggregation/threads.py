"""Work in as many threads as Polars has: arrays and queries let others run meanwhile, and results keep their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Event
from typing import TypeVar

import polars as pl

T = TypeVar("T")


def all_done(jobs: Sequence[Callable[[], None]]) -> None:
    """Do all jobs, the first ones first. Raises the error of the first that failed, without starting more."""
    n_threads = min(pl.thread_pool_size(), len(jobs))
    if n_threads < 2:
        for job in jobs:
            job()
        return
    with _pool(n_threads) as pool:
        for started in [pool.submit(job) for job in jobs]:
            started.result()


def all_gone_on(chains: Sequence[Iterator[None]]) -> None:
    """Exhaust all chains: each step in any thread, but the steps of a chain one after the other.

    The chains take turns, so that they end at about the same time. Raises the error of a step that failed; then no
    chain goes on.
    """
    waiting, failed = deque(chains), Event()

    def work() -> None:
        while waiting and not failed.is_set():
            try:
                chain = waiting.popleft()
            except IndexError:  # every chain that is left is in the hands of some other thread
                return
            try:
                if list(islice(chain, 1)):
                    waiting.append(chain)
            except BaseException:
                failed.set()
                raise

    all_done([work] * len(chains))


def in_turns(streams: Iterable[Iterator[T]]) -> Iterator[T]:
    """Yield what streams give, in turns. As many as there are threads go on at a time, one step ahead of the taker."""
    rest, n_threads = iter(streams), pl.thread_pool_size()
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
    """Threads that end with the block; what has not begun by then never does."""
    pool = ThreadPoolExecutor(n_threads)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
