"""Text goes to a terminal as wide as it is, to a file or a pipe so wide that names are not cut; progress of a stage."""

from __future__ import annotations

import io
import os

import pytest
from rich.console import Group
from rich.table import Table

from engine import PIPED_WIDTH, Job, Screen, Settings, console, out, run_jobs, stage_progress
from tests.processes import python

LONG = "import engine; engine.out.print('long ' * 30); engine.console.print('told ' * 30)"


@pytest.mark.parametrize(("columns", "n_lines"), [(None, 1), ("40", 4)])
def test_a_line_that_goes_to_a_pipe_is_broken_only_where_columns_says_so(
    columns: str | None, n_lines: int
) -> None:
    printed = python("-c", LONG, COLUMNS=columns)
    assert [len(text.splitlines()) for text in (printed.stdout, printed.stderr)] == [n_lines] * 2


def test_a_terminal_has_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((70, 20)))
    assert Screen(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"}).width == 70
    assert Screen(file=io.StringIO()).width == PIPED_WIDTH
    assert Screen(width=33, file=io.StringIO()).width == 33


def test_brackets_in_what_users_write_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("[dim]", title="a [/b]")
    table.add_row("[bold]")
    for screen in (out, console):
        screen.print(table)
        screen.print("[/y]", Group("[red]"))
    for shown in capsys.readouterr():
        assert [word for word in ("[dim]", "a [/b]", "[bold]", "[/y]", "[red]") if word not in shown] == []


def nothing() -> None:
    pass


def test_a_terminal_shows_what_is_running_with_brackets_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(console, "is_interactive", True)
    jobs = [Job("rate [w7]", nothing), Job("count [w8]", nothing)]
    run_jobs("features [all]", jobs, Settings(backend="inline"), n_found=3)
    shown = capsys.readouterr().err
    assert "rate [w7]" in shown
    assert "features [all]: 2 made, 3 from the store" in shown


def test_steps_on_the_way_are_not_counted_as_made(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["reading 1", "reading 2", "rate", "count"]
    with stage_progress("aggregates", names, n_found=0, n_workers=1, n_steps=2) as stage:
        for number in range(3):
            stage.advance(number)
    assert "aggregates: 1 made" in capsys.readouterr().err
