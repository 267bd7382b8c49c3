"""What all rooms' command lines share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from engine import DataError, Recipe, Store, as_typed, out, room_app, run_room, settings_of
from engine.__main__ import app as engine_app
from tests.processes import ROOT, python

Run = Callable[..., tuple[int, str, str]]

app = room_app("A room.")


@app.command()
def say(ctx: typer.Context, word: str) -> None:
    """Show two settings and a word."""
    out.print(settings_of(ctx).seed, settings_of(ctx).threads, word)


@app.command()
def ours() -> None:
    """Fail."""
    raise DataError(
        "Table [users] has no column 'age'.", expected="age, gender", todo="rename it " + "now " * 30
    )


@app.command()
def other() -> None:
    """Fail."""
    raise KeyError("surprise")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a room as ``python -m`` does, in this process and an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMEWISE_DEBUG", "0")
    monkeypatch.setenv("POLARS_MAX_THREADS", "2")  # set: run_room does not start the process anew

    def run_one(*arguments: str, room: typer.Typer = app) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["room", *arguments])
        code = 0
        try:
            run_room(room)
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run_one


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        (["say", "x"], "3 2 x"),
        (["--config", "other.toml", "say", "x"], "4 2 x"),
        (["say", "--config=other.toml", "--set", "seed=5", "x"], "5 2 x"),
        (["say", "--set", "seed=1", "--set=threads=3", "x"], "1 3 x"),
        (["--set", "seed=1", "say", "--set", "threads=3", "x"], "1 3 x"),
        (["say", "--", "--debug"], "3 2 --debug"),
    ],
)
def test_settings_come_from_a_file_and_from_options_that_may_stand_anywhere(
    run: Run, tmp_path: Path, typed: list[str], printed: str
) -> None:
    (tmp_path / "config.toml").write_text("seed = 3\n", encoding="utf-8")
    (tmp_path / "other.toml").write_text("seed = 4\n", encoding="utf-8")
    assert run(*typed) == (0, printed + "\n", "")


def test_an_error_of_ours_is_one_message_and_exit_code_1(run: Run) -> None:
    code, shown, told = run("ours")
    assert (code, shown) == (1, "")
    assert [line.rstrip() for line in told.splitlines()] == [
        "Error: Table [users] has no column 'age'.",
        "Expected: age, gender",
        "To do: rename it " + ("now " * 30).rstrip(),
    ]


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        (["other"], 1, "Unexpected KeyError: 'surprise'"),
        (["say", "x", "--set", "sed=1"], 1, "Did you mean 'seed'?"),
        (["say", "x", "--tims", "3"], 2, "--tims"),
        (["say", "x", "--set"], 2, "Error"),
        ([], 2, ""),
    ],
)
def test_any_other_mistake_is_one_message_too(run: Run, typed: list[str], code: int, words: str) -> None:
    found, _, told = run(*typed)
    assert found == code
    assert words in told
    assert "Traceback" not in told


@pytest.mark.parametrize("typed", [("other", "--debug"), ("--debug", "other")])
def test_debug_shows_the_traceback(run: Run, typed: tuple[str, ...]) -> None:
    code, _, told = run(*typed)
    assert code == 1
    assert "Traceback" in told
    assert 'raise KeyError("surprise")' in told


THREADS = """
import typer
from engine import out, room_app, run_room, settings_of
app = room_app('x')

@app.command()
def show(ctx: typer.Context) -> None:
    settings_of(ctx)
    import polars
    out.print(polars.thread_pool_size())
    raise KeyError('end')

@app.command()
def other() -> None:
    pass

run_room(app)
"""


@pytest.mark.parametrize("early", ["import polars\n", ""], ids=["imported before", "imported after"])
def test_a_room_as_a_process_caps_polars_to_the_threads_of_the_settings(tmp_path: Path, early: str) -> None:
    (tmp_path / "threads.py").write_text(early + THREADS, encoding="utf-8")
    command = ["threads.py", "show", "--set", "threads=1"]
    answer = python(*command, cwd=tmp_path, POLARS_MAX_THREADS=None)
    assert (answer.returncode, answer.stdout) == (1, "1\n")
    # A library may complain of the machine first.
    assert any(line.startswith("Error: Unexpected KeyError") for line in answer.stderr.splitlines())


def test_the_store_s_own_commands(run: Run, tmp_path: Path) -> None:
    def write_five_bytes(folder: Path) -> None:
        (folder / "a").write_text("12345", encoding="utf-8")

    def of_store(*arguments: str) -> tuple[int, str, str]:
        return run("store", *arguments, "--set", "store=kept", room=engine_app)

    store = Store(tmp_path / "kept")
    for name in ("rate", "count"):
        store.make(Recipe("feature", name, {}), write_five_bytes)
    code, shown, _ = of_store("size")
    assert code == 0
    assert "feature" in shown
    assert "10 bytes" in shown
    assert "2 artifacts, 10 bytes would be removed" in of_store("prune", "--kind", "feature")[1]
    assert len(store.prune(kinds=["feature"])) == 2
    assert "Removed 2 artifacts" in of_store("prune", "--kind", "feature", "--yes")[1]
    assert store.size() == ()
    code, _, told = of_store("prune")
    assert code == 1
    assert "what to prune" in told


def test_a_command_is_told_as_it_can_be_typed_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert as_typed("-m features list") == "python -m features list"
    monkeypatch.delenv("VIRTUAL_ENV")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert as_typed("-m features list") == ".venv/bin/python -m features list"
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert as_typed("-m features list") == "python -m features list"


LONG = """
from pathlib import Path
from engine import console, out
for _ in range(5_000):
    out.print("a line that nobody reads")
    console.print("nor this one")
Path("written").touch()
"""


def test_a_command_whose_reader_has_left_goes_on_to_its_end(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LONG], cwd=tmp_path, env=environment, stdout=writer, stderr=writer, check=False
    )
    os.close(writer)
    assert done.returncode == 0
    assert (tmp_path / "written").exists()


def test_help_imports_nothing_that_it_does_not_need() -> None:
    told = python("-X", "importtime", "-m", "engine", "--help").stderr
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "engine._cli" in imported
    assert imported.isdisjoint({"joblib", "numpy", "polars", "pydantic", "filelock"})
