"""What all rooms' command lines share."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from engine import DataError, Recipe, Store, as_typed, out, room_app, run_room, settings_of
from engine.__main__ import app as engine_app

ROOT = Path(__file__).parents[2]

app = room_app("A room.")


@app.command()
def seed(ctx: typer.Context, times: int = 1) -> None:
    """Show the seed."""
    out.print(settings_of(ctx).seed * times)


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


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Runner:
    """Runs a room as ``python -m`` does, in this process and in an empty folder."""

    folder: Path
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, room: typer.Typer = app) -> Answer:
        self.patch.setattr(sys, "argv", ["room", *arguments])
        code = 0
        try:
            run_room(room)
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = self.capture.readouterr()
        return Answer(code, printed.out, printed.err)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAMEWISE_DEBUG", "0")
    monkeypatch.setenv("POLARS_MAX_THREADS", "2")  # set: run_room does not start the process anew
    return Runner(tmp_path, monkeypatch, capsys)


def test_settings_come_from_file_and_options_before_or_after_the_command(run: Runner) -> None:
    (run.folder / "config.toml").write_text("seed = 3\n", encoding="utf-8")
    (run.folder / "other.toml").write_text("seed = 4\n", encoding="utf-8")
    assert run("seed").out == "3\n"
    assert run("--config", "other.toml", "seed", "--times", "2").out == "8\n"
    assert run("seed", "--config=other.toml", "--set", "seed=5").out == "5\n"


def test_an_error_of_ours_is_one_message_and_exit_code_1(run: Runner) -> None:
    answer = run("ours")
    assert (answer.code, answer.out) == (1, "")
    lines = [
        "Error: Table [users] has no column 'age'.",
        "Expected: age, gender",
        "To do: rename it " + "now " * 30,
    ]
    assert [line.rstrip() for line in answer.err.splitlines()] == [line.rstrip() for line in lines]


def test_any_other_error_is_one_message_too(run: Runner) -> None:
    answer = run("other")
    assert answer.code == 1
    assert "Unexpected KeyError: 'surprise'" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("arguments", [("other", "--debug"), ("--debug", "other")])
def test_debug_shows_the_traceback(run: Runner, arguments: tuple[str, ...]) -> None:
    answer = run(*arguments)
    assert answer.code == 1
    assert "Traceback" in answer.err
    assert 'raise KeyError("surprise")' in answer.err


def test_a_wrong_setting_or_option_is_one_message(run: Runner) -> None:
    wrong = run("seed", "--set", "sed=1")
    assert wrong.code == 1
    assert "Did you mean 'seed'?" in wrong.err
    assert run("seed", "--tims", "3").code == 2


@pytest.mark.parametrize("early", ["import polars\n", ""], ids=["imported before", "imported after"])
def test_a_room_as_a_process_caps_polars_to_the_threads_of_the_settings(tmp_path: Path, early: str) -> None:
    (tmp_path / "threads.py").write_text(
        f"{early}import typer\nfrom engine import out, room_app, run_room, settings_of\n"
        "app = room_app('x')\n"
        "@app.command()\n"
        "def show(ctx: typer.Context) -> None:\n"
        "    settings_of(ctx)\n    import polars\n    out.print(polars.thread_pool_size())\n    raise KeyError('end')\n"
        "@app.command()\n"
        "def other() -> None:\n    pass\n"
        "if __name__ == '__main__':\n    run_room(app)\n",
        encoding="utf-8",
    )
    environment = {k: v for k, v in os.environ.items() if k != "POLARS_MAX_THREADS"} | {
        "PYTHONPATH": str(ROOT)
    }
    command = [sys.executable, "threads.py", "show", "--set", "threads=1"]
    answer = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (1, "1\n")
    # A library may complain of the machine first.
    assert any(line.startswith("Error: Unexpected KeyError") for line in answer.stderr.splitlines())


def test_the_store_s_own_commands(run: Runner) -> None:
    store = Store(run.folder / "kept")
    for name in ("rate", "count"):
        store.make(Recipe("feature", name, {}), write_five_bytes)
    shown = run("store", "size", "--set", "store=kept", room=engine_app)
    assert shown.code == 0
    assert "feature" in shown.out
    assert "10 bytes" in shown.out
    listed = run("store", "prune", "--kind", "feature", "--set", "store=kept", room=engine_app)
    assert "2 artifacts, 10 bytes would be removed" in listed.out
    assert len(store.prune(kinds=["feature"])) == 2
    removed = run("store", "prune", "--kind", "feature", "--yes", "--set", "store=kept", room=engine_app)
    assert "Removed 2 artifacts" in removed.out
    assert store.size() == ()
    refused = run("store", "prune", "--set", "store=kept", room=engine_app)
    assert refused.code == 1
    assert "what to prune" in refused.err


def write_five_bytes(folder: Path) -> None:
    (folder / "a").write_text("12345", encoding="utf-8")


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        (["say", "--set", "seed=1", "--set=threads=3", "x"], "1 3 x"),
        (["--set", "seed=1", "say", "--set", "threads=3", "x"], "1 3 x"),
        (["say", "--", "--debug"], "42 2 --debug"),
    ],
)
def test_common_options_may_stand_anywhere(run: Runner, typed: list[str], printed: str) -> None:
    assert run(*typed).out == printed + "\n"


def test_a_common_option_without_its_value_is_an_error_of_usage(run: Runner) -> None:
    assert run("say", "x", "--set").code == 2
    assert run().code == 2


def test_an_activated_environment_needs_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert as_typed("-m features list") == "python -m features list"


def test_otherwise_the_path_of_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
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
    command = [sys.executable, "-X", "importtime", "-m", "engine", "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "engine._cli" in imported
    assert imported.isdisjoint({"joblib", "numpy", "polars", "pydantic", "filelock"})
