"""One run in the terminal: the last lines of ``make``, ``score`` and ``show``. Names are text, never markup."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.columns import Columns
from rich.console import RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from engine import as_typed
from submissions._ledger import Entry, Lead, Ledger
from submissions._manifest import ALARM, CvScore, Manifest

DASH = "–"
BASELINE = "popularity"
HEADINGS = {
    "statistician": "to the statistician",
    "order-blind": "to the order-blind",
    "oracle": "share of the way",
}  # of the shares of the way to each


def last_lines(manifest: Manifest, folder: Path, same_as: str | None) -> Iterator[RenderableType]:
    """What ``make`` and ``blend`` end with: CV of each model and blend, the file, the next command.

    ``folder`` is the output folder; ``same_as`` an earlier run whose file has the same bytes.
    """
    yield from _cv_lines(manifest)
    facts, file = _grid(), manifest.file
    notes = [remark for remark in manifest.remarks if not remark.startswith(ALARM)]
    for i, remark in enumerate(notes):
        facts.add_row("" if i else "Notes", Text(remark, style="dim"))
    if manifest.stages:
        facts.add_row("Time", _total_cost(manifest))
    facts.add_row("Gate", Text("accepted", style="green"))
    facts.add_row("File", Text(str(folder / file.name), style="bold green"))
    facts.add_row(
        "", Text(f"{file.n_rows:,} rows · {_size(file.n_bytes)} · sha256 {file.sha256[:16]}…", style="dim")
    )
    if same_as:
        facts.add_row("", Text(f"byte for byte the file of {same_as}", style="dim"))
    facts.add_row("CV", _chosen_line(manifest))
    facts.add_row("Next", Text(as_typed(f"-m submissions score {manifest.run}"), style="bold cyan"))
    facts.add_row(
        "Then", Text(as_typed(f"-m submissions record {manifest.run} --public SCORE"), style="cyan")
    )
    facts.add_row("Why", Text("make cv", style="cyan"))
    alarms = [remark.removeprefix(ALARM) for remark in manifest.remarks if remark.startswith(ALARM)]
    for i, alarm in enumerate(alarms):
        facts.add_row("" if i else "Alarm", Text(alarm, style="red"))
    yield facts


def all_of(manifest: Manifest, ledger: Ledger, file_state: str) -> Iterator[RenderableType]:
    """Everything known about a run, section by section. ``file_state``: whether the file is still what was made."""
    yield Rule(Text(manifest.run, style="bold"), align="left")
    yield _head(manifest, file_state)
    scored = ledger.last("local_score")
    sections: dict[str, list[RenderableType]] = {
        "Cross-validation": list(_cv_lines(manifest)),
        "Test window": list(_between_baseline_and_oracle(manifest, scored)) if scored else [],
        "How sure": list(_interval_lines(manifest, scored)) if scored else [],
        "Ledger": [_ledger(ledger)],
        "Stages": [_stages(manifest)] if manifest.stages else [],
        "Remarks": [Text(f"· {remark}") for remark in manifest.remarks],
        "Config": [_tree(manifest.config)],
        f"Features ({len(manifest.features)})": [_pairs(manifest.features)] if manifest.features else [],
        f"Versions ({len(manifest.versions)})": [_pairs(manifest.versions)],
    }
    for title, lines in sections.items():
        if lines:
            yield Text(f"\n{title}", style="bold")
            yield from (Padding(line, (0, 0, 0, 2)) for line in lines)


def score_lines(manifest: Manifest, entry: Entry) -> Iterator[RenderableType]:
    """What ``score`` prints: a line for each model and blend; a table up to the oracle where there is one."""
    if entry.oracle is not None:
        yield from _between_baseline_and_oracle(manifest, entry)
        yield from _interval_lines(manifest, entry)
        return
    singles = entry.by_name or {}
    width = max(map(len, [*singles, manifest.run, "cross-validation"]))
    for name, value in singles.items():
        style = "dim" if name != manifest.chosen else "green"
        yield Text(f"  {name:<{width}}  {number(value)}", style=style)
    overall = (number(entry.value), "bold")
    yield Text.assemble(f"  {manifest.run:<{width}}  ", overall, f"  {manifest.metric.name}")
    yield Text(f"  {'cross-validation':<{width}}  {number(manifest.cv_mean)}", style="dim")
    yield from _interval_lines(manifest, entry)


def _interval_lines(manifest: Manifest, entry: Entry) -> Iterator[RenderableType]:
    """Say how sure the score is; a difference is green where it is surely for what was submitted."""
    width = max((len(one.name) for one in entry.intervals), default=0)
    for one in entry.intervals:
        is_difference = " - " in one.name
        shown = "+.4f" if is_difference else ".4f"
        ends = (one.low, one.high) if manifest.metric.greater_is_better else (-one.high, -one.low)
        verdict = " surely better" if ends[0] > 0 else " surely worse" if ends[1] < 0 else " not clear"
        yield Text.assemble(
            f"  {one.name:<{width}}  ",
            (format(one.value, shown), "bold"),
            (f"  95 % from {one.low:{shown}} to {one.high:{shown}}, {one.n_users:,} users resampled", "dim"),
            (verdict, "green" if ends[0] > 0 else "yellow") if one.name.startswith("chosen") else "",
        )


def number(value: float | None) -> str:
    """Write a score with four digits; a dash for none.

    >>> number(0.70123), number(None)
    ('0.7012', '–')
    """
    return DASH if value is None else f"{value:.4f}"


def mean_and_sd(score: CvScore | None) -> str:
    """Write mean and spread over the folds.

    >>> mean_and_sd(CvScore(name="als", kind="model", folds={"fold1": 0.7}, mean=0.7, sd=None))
    '0.7000'
    """
    if score is None or score.mean is None or score.sd is None:
        return number(score.mean if score else None)
    return f"{score.mean:.4f} ± {score.sd:.4f}"


def score_table(left: Sequence[str], right: Sequence[str]) -> Table:
    """An empty table with headings of columns of text (``left``) and of numbers (``right``)."""
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    return table


def _each_model_and_blend(
    manifest: Manifest, headings: Sequence[str], values: Callable[[CvScore], Sequence[str | Text]]
) -> Table:
    """A row of ``values`` for each model, then for each blend; the chosen one is marked."""
    table = score_table(("", ""), headings)
    kind = None
    for cv in manifest.cv:
        if kind not in (None, cv.kind):
            table.add_section()
        kind, is_chosen = cv.kind, cv.name == manifest.chosen
        name = Text.assemble(("▸ " if is_chosen else "  ", "green"), cv.name)
        table.add_row(name, Text(kind, style="dim"), *values(cv), style="bold" if is_chosen else "")
    return table


def _cv_lines(manifest: Manifest) -> Iterator[RenderableType]:
    """Metric of each model and blend on each fold; the best mean is green."""
    if not manifest.cv:
        return
    folds = list(dict.fromkeys(fold for cv in manifest.cv for fold in cv.folds))
    pick = max if manifest.metric.greater_is_better else min
    best = pick((cv.mean for cv in manifest.cv if cv.mean is not None), default=None)

    def values(cv: CvScore) -> list[str | Text]:
        mean = Text(mean_and_sd(cv), style="green" if cv.mean == best else "")
        return [*(number(cv.folds.get(fold)) for fold in folds), mean]

    direction = "higher is better" if manifest.metric.greater_is_better else "lower is better"
    yield Text.assemble(("CV", "bold"), (f"  {manifest.metric.name}, {direction}", "dim"))
    yield Padding(_each_model_and_blend(manifest, (*folds, "mean ± sd"), values), (0, 0, 1, 0))


def _between_baseline_and_oracle(manifest: Manifest, entry: Entry) -> Iterator[RenderableType]:
    """Every model and blend on the test pairs between the popularity baseline and the oracle. Nothing without one."""
    if entry.oracle is None:
        return
    known, bounds = entry.by_name or {}, {"oracle": entry.oracle}
    if entry.order_blind is not None:
        bounds = {"order-blind": entry.order_blind, **bounds}
    if entry.statistician is not None:
        bounds = {"statistician": entry.statistician, **bounds}
    base = known.get(BASELINE)
    ways = {name: bound - base for name, bound in bounds.items() if base is not None and bound != base}
    pick = max if manifest.metric.greater_is_better else min
    best = pick(known.values(), default=None)

    def shares(value: float | None) -> list[str]:
        return [
            DASH
            if value is None or base is None or name not in ways
            else f"{(value - base) / ways[name]:.1%}"
            for name in bounds
        ]

    def values(cv: CvScore) -> list[str | Text]:
        value = known.get(cv.name)
        test = Text(number(value), style="green" if value is not None and value == best else "")
        return [mean_and_sd(cv), test, *shares(value)]

    headings = [HEADINGS[name] for name in bounds]
    table = _each_model_and_blend(manifest, ("CV", "test", *headings), values)
    table.add_section()
    for name, bound in bounds.items():
        kind = Text("inference" if name == "statistician" else "truth", style="dim")
        table.add_row(f"  {name}", kind, DASH, number(bound), *shares(bound))
    yield Text.assemble(("Test pairs", "bold"), (f"  {manifest.metric.name}", "dim"))
    yield Padding(table, (0, 0, 1, 0))
    yield Text(_way_in_words(base, bounds, ways), style="dim")
    if entry.lead is not None:
        yield _lead_line(entry.lead, ways.get("oracle"), 1 if manifest.metric.greater_is_better else -1)


def _way_in_words(base: float | None, bounds: Mapping[str, float], ways: Mapping[str, float]) -> str:
    if base is None or "oracle" not in ways:
        return f"No share of the way: the run has no model {BASELINE!r} below the oracle."
    way = (
        f"Share of the way = (value - {base:.4f}) / ({bounds['oracle']:.4f} - {base:.4f}), "
        "from the popularity baseline to the oracle, the true probabilities."
    )
    if "order-blind" in ways:
        way += (
            f" That of the order-blind oracle ends at {bounds['order-blind']:.4f}: the true probabilities, without "
            "what users saw and did just before."
        )
    if "statistician" in ways:
        way += (
            f" That of the statistician ends at {bounds['statistician']:.4f}: they know every clip and how ready each "
            "user is to react, and infer tastes only."
        )
    return way


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


def _grid() -> Table:
    """An empty table of names and what they stand for."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    return facts


