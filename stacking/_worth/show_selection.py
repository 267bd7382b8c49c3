"""A proposed choice of features as a table, JSON and remarks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from stacking._worth.inner import words_of
from stacking._worth.selection import ENTER, LEAVE, Selected, Selection


def steps_table(selection: Selection, found: Selected) -> Table:
    """A row a step: what came in or left, and what that changed on the inner folds."""
    c = selection.plan.dataset.competition
    caption = f"Intervals over users: {ENTER:.0%} for what comes in, {LEAVE:.0%} for what is left out."
    table = Table(
        caption=Text(caption),
        caption_justify="left",
        title=Text(f"{c.name}: features of {selection.model}, chosen on inner folds"),
    )
    for heading in ("step", "", c.metric.name, "change", "interval"):
        table.add_column(heading, justify="left" if heading in ("step", "") else "right")
    for step in found.steps:
        d = step.measured.change
        numbers = (f"{step.measured.second:.4f}", f"{d.mean:+.4f}", f"[{d.low:+.4f}, {d.high:+.4f}]")
        table.add_row(step.kind, Text(", ".join(step.what)), *numbers)
    return table


def selection_remarks(selection: Selection, found: Selected) -> list[str]:
    """What a reader of the proposal must know, in sentences."""
    d = found.against_all.change
    remarks = [
        f"{len(found.columns)} of {len(selection.columns)} columns of {selection.model}, chosen on "
        f"{words_of(selection.folds)}.",
        f"There they score {found.against_all.second:.4f}, all columns {found.against_all.first:.4f}: {d.mean:+.4f} "
        f"[{d.low:+.4f}, {d.high:+.4f}], flattered by the choice. The cross-validation tells what they are worth.",
    ]
    if found.is_cut_short:
        remarks.append("The budget ended the search: run it again with more, and it goes on where it was.")
    return remarks


def selection_facts(selection: Selection, found: Selected) -> dict[str, Any]:
    """Everything that is known of a choice, for JSON."""
    return {
        "model": selection.model,
        "chosen_on": words_of(selection.folds),
        "columns": list(found.columns),
        "n_all": len(selection.columns),
        "against_all": asdict(found.against_all),
        "is_cut_short": found.is_cut_short,
        "steps": [{"kind": s.kind, "what": list(s.what), **asdict(s.measured)} for s in found.steps],
    }
