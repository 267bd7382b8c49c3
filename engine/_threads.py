"""Caps on the threads of numerical libraries."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

_VARIABLES = (
    "POLARS_MAX_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


def cap_threads_at_start(n_threads: int) -> None:
    """Cap libraries that are not imported yet, through the environment (a worker's first act)."""
    for name in _VARIABLES:
        os.environ[name] = str(n_threads)


@contextmanager
def capped_threads(n_threads: int) -> Iterator[None]:
    """Cap the loaded BLAS and OpenMP libraries for the time of the block."""
    with threadpool_limits(limits=n_threads):
        yield


def restart_with_capped_polars(n_threads: int) -> None:
    """Start this process anew with a capped Polars if it would take more threads than the settings allow.

    Polars fixes its threads when it is imported, which is before any settings are read.
    """
    polars = sys.modules.get("polars")
    if "POLARS_MAX_THREADS" in os.environ or polars is None or polars.thread_pool_size() <= n_threads:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, "POLARS_MAX_THREADS": str(n_threads)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