def _chosen_line(manifest: Manifest) -> Text:
    shares = ", ".join(f"{share:.2f} {name}" for name, share in manifest.weights.items() if share > 0)
    what = f"  {manifest.chosen}" + (f": {shares}" if shares else "")
    return Text.assemble((mean_and_sd(manifest.chosen_cv), "bold"), (what, "dim"))


def _total_cost(manifest: Manifest) -> Text:
    stages = [f"{s.name} {_duration(s.seconds)}" for s in manifest.stages if s.seconds >= 0.05]
    total = sum(stage.seconds for stage in manifest.stages)
    peak = max((stage.peak_mib or 0.0 for stage in manifest.stages), default=0.0)
    return Text.assemble(f"{_duration(total)}, peak {peak:,.0f} MiB  ", (" · ".join(stages), "dim"))


def _head(manifest: Manifest, file_state: str) -> Table:
    facts, file, git = _grid(), manifest.file, manifest.git
    commit = git.commit or f"unknown: {git.reason}"
    changed = " with changes that are not committed" if git.is_dirty else ""
    policy = ", ".join(f"{k} = {v}" for k, v in manifest.metric.policy.items())
    rows = {
        "created": manifest.created.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "competition": manifest.competition,
        "metric": manifest.metric.name + (f" ({policy})" if policy else ""),
        "chosen": manifest.chosen,
        "weights": ", ".join(f"{n} {w:.4f}" for n, w in manifest.weights.items()) or "none",
        "parents": ", ".join(p.run for p in manifest.parents) or "none",
        **({"blended": "ranks" if manifest.with_ranks else "scores"} if manifest.parents else {}),
        "file": f"{file.name}: {file.n_rows:,} rows, {file.n_bytes:,} bytes, {file_state}",
        "sha256": file.sha256,
        "blake3": file.blake3,
        "keys": f"{', '.join(manifest.pair_keys)}; ranked within {', '.join(manifest.group) or 'the whole file'}",
        "commit": commit + changed,
        "data": manifest.data_fingerprint,
        "seeds": ", ".join(f"{n} {s}" for n, s in manifest.seeds.items()),
        "python": f"{manifest.python} on {manifest.platform}",
    }
    for name, text in rows.items():
        facts.add_row(name, Text(text))
    return facts


