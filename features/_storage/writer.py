"""Put many artifacts into the store: while one is flushed to the disk, others are made and written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import TracebackType

from engine import Recipe, Store

N_THREADS = 4  # they wait for the disk most of the time
MAX_WAITING = 16  # artifacts that are in memory at a time


class Writer:
    """Puts artifacts into a store in a few threads; each is there whole or not at all, as by ``Store.put``.

    Leaving the block waits for all of them. The first error of a thread is raised by a later ``put`` or at the end.
    Several threads may put.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.pool = ThreadPoolExecutor(N_THREADS, thread_name_prefix="writer")
        self.waiting: deque[tuple[Future[Path], Callable[[], None]]] = deque()
        self.lock = Lock()

    def __enter__(self) -> Writer:
        return self

    def put(
        self,
        recipe: Recipe,
        build: Callable[[Path], None],
        *,
        seconds: float = 0.0,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Put an artifact, as ``Store.put`` does, some time from now. ``then`` is called here when it is stored."""
        with self.lock:
            while len(self.waiting) >= MAX_WAITING or (self.waiting and self.waiting[0][0].done()):
                self._finish_one()
            self.waiting.append((self.pool.submit(self.store.put, recipe, build, seconds=seconds), then))

    def finish(self) -> None:
        """Wait until everything is stored."""
        with self.lock:
            while self.waiting:
                self._finish_one()

    def _finish_one(self) -> None:
        stored, then = self.waiting.popleft()
        stored.result()
        then()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            self.pool.shutdown(wait=True, cancel_futures=True)
