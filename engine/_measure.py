"""Wall time and peak memory of a stage."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PAUSE = 0.1  # seconds between two looks at the processes
_MIB = 1024 * 1024


@dataclass
class StageCost:
    """What a stage took. Filled while it runs, final after the block.

    ``seconds``: wall time. ``peak_mib``: the largest sum of the resident memory of this process and its
    descendants, in MiB, looked at ten times a second; memory that processes share counts once for each.
    """

    seconds: float = 0.0
    peak_mib: float = 0.0


@contextmanager
def measure_stage() -> Iterator[StageCost]:
    """Measure the wall time and the peak memory of a block; read them from the yielded cost after it."""
    cost, ended, started = StageCost(peak_mib=_tree_mib()), threading.Event(), time.perf_counter()

    def look() -> None:
        while not ended.wait(_PAUSE):
            cost.peak_mib = max(cost.peak_mib, _tree_mib())

    watcher = threading.Thread(target=look, name="measure-stage", daemon=True)
    watcher.start()
    try:
        yield cost
    finally:
        ended.set()
        watcher.join()
        cost.seconds = time.perf_counter() - started
        cost.peak_mib = max(cost.peak_mib, _tree_mib())


def _tree_mib() -> float:
    """Resident memory of this process and its descendants in MiB. 0.0 where there is no /proc."""
    children: dict[int, list[int]] = {}
    resident: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # The name in parentheses may hold spaces; fields are counted after it: state, parent, ...
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # the process ended between the two looks
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
        resident[int(entry.name)] = int(fields[21])
    waiting, n_pages = [os.getpid()], 0
    while waiting:
        process = waiting.pop()
        n_pages += resident.get(process, 0)
        waiting += children.get(process, [])
    return n_pages * os.sysconf("SC_PAGE_SIZE") / _MIB
