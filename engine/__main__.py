"""``python -m engine store size | prune``: look after the artifact store."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Table

from engine._cli import room_app, run_room, settings_of
from engine._console import out

app = room_app("Look after the artifact store.")
store_app = typer.Typer(help="How much is stored, and what of it may go.", no_args_is_help=True)
app.add_typer(store_app, name="store")


@store_app.command()
def size(ctx: typer.Context) -> None:
    """Show how many artifacts of each kind the store holds, and their size."""
    from engine._store import Store

    rows = Store(settings_of(ctx).store).size()
    table = Table("kind", "artifacts", "size", title=f"store {settings_of(ctx).store}")
    for row in rows:
        table.add_row(row.kind, str(row.n_artifacts), decimal(row.n_bytes))
    table.add_row("all", str(sum(r.n_artifacts for r in rows)), decimal(sum(r.n_bytes for r in rows)))
    out.print(table)


@store_app.command()
def prune(
    ctx: typer.Context,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; repeatable.")] = None,
    unused_days: Annotated[
        float | None, typer.Option(help="Only what was not read for so many days.")
    ] = None,
    unneeded: Annotated[
        bool, typer.Option("--unneeded", help="Only what no newest result is made from.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
) -> None:
    """List what would be removed; with --yes, remove it. Not while another run uses the store."""
    from engine._store import Store

    chosen = Store(settings_of(ctx).store).prune(
        kinds=tuple(kind or ()), unused_days=unused_days, is_unneeded_only=unneeded, is_dry_run=not yes
    )
    for artifact in chosen:
        out.print(f"{artifact.kind}  {artifact.name}  {decimal(artifact.n_bytes)}")
    what = f"{len(chosen)} artifacts, {decimal(sum(a.n_bytes for a in chosen))}"
    out.print(f"Removed {what}." if yes else f"{what} would be removed. Repeat with --yes to remove them.")


if __name__ == "__main__":
    run_room(app)
