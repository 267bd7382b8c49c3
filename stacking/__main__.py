"""``python -m stacking``: cross-validate, and look at the blends."""

from __future__ import annotations

import typer

from engine import as_typed, out, room_app, run_room, settings_of
from stacking import run_cv
from stacking._show import blends_table, cv_table

app = room_app("Out-of-fold predictions of every model, and their blends.")


@app.command()
def cv(ctx: typer.Context) -> None:
    """Cross-validate every model and blend; only what is not in the store is computed."""
    bundle = run_cv(settings_of(ctx))
    out.print(cv_table(bundle))
    out.print(f"Chosen: {bundle.chosen}, since {bundle.about['chosen_because']}.", markup=False)
    out.print(f"Next: {as_typed('-m validation report')}", markup=False)


@app.command()
def blends(ctx: typer.Context) -> None:
    """Compare the blends with the mean of ranks."""
    bundle = run_cv(settings_of(ctx))
    out.print(blends_table(bundle))
    out.print(f"Chosen: {bundle.chosen}, since {bundle.about['chosen_because']}.", markup=False)


if __name__ == "__main__":
    run_room(app)
