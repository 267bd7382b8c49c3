"""Jobs and streams that go on side by side: everything is done, in the same order, and errors are told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from threading import Barrier

import polars as pl
import pytest

from features._aggregation import all_done, all_gone_on, in_turns


@pytest.fixture(params=[1, 2, 3])
def n_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    number: int = request.param
    monkeypatch.setattr(pl, "thread_pool_size", lambda: number)
    return number


def test_all_jobs_are_done_and_run_side_by_side(n_threads: int) -> None:
    together, done = Barrier(n_threads), list[int]()

    def job(number: int) -> None:
        together.wait(timeout=20)
        done.append(number)

    all_done([partial(job, number) for number in range(2 * n_threads)])
    assert sorted(done) == list(range(2 * n_threads))


@pytest.mark.usefixtures("n_threads")
def test_the_first_error_is_raised() -> None:
    def fail(number: int) -> None:
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        all_done([partial(fail, number) for number in range(5)])
    all_done([])


def test_chains_go_on_side_by_side_and_each_in_its_order(n_threads: int) -> None:
    together, done = Barrier(n_threads), list[tuple[str, int]]()

    def chain(name: str, n: int) -> Iterator[None]:
        together.wait(timeout=20)
        for number in range(n):
            done.append((name, number))
            yield

    all_gone_on([chain("a", 3), chain("b", 0), chain("c", 5), *(chain(f"d{n}", 1) for n in range(9))])
    for name, n in (("a", 3), ("b", 0), ("c", 5), ("d0", 1), ("d8", 1)):
        assert [number for own, number in done if own == name] == list(range(n))
    all_gone_on([])


def test_chains_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pl, "thread_pool_size", lambda: 1)
    done = list[str]()

    def chain(name: str) -> Iterator[None]:
        for number in range(3):
            done.append(f"{name}{number}")
            yield

    all_gone_on([chain("a"), chain("b")])
    assert done == ["a0", "b0", "a1", "b1", "a2", "b2"]


@pytest.mark.usefixtures("n_threads")
def test_no_chain_goes_on_after_an_error() -> None:
    def endless() -> Iterator[None]:
        while True:
            yield

    def fail() -> Iterator[None]:
        yield
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        all_gone_on([endless(), fail(), endless()])


def counting(name: str, n: int) -> Iterator[str]:
    for number in range(n):
        yield f"{name}{number}"


def test_streams_take_turns(n_threads: int) -> None:
    """Each keeps its order; the order of all depends on the number of threads and on nothing else."""
    expected = {
        1: ["a0", "a1", "a2", "c0", "c1"],
        2: ["a0", "a1", "c0", "a2", "c1"],
        3: ["a0", "c0", "a1", "c1", "a2"],
    }
    for _ in range(5):
        found = list(in_turns([counting("a", 3), counting("b", 0), counting("c", 2)]))
        assert found == expected[n_threads]


@pytest.mark.usefixtures("n_threads")
def test_a_stream_that_fails_ends_all() -> None:
    def failing() -> Iterator[str]:
        yield "x0"
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(in_turns([counting("a", 3), failing(), counting("c", 9)]))
