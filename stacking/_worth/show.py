"""Gains, ablations and proposed choices as terminal tables, JSON, Markdown and remarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from competitions import Metric
from stacking._worth.ablate import Ablation, Left
from stacking._worth.differences import Measured
from stacking._worth.gain import GainPlan
from stacking._worth.selection import ENTER, LEAVE, Selected, Selection, words_of
from validation import window_title


def gain_words(gain: GainPlan, measured: Measured) -> str:
    """Say in a sentence what a name adds."""
    metric = gain.plan.dataset.competition.metric
    d = measured.change
    what = f"{len(gain.columns)} column{'' if len(gain.columns) == 1 else 's'}"
    state = "which the model reads" if gain.is_in_model else "which the model does not read yet"
    return (
        f"{gain.name} ({what}, {state}) takes {gain.model} from {measured.first:.4f} to {measured.second:.4f}: "
        f"{d.mean:+.4f} [{d.low:+.4f}, {d.high:+.4f}] over {d.n_users} users. {_gain_verdict(measured, metric)}"
    )


def gain_facts(gain: GainPlan, measured: Measured) -> dict[str, Any]:
    """Everything that is known of a gain, for JSON."""
    return {
        "name": gain.name,
        "model": gain.model,
        "metric": gain.plan.dataset.competition.metric.name,
        "columns": list(gain.columns),
        "is_in_model": gain.is_in_model,
        "without": measured.first,
        "with": measured.second,
        **_facts(gain.plan.dataset.competition.metric, measured),
    }


def folds_table(gain: GainPlan, measured: Measured) -> Table:
    """Change in each fold."""
    table = Table("fold", "eval window", "change", title=Text(f"What {gain.name} adds to {gain.model}"))
    for fold in gain.plan.folds.folds:
        title = window_title(gain.plan.dataset.competition.clock, fold.eval)
        table.add_row(fold.name, title, f"{measured.by_window[str(fold.eval.cutoff)]:+.4f}")
    return table


def ablation_table(ablation: Ablation, found: Sequence[Left]) -> Table:
    """A row a unit: what leaving it out changes, by each way, and below it the interval, so that both can be read."""
    c = ablation.plan.dataset.competition
    title = f"{c.name}: change of {c.metric.name} of {ablation.model} when a {ablation.by} is left out"
    table = Table(title=Text(title), caption=Text(_caption(ablation)), caption_justify="left")
    name, n_columns, *ways, verdict = _headings(ablation)
    for heading in (name, n_columns, *(f"{way}, 95 %" for way in ways[::2]), verdict):
        is_way = heading.endswith("%")
        justify: Literal["left", "right"] = "right" if is_way or heading == n_columns else "left"
        table.add_column(heading, justify=justify, no_wrap=is_way, overflow="fold")
    for unit, number, *found_by, judged in _rows(ablation, found):
        cells = (f"{mean}\n{interval}" for mean, interval in zip(found_by[::2], found_by[1::2], strict=True))
        table.add_row(*map(Text, (unit, number, *cells, judged)))
    return table


def ablation_markdown(ablation: Ablation, found: Sequence[Left]) -> str:
    """The same as a Markdown table, for documents."""
    headings = _headings(ablation)
    lines = [headings, ["---"] * len(headings), *_rows(ablation, found)]
    return "\n".join(["| " + " | ".join(cells) + " |" for cells in lines] + ["", _caption(ablation)])


def ablation_facts(ablation: Ablation, found: Sequence[Left]) -> dict[str, Any]:
    """Everything that is known of an ablation, for JSON."""
    metric = ablation.plan.dataset.competition.metric
    return {
        "model": ablation.model,
        "metric": metric.name,
        "by": ablation.by,
        "shuffling": None if ablation.shuffling is None else asdict(ablation.shuffling),
        "n_seeds": ablation.n_seeds if ablation.refits else None,
        "units": [
            {
                "unit": left.unit,
                "columns": list(left.columns),
                "shuffled": None if left.shuffled is None else _facts(metric, left.shuffled),
                "refitted": None if left.refitted is None else _facts(metric, left.refitted),
            }
            for left in found
        ],
    }


def _facts(metric: Metric, measured: Measured) -> dict[str, Any]:
    by_window = dict(measured.by_window)
    return {**asdict(measured.change), "by_window": by_window, "verdict": _loss_verdict(metric, measured)}


def _headings(ablation: Ablation) -> list[str]:
    found = [ablation.by, "columns"]
    if ablation.shuffling is not None:
        found += ["shuffled", "95 %"]
    if ablation.refits:
        found += ["refitted", "95 %"]
    return [*found, ""]


def _rows(ablation: Ablation, found: Sequence[Left]) -> Iterator[list[str]]:
    metric = ablation.plan.dataset.competition.metric
    for left in found:
        cells = [left.unit, str(len(left.columns))]
        for is_shown, measured in ((ablation.shuffling, left.shuffled), (ablation.refits, left.refitted)):
            if is_shown:
                d = None if measured is None else measured.change
                cells += [f"{d.mean:+.4f}", f"[{d.low:+.4f}, {d.high:+.4f}]"] if d else ["", ""]
        judge = left.refitted or left.shuffled
        yield [*cells, "" if judge is None else _loss_verdict(metric, judge)]


def _loss_verdict(metric: Metric, measured: Measured) -> str:
    if not measured.change.excludes_zero:
        return "not shown to matter"
    return "harms" if measured.is_better(greater=metric.greater_is_better) else "earns"


def _gain_verdict(measured: Measured, metric: Metric) -> str:
    if not measured.change.excludes_zero:
        return "That is not surely different from nothing."
    return (
        "Surely for the better."
        if measured.is_better(greater=metric.greater_is_better)
        else "Surely for the worse."
    )


def _caption(ablation: Ablation) -> str:
    parts = ["Score without minus score with; intervals over users, each with all their windows."]
    if ablation.shuffling is not None:
        parts.append(
            f"Shuffled: all columns of a row by one permutation within the eval window, mean of "
            f"{ablation.shuffling.n_repeats} repeats, seed {ablation.shuffling.seed}."
        )
    if ablation.refits:
        seeds = "1 seed" if ablation.n_seeds == 1 else f"the mean of {ablation.n_seeds} seeds"
        parts.append(f"Refitted: trained again without them, {seeds}.")
    return " ".join(parts)


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
        f"{words_of(selection)}.",
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
        "chosen_on": words_of(selection),
        "columns": list(found.columns),
        "n_all": len(selection.columns),
        "against_all": asdict(found.against_all),
        "is_cut_short": found.is_cut_short,
        "steps": [{"kind": s.kind, "what": list(s.what), **asdict(s.measured)} for s in found.steps],
    }
