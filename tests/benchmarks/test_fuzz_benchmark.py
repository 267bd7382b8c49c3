"""The random competitions: a few of them through every command, and what the benchmark makes of a process that dies."""

from __future__ import annotations

from collections import Counter

import pytest
import typer

from benchmarks._fuzz_child import attempted
from benchmarks._fuzz_world import draw
from benchmarks.fuzz import run


def test_a_few_random_competitions_end_without_a_raw_error() -> None:
    found = [one for one in run([2, 171]) if one["command"] != "end"]
    assert [one for one in found if one["outcome"] == "raw"] == []
    counts = Counter(one["outcome"] for one in found)
    assert counts["ok"] > counts["message"] > 0
    assert any(one["command"] == "submissions make" and one["outcome"] == "ok" for one in found)


@pytest.mark.parametrize(("code", "outcome"), [(0, "ok"), (1, "failed"), (2, "raw")])
def test_a_command_that_ends_with_a_code_has_not_succeeded(
    monkeypatch: pytest.MonkeyPatch, code: int, outcome: str
) -> None:
    app = typer.Typer()

    @app.command()
    def end() -> None:
        typer.echo("found something")
        raise typer.Exit(code)

    monkeypatch.setattr("features.__main__.app", app)
    assert attempted("features", [])["outcome"] == outcome


def test_a_seed_draws_the_same_competition_again() -> None:
    first, again, other = draw(5), draw(5), draw(6)
    assert (first.source, first.config) == (again.source, again.config)
    assert all(table.equals(again.tables[name]) for name, table in first.tables.items())
    assert first.source != other.source
