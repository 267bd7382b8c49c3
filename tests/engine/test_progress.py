"""Progress on a terminal: what is running, and a line when the stage has ended."""

from __future__ import annotations

import pytest

from engine import Job, Settings, console, run_jobs, stage_progress


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


def test_a_failed_stage_claims_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(Exception, match="no"):
        run_jobs("features", [Job("x", fails)], Settings(backend="inline"))
    assert "made" not in capsys.readouterr().err


def test_steps_on_the_way_are_not_counted_as_made(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["reading 1", "reading 2", "rate", "count"]
    with stage_progress("aggregates", names, n_found=0, n_workers=1, n_steps=2) as stage:
        for number in range(3):
            stage.advance(number)
    assert "aggregates: 1 made" in capsys.readouterr().err
