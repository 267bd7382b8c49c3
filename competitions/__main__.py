"""Command line: which competitions there are, what one declares, what its data hold."""

from __future__ import annotations

from typing import Annotated

import typer

from competitions._describe import declaration, holdings, overview
from competitions._discover import competitions, get_competition
from competitions._open import open_dataset, taken_notes
from engine import out, room_app, run_room, settings_of

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


if __name__ == "__main__":
    run_room(app)
