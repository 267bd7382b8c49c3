"""Command line: which competitions there are, what one declares, what its data hold."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from competitions._describe import declaration, holdings, overview
from competitions._discover import competitions, get_competition
from competitions._intake import open_dataset, taken_notes
from competitions.simulator import Simulated, simulate
from engine import as_typed, out, room_app, run_room, settings_of

app = room_app("What a competition gives: tables, roles, clock, target, metric, file format.")


@app.command("list")
def list_competitions() -> None:
    """List the competitions of this checkout."""
    out.print(overview(competitions().values()))


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name of a competition, as `list` gives it.")]) -> None:
    """Show what a competition declares. Reads no data."""
    for part in declaration(get_competition(name)):
        out.print(part)


@app.command()
def check(
    ctx: typer.Context,
    rehash: Annotated[
        bool, typer.Option(help="Read the input files even if their time stamps are old.")
    ] = False,
) -> None:
    """Take the data of the configured competition in, if they are not yet, and show what they hold."""
    settings = settings_of(ctx)
    dataset = open_dataset(settings, rehash=rehash)
    for part in holdings(dataset, taken_notes(settings)):
        out.print(part)


@app.command("simulate")
def simulate_files(
    name: Annotated[str, typer.Argument(help="vk2024: the only competition with a simulator.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the files: empty, or not there yet.")],
    rows: Annotated[int, typer.Option(help="Rows of the log, e.g. 10_000_000; exactly.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="The same seed and rows give the same files.")] = 7,
    parts: Annotated[int, typer.Option(help="Files of the log, one after the other in time.")] = 1,
    overwrite: Annotated[bool, typer.Option(help="Replace the files of an earlier simulation.")] = False,
) -> None:
    """Write simulated files of a competition, with the true probabilities beside them."""
    made = simulate(name, folder, n_rows=rows, seed=seed, n_parts=parts, overwrite=overwrite)
    for line in _words(made):
        out.print(line, markup=False, soft_wrap=True)


def _words(made: Simulated) -> list[str]:
    n = made.sizes
    return [
        f"{n.rows:,} rows of {n.users:,} users, {n.items:,} clips of {n.sources:,} sources",
        f"{made.n_pairs:,} test pairs",
        f"in {made.folder}: {', '.join(made.files)}",
        "Next: "
        + as_typed(
            f"-m competitions check --set competition=vk2024 --set data={shlex.quote(str(made.folder))}"
        ),
    ]


if __name__ == "__main__":
    run_room(app)
