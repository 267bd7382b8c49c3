"""A run on the test pairs in the terminal: what ``score`` prints, and ``show`` again."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from submissions._ledger import Entry, Lead
from submissions._manifest import Manifest
from submissions._words import DASH, cv_words, number

BASELINE = "popularity"


def score_lines(manifest: Manifest, entry: Entry) -> Iterator[RenderableType]:
    """What ``score`` prints: a line a model; where the best possible score is known, the table of ``way_lines``."""
    if entry.oracle is not None:
        yield from way_lines(manifest, entry)
        return
    singles = entry.by_name or {}
    width = max(map(len, [*singles, manifest.run, "cross-validation"]))
    for name, value in singles.items():
        style = "dim" if name != manifest.chosen else "green"
        yield Text(f"  {name:<{width}}  {number(value)}", style=style)
    yield Text.assemble(
        f"  {manifest.run:<{width}}  ", (number(entry.value), "bold"), f"  {manifest.metric.name}"
    )
    yield Text(f"  {'cross-validation':<{width}}  {number(manifest.cv_mean)}", style="dim")


def way_lines(manifest: Manifest, entry: Entry) -> Iterator[RenderableType]:
    """Every model and blend on the test pairs between the popularity baseline and the oracle. Nothing without one."""
    if entry.oracle is None:
        return
    values = entry.by_name or {}
    yield Text.assemble(("Test pairs", "bold"), (f"  {manifest.metric.name}", "dim"))
    yield Padding(_table(manifest, entry), (0, 0, 1, 0))
    base = values.get(BASELINE)
    if base is None or base == entry.oracle:
        yield Text(f"No share of the way: the run has no model {BASELINE!r} below the oracle.", style="dim")
    else:
        yield Text(
            f"Share of the way = (value - {base:.4f}) / ({entry.oracle:.4f} - {base:.4f}), "
            "from the popularity baseline to the oracle, the true probabilities.",
            style="dim",
        )
    if entry.lead is not None:
        way = None if base is None else entry.oracle - base
        yield _lead_line(entry.lead, way, 1 if manifest.metric.greater_is_better else -1)


def share_of_the_way(value: float, baseline: float | None, oracle: float | None) -> float | None:
    """Return how far a value is on the way from a baseline to the oracle; None if there is no such way.

    >>> share_of_the_way(0.7, 0.6, 0.8)
    0.5
    """
    if baseline is None or oracle is None or baseline == oracle:
        return None
    return round((value - baseline) / (oracle - baseline), 10)


def _table(manifest: Manifest, entry: Entry) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for head in ("", "", "CV", "test", "share of the way"):
        table.add_column(head, justify="left" if not head else "right", no_wrap=True)
    values = entry.by_name or {}
    pick = max if manifest.metric.greater_is_better else min
    best = pick(values.values(), default=None)
    kind = None
    for cv in manifest.cv:
        if kind not in (None, cv.kind):
            table.add_section()
        kind, is_chosen = cv.kind, cv.name == manifest.chosen
        value = values.get(cv.name)
        table.add_row(
            Text.assemble(("▸ " if is_chosen else "  ", "green"), cv.name),
            Text(cv.kind, style="dim"),
            cv_words(cv),
            Text(number(value), style="green" if value is not None and value == best else ""),
            _share(value, entry),
            style="bold" if is_chosen else "",
        )
    table.add_section()
    table.add_row(
        "  oracle", Text("truth", style="dim"), DASH, number(entry.oracle), _share(entry.oracle, entry)
    )
    return table


def _share(value: float | None, entry: Entry) -> str:
    share = (
        None if value is None else share_of_the_way(value, (entry.by_name or {}).get(BASELINE), entry.oracle)
    )
    return DASH if share is None else f"{share:.1%}"


def _lead_line(lead: Lead, way: float | None, better: int) -> Text:
    """Say whether the blend surely covers more of the way than the model; the length of the way is taken as known.

    Without a way, plus is better: ``better`` is -1 for a loss.
    """
    scale, unit = (100 / way, " % of the way") if way else (better, "")
    low, high = sorted((lead.low * scale, lead.high * scale))
    verdict = "surely more" if low > 0 else "surely less" if high < 0 else "not clear which is more"
    return Text.assemble(
        f"{lead.blend} against {lead.model}, the best single model here: ",
        (f"{lead.mean * scale:+.2f}{unit}", "bold"),
        f" (95 % interval {low:+.2f} to {high:+.2f}, {lead.n_users:,} users resampled): ",
        (verdict, "green" if low > 0 else "yellow"),
    )
