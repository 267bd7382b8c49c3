"""What the commands print."""

from __future__ import annotations

import json
import math
from pathlib import Path

import polars as pl
import pytest

from engine import Settings
from submissions import GateError, Parent, Runs, SubmissionError
from tests.submissions.conftest import Call, Publish, options


@pytest.fixture
def run(oof: pl.DataFrame, publish: Publish) -> str:
    return publish(oof=oof).run


def test_list_without_runs_says_how_to_make_one(call: Call) -> None:
    assert "make submit" in call("list")


def test_list_shows_scores_notes_and_damage(call: Call, run: str, runs: Runs, publish: Publish) -> None:
    second = publish(parents=(Parent(run=run, weight=1.0),)).run
    damaged = publish().run
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


@pytest.mark.parametrize("odd", [None, math.nan, math.inf, -math.inf])
def test_no_number_of_a_run_has_to_be_known(
    call: Call, publish: Publish, oof: pl.DataFrame, odd: float | None
) -> None:
    folds = {"fold1": odd, "fold2": odd}
    odd_facts: dict[str, object] = {
        "cv": ({"name": "als", "kind": "model", "folds": folds, "mean": odd, "sd": odd},),
        "weights": {"als": odd, "other": 0.5},
        "parents": ({"run": "x", "weight": odd},),
        "stages": ({"name": "data", "seconds": odd, "peak_mib": odd},),
        "config": {"share": odd},
    }
    runs = [publish(oof=oof, **odd_facts).run, publish(oof=oof).run]
    for command in (["list"], ["list", "--json"], ["compare", *runs], *(["show", run] for run in runs)):
        assert "damaged" not in call(*command)
    json.loads(call("show", runs[0], "--json"))


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
    git, config, cv = ("0123abcd",), ("n_folds = 2",), ("0.6000", "0.6100 ± 0.0141", "one_class = skip")
    file = (run, manifest.file.sha256, manifest.file.blake3, "unchanged", "d0")
    others = ("polars 2.1.0", "age a0", "1.5 s", "200 MiB", "public")
    for words in (*git, *config, *cv, *file, *others):
        assert words in shown, words


def test_show_tells_a_changed_or_missing_file(call: Call, run: str, runs: Runs) -> None:
    path = runs.out / runs.manifest(run).file.name
    path.write_text("else")
    assert "CHANGED since it was made" in call("show", "latest")
    path.unlink()
    assert "no longer in" in call("show", "latest")


def test_show_without_git(call: Call, publish: Publish) -> None:
    publish(git={"commit": None, "is_dirty": None, "reason": "git is not installed"})
    assert "unknown: git is not installed" in call("show", "latest")


def test_agreement_of_cv_and_leaderboard(call: Call, scores: pl.DataFrame, publish: Publish) -> None:
    for mean, public in ((0.70, 0.60), (0.71, 0.62), (0.72, 0.61)):
        changed = scores.with_columns(score=pl.col("score") * mean)
        cv = ({"name": "als", "kind": "model", "folds": {"fold1": mean}, "mean": mean, "sd": None},)
        name = publish(changed, cv=cv).run
        call("record", name, "--public", str(public))
    assert "CV and public score agree on the order of 2 of 3 pairs of runs." in call("list")


def test_record_needs_a_finite_score(call: Call, run: str) -> None:
    with pytest.raises(SubmissionError, match="No score"):
        call("record", run)
    with pytest.raises(SubmissionError, match="finite"):
        call("record", run, "--public", "nan")
    with pytest.raises(SubmissionError, match="empty"):
        call("note", run, "  ")


@pytest.mark.parametrize("command", [["show"], ["note", "text"], ["record", "--public", "1"], ["score"]])
def test_a_run_cannot_leave_the_runs_folder(call: Call, run: str, command: list[str]) -> None:
    with pytest.raises(SubmissionError, match="There is no run"):
        call(command[0], "../../etc", *command[1:])


def test_compare_prints_difference_agreement_and_changes(
    call: Call, run: str, oof: pl.DataFrame, publish: Publish
) -> None:
    publish(oof=oof, config={"seed": 2, "folds": {"n_folds": 2}})
    shown = call("compare", run, "latest")
    for words in ("+0.00000", "no clear difference", "rank correlation 1.0000", "the same bytes"):
        assert words in shown
    assert "Config: 1 differ" in shown


def test_a_refused_file_is_an_error(tmp_path: Path, movielens_settings: Settings, call: Call) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("user_id;item_id;predict\n1;1;0.5\n")
    with pytest.raises(GateError, match="wrong separator"):
        call(*options(movielens_settings), "check", str(file))


def test_a_folder_that_cannot_be_written_is_an_error_and_not_a_crash(runs: Runs, publish: Publish) -> None:
    runs.root.write_text("")
    with pytest.raises(SubmissionError, match="cannot be written"):
        publish()
