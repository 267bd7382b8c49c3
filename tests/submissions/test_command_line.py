"""What the commands print."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from engine import PIPED_WIDTH, Settings, out
from submissions import Gate, GitFacts, Parent, RunFacts, Runs, SubmissionError
from submissions.__main__ import app

Facts = Callable[..., RunFacts]
Call = Callable[..., str]
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call a command in a folder of its own, as if its output went to a file; errors are raised."""
    monkeypatch.setattr(out, "width", PIPED_WIDTH)
    config = tmp_path / "config.toml"
    config.write_text(f'runs = "{tmp_path}/runs"\nout = "{tmp_path}/out"\nstore = "{tmp_path}/store"\n')

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["--config", str(config), *arguments])
        if result.exception:
            raise result.exception
        return result.output

    return run


@pytest.fixture
def run(runs: Runs, gate: Gate, scores: pl.DataFrame, oof: pl.DataFrame, facts: Facts) -> str:
    return runs.publish(gate, scores, oof, facts()).run


def test_list_without_runs_says_how_to_make_one(call: Call) -> None:
    assert "make submit" in call("list")


def test_list_shows_scores_notes_and_damage(
    call: Call, run: str, runs: Runs, gate: Gate, scores: pl.DataFrame, facts: Facts
) -> None:
    second = runs.publish(gate, scores, None, facts(parents=(Parent(run=run, weight=1.0),))).run
    damaged = runs.publish(gate, scores, None, facts()).run
    (runs.root / damaged / "manifest.json").write_text("{}")
    call("record", run[:22], "--public", "0.70", "--private", "0.69")
    call("note", run, "more [red]trees[/red]\nand fewer leaves")
    lines = call("list").splitlines()
    assert [line.split()[0] for line in lines[2:5]] == [run, second, damaged]
    for words in ("0.7100 ± 0.0141", "0.7000", "0.6900", "als", "more [red]trees[/red] and fewer leaves"):
        assert words in lines[2]
    assert "blend of 1" in lines[3]
    assert f"same file as …{run[-11:]}" in lines[3]
    assert "damaged" in lines[4]


def test_list_and_show_as_json(call: Call, run: str) -> None:
    call("note", "latest", "a note")
    (line,) = json.loads(call("list", "--json"))
    assert line["run"] == run
    assert line["manifest"]["cv"][0]["mean"] == 0.71
    shown = json.loads(call("show", "latest", "--json"))
    assert shown["versions"] == {"polars": "2.1.0"}
    assert shown["ledger"]["entries"][0]["text"] == "a note"


def test_show_tells_everything(call: Call, run: str, runs: Runs) -> None:
    call("record", run, "--public", "0.7")
    shown = call("show", "latest")
    manifest = runs.manifest(run)
    expected = [
        run,
        manifest.file.sha256,
        manifest.file.blake3,
        "0123abcd",
        "n_folds = 2",
        "polars 2.1.0",
        "age a0",
    ]
    expected += [
        "0.6000",
        "0.6100 ± 0.0141",
        "one_class = skip",
        "unchanged",
        "1.5 s",
        "200 MiB",
        "public",
        "d0",
    ]
    for words in expected:
        assert words in shown, words


def test_show_tells_a_changed_or_missing_file(call: Call, run: str, runs: Runs) -> None:
    path = runs.out / runs.manifest(run).file.name
    path.write_text("else")
    assert "CHANGED since it was made" in call("show", "latest")
    path.unlink()
    assert "no longer in" in call("show", "latest")


def test_show_without_git(call: Call, runs: Runs, gate: Gate, scores: pl.DataFrame, facts: Facts) -> None:
    runs.publish(
        gate, scores, None, facts(git=GitFacts(commit=None, is_dirty=None, reason="git is not installed"))
    )
    assert "unknown: git is not installed" in call("show", "latest")


def test_agreement_of_cv_and_leaderboard(
    call: Call, runs: Runs, gate: Gate, scores: pl.DataFrame, facts: Facts
) -> None:
    base = facts().cv[0]
    for mean, public in ((0.70, 0.60), (0.71, 0.62), (0.72, 0.61)):
        changed = scores.with_columns(score=pl.col("score") * mean)
        cv = (base.model_copy(update={"mean": mean}),)
        name = runs.publish(gate, changed, None, facts(cv=cv)).run
        call("record", name, "--public", str(public))
    assert "CV and public score order 2 of 3 pairs of runs alike." in call("list")


def test_record_needs_a_finite_score(call: Call, run: str) -> None:
    with pytest.raises(SubmissionError, match="No score"):
        call("record", run)
    with pytest.raises(SubmissionError, match="finite"):
        call("record", run, "--public", "nan")
    with pytest.raises(SubmissionError, match="empty"):
        call("note", run, "  ")


@pytest.mark.parametrize("command", [["show"], ["note", "text"], ["record", "--public", "1"], ["score"]])
@pytest.mark.parametrize("typed", ["../../etc", "/etc/passwd", "..", "nothing"])
def test_a_run_cannot_leave_the_runs_folder(call: Call, run: str, command: list[str], typed: str) -> None:
    with pytest.raises(SubmissionError, match="There is no run"):
        call(command[0], typed, *command[1:])


def test_compare_prints_difference_agreement_and_changes(
    call: Call, run: str, runs: Runs, gate: Gate, scores: pl.DataFrame, oof: pl.DataFrame, facts: Facts
) -> None:
    runs.publish(gate, scores, oof, facts(config={"seed": 2, "folds": {"n_folds": 2}}))
    shown = call("compare", run, "latest")
    for words in (
        "+0.00000",
        "no clear difference",
        "rank correlation 1.0000",
        "the same bytes",
        "Config: 1 differ",
    ):
        assert words in shown


def test_a_refused_file_ends_with_a_message_and_exit_code_one(
    tmp_path: Path, call: Call, movielens_settings: Settings
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("user_id;item_id;predict\n1;1;0.5\n")
    command = [sys.executable, "-m", "submissions", "--config", str(tmp_path / "config.toml")]
    command += [
        "--set",
        f'store="{movielens_settings.store}"',
        "--set",
        f'data="{movielens_settings.data}"',
        "check",
        str(file),
    ]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "wrong separator" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_an_error_and_not_a_crash(
    tmp_path: Path, gate: Gate, scores: pl.DataFrame, facts: Facts
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SubmissionError, match="cannot be written"):
        Runs(tmp_path / "file" / "runs", tmp_path / "out").publish(gate, scores, None, facts())