def _ledger(ledger: Ledger) -> RenderableType:
    if not ledger.entries:
        return Text("nothing recorded yet", style="dim")
    table = _grid()
    table.add_column(overflow="fold")
    for entry in ledger.entries:
        when, kind = entry.when.strftime("%Y-%m-%d %H:%M"), entry.kind.replace("_", " ")
        table.add_row(when, Text(kind), _entry(entry))
    return table


def _entry(entry: Entry) -> Text:
    if entry.kind == "note":
        return Text(entry.text or "")
    single = ", ".join(f"{n} {number(v)}" for n, v in (entry.by_name or {}).items())
    return Text.assemble((f"{entry.value:.6g}", "bold"), (f"  {single}" if single else "", "dim"))


def _stages(manifest: Manifest) -> Table:
    table = score_table(("stage",), ("wall time", "peak memory"))
    for stage in manifest.stages:
        peak = DASH if stage.peak_mib is None else f"{stage.peak_mib:,.0f} MiB"
        table.add_row(Text(stage.name), _duration(stage.seconds), peak)
    return table


def _tree(config: Mapping[str, Any]) -> Tree:
    tree = Tree("", hide_root=True, guide_style="dim")
    _grow(tree, config)
    return tree


def _grow(branch: Tree, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            _grow(branch.add(Text(key, style="dim")), value)
        else:
            branch.add(Text.assemble((f"{key} = ", "dim"), json.dumps(value, ensure_ascii=False)))


def _pairs(facts: Mapping[str, str]) -> Columns:
    return Columns(
        [Text.assemble(name, " ", (value, "dim")) for name, value in facts.items()], column_first=True
    )


def _size(n_bytes: int) -> str:
    """Write a file's size.

    >>> _size(96_300), _size(12)
    ('96.3 kB', '12 bytes')
    """
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    return f"{n_bytes / 1e3:.1f} kB" if n_bytes < 1_000_000 else f"{n_bytes / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    """Write a wall time.

    >>> _duration(0.42), _duration(75.2), _duration(119.6)
    ('0.4 s', '1 min 15 s', '2 min 0 s')
    """
    minutes, rest = divmod(float(f"{seconds:.0f}"), 60)  # round() refuses what is no number
    return f"{minutes:.0f} min {rest:.0f} s" if minutes > 0 else f"{seconds:.1f} s"
