"""Jobs and streams that go on side by side: everything is done, in the same order, and errors are told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from threading import Barrier

import pytest

from features._aggregation import interleave, run_all

N_THREADS = pytest.mark.parametrize("n_threads", [1, 2, 3])


@N_THREADS
def test_all_jobs_are_done_and_run_side_by_side(n_threads: int) -> None:
    together, done = Barrier(n_threads), list[int]()

    def job(number: int) -> None:
        together.wait(timeout=20)
        done.append(number)

    run_all([partial(job, number) for number in range(2 * n_threads)], n_threads)
    assert sorted(done) == list(range(2 * n_threads))


@N_THREADS
def test_the_first_error_is_raised(n_threads: int) -> None:
    def fail(number: int) -> None:
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        run_all([partial(fail, number) for number in range(5)], n_threads)
    run_all([], n_threads)


def counting(name: str, n: int) -> Iterator[str]:
    for number in range(n):
        yield f"{name}{number}"


@pytest.mark.parametrize(
    ("n_threads", "expected"), [(1, "a0 a1 a2 c0 c1"), (2, "a0 a1 c0 a2 c1"), (3, "a0 c0 a1 c1 a2")]
)
def test_streams_take_turns(n_threads: int, expected: str) -> None:
    """Each keeps its order; the order of all depends on the number of threads and on nothing else."""
    for _ in range(5):
        found = interleave([counting("a", 3), counting("b", 0), counting("c", 2)], n_threads)
        assert " ".join(found) == expected


@N_THREADS
def test_a_stream_that_fails_ends_all(n_threads: int) -> None:
    def failing() -> Iterator[str]:
        yield "x0"
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(interleave([counting("a", 3), failing(), counting("c", 9)], n_threads))
