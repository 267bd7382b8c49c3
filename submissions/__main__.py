"""Make, check, blend, record and show submissions: ``python -m submissions``.

What only one command needs and takes long to import is imported in that command.
"""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from engine import out, room_app, run_room, settings_of
from submissions._errors import SubmissionError
from submissions._ledger import Entry, EntryKind
from submissions._manifest import Manifest
from submissions._runs import Runs
from submissions._show_run import all_of, last_lines, score_lines
from submissions._show_runs import agreement_words, comparison_lines, lines_of, list_table, same_files

app = room_app("Make, check, blend, record and show submissions.")

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run, the start of its name, or 'latest'.")]
Note = Annotated[str, typer.Option("--note", help="A note for the new run's ledger: what you tried.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


@app.command()
def make(ctx: typer.Context, text: Note = "") -> None:
    """Run everything that is not in the store, and write a checked submission."""
    from submissions._make import make_submission

    settings = settings_of(ctx)
    _finish(Runs.of(settings), make_submission(settings), text)


@app.command()
def blend(
    ctx: typer.Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN ...", help="Two or more runs.")],
    ranks: Annotated[
        bool, typer.Option("--ranks", help="Blend ranks within the groups, not scores.")
    ] = False,
    weights: Annotated[str, typer.Option(help="One number for each run, e.g. 0.7,0.3; default: equal.")] = "",
    text: Note = "",
) -> None:
    """Blend finished runs, joined on their keys, into a new run."""
    from submissions._blend import blend_runs

    settings = settings_of(ctx)
    manifest = blend_runs(settings, runs, with_ranks=ranks, weights=_weights(weights))
    _finish(Runs.of(settings), manifest, text)


@app.command()
def check(ctx: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Pass a file through the gate. Exit code 1 if it is refused."""
    from competitions import open_dataset
    from submissions._compare import check_against_runs
    from submissions._cv import CvBasis
    from submissions._gate import Gate

    settings = settings_of(ctx)
    dataset = open_dataset(settings)
    basis = CvBasis.of(settings, dataset)
    verdict = check_against_runs(Runs.of(settings), Gate.of(dataset), basis, file)
    verdict.require(str(file))
    for warning in verdict.warnings:
        _print(Text(f"warning: {warning}", style="yellow"))
    for fact in verdict.facts:
        _print(Text(fact, style="dim"))
    _print(Text.assemble(("accepted", "bold green"), f"  {file}"))


@app.command("list")
def list_runs(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List all runs with their scores, oldest first."""
    lines = lines_of(Runs.of(settings_of(ctx)))
    if as_json:
        rows = [
            {
                "run": line.run,
                "manifest": line.manifest and line.manifest.model_dump(mode="json", exclude={"versions"}),
                "ledger": line.ledger.model_dump(mode="json"),
                "problem": line.problem,
            }
            for line in lines
        ]
        out.print_json(json.dumps(rows))
    elif not lines:
        out.print(Text.assemble("No run yet. Make one with: ", ("make submit", "bold cyan")))
    else:
        _print(list_table(lines, datetime.now(UTC), out.width))
        if words := agreement_words(lines):
            out.print(Text(words, style="dim"))


@app.command()
def show(ctx: typer.Context, run: Run, as_json: AsJson = False) -> None:
    """Show everything known about a run."""
    runs = Runs.of(settings_of(ctx))
    name = runs.resolve(run)
    manifest, ledger = runs.manifest(name), runs.ledger(name)
    if as_json:
        out.print_json(
            json.dumps({**manifest.model_dump(mode="json"), "ledger": ledger.model_dump(mode="json")})
        )
        return
    _print(*all_of(manifest, ledger, _file_state(runs, manifest)))


@app.command()
def note(ctx: typer.Context, run: Run, text: Annotated[str, typer.Argument(metavar="TEXT")]) -> None:
    """Write a note into a run's ledger."""
    if not text.strip():
        raise SubmissionError("The note is empty.", expected="some text")
    runs = Runs.of(settings_of(ctx))
    name = runs.resolve(run)
    runs.add(name, Entry(kind="note", when=datetime.now(UTC), text=text.strip()))
    out.print(Text(f"noted for {name}"))


@app.command()
def record(
    ctx: typer.Context,
    run: Run,
    public: Annotated[float | None, typer.Option(help="Score on the public leaderboard.")] = None,
    private: Annotated[float | None, typer.Option(help="Score on the private leaderboard.")] = None,
) -> None:
    """Write leaderboard scores into a run's ledger."""
    runs = Runs.of(settings_of(ctx))
    name = runs.resolve(run)
    given: dict[EntryKind, float] = {}
    if public is not None:
        given["public"] = public
    if private is not None:
        given["private"] = private
    if not given:
        raise SubmissionError("No score is given.", todo=f"python -m submissions record {name} --public 0.70")
    for kind, value in given.items():
        if not math.isfinite(value):
            raise SubmissionError(f"The {kind} score is {value}.", expected="a finite number")
    now = datetime.now(UTC)
    runs.add(name, *(Entry(kind=kind, when=now, value=value) for kind, value in given.items()))
    out.print(
        Text(f"recorded for {name}: " + ", ".join(f"{kind} {value:g}" for kind, value in given.items()))
    )


@app.command()
def score(ctx: typer.Context, run: Run) -> None:
    """Play the leaderboard: score a run on the outcomes of the test pairs, where they are known here."""
    from submissions._score import score_run

    settings = settings_of(ctx)
    runs = Runs.of(settings)
    name = runs.resolve(run)
    entry = score_run(settings, name)
    _print(*score_lines(runs.manifest(name), entry))


@app.command()
def compare(ctx: typer.Context, left: Run, right: Run) -> None:
    """Compare two runs: CV with the interval of the difference, agreement of the files, what was changed."""
    from submissions._compare import compare_runs

    runs = Runs.of(settings_of(ctx))
    _print(*comparison_lines(compare_runs(runs, runs.resolve(left), runs.resolve(right))))


def _finish(runs: Runs, manifest: Manifest, text: str) -> None:
    """Note what the user said about a new run, and print its last lines."""
    if text.strip():
        runs.add(manifest.run, Entry(kind="note", when=datetime.now(UTC), text=text.strip()))
    earlier = same_files(lines_of(runs)).get(manifest.run)
    _print(*last_lines(manifest, runs.out, earlier))


def _print(*lines: RenderableType) -> None:
    for line in lines:
        out.print(line)


def _file_state(runs: Runs, manifest: Manifest) -> str:
    path = runs.out / manifest.file.name
    if not path.is_file():
        return f"no longer in {runs.out}"
    is_same = hashlib.sha256(path.read_bytes()).hexdigest() == manifest.file.sha256
    return "unchanged" if is_same else "CHANGED since it was made"


def _weights(text: str) -> list[float]:
    try:
        return [float(weight) for weight in text.split(",")] if text.strip() else []
    except ValueError as error:
        raise SubmissionError(
            f"The weights {text!r} are not numbers.", expected="numbers such as 0.7,0.3"
        ) from error


if __name__ == "__main__":
    run_room(app)
