"""One run in the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
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
from submissions._manifest import CvScore, Manifest


def last_lines(manifest: Manifest, folder: Path, same_as: str | None) -> Iterator[RenderableType]:
    """What ``make`` and ``blend`` end with: CV of each model and blend, the file, the next command.

    ``folder`` is the output folder; ``same_as`` an earlier run whose file has the same bytes.
    """
    yield from _cv_part(manifest)
    facts, file = _facts(), manifest.file
    for number_of_remark, remark in enumerate(manifest.remarks):
        facts.add_row("" if number_of_remark else "Notes", Text(remark, style="dim"))
    if manifest.stages:
        facts.add_row("Time", _stage_line(manifest))
    facts.add_row("Gate", Text("accepted", style="green"))
    facts.add_row("File", Text(str(folder / file.name), style="bold green"))
    facts.add_row(
        "", Text(f"{file.n_rows:,} rows · {size(file.n_bytes)} · sha256 {file.sha256[:16]}…", style="dim")
    )
    if same_as:
        facts.add_row("", Text(f"byte for byte the file of {same_as}", style="dim"))
    facts.add_row("CV", _chosen_line(manifest))
    for label, command in next_commands(manifest.run).items():
        facts.add_row(label, Text(command, style="cyan" if label != "Next" else "bold cyan"))
    yield facts


def next_commands(run: str) -> dict[str, str]:
    """Commands to try after a run was made: play the leaderboard here, note its score after the upload, see why."""
    return {
        "Next": as_typed(f"-m submissions score {run}"),
        "Then": as_typed(f"-m submissions record {run} --public SCORE"),
        "Why": "make cv",
    }


def cv_table(manifest: Manifest) -> Table:
    """Metric of each model and blend on each fold; the chosen one is marked, the best mean is green."""
    rows, chosen = manifest.cv, manifest.chosen
    folds = list(dict.fromkeys(fold for row in rows for fold in row.folds))
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    table.add_column("")
    table.add_column("")
    for fold in (*folds, "mean ± sd"):
        table.add_column(Text(fold), justify="right", no_wrap=True)
    pick = max if manifest.metric.greater_is_better else min
    best = pick((row.mean for row in rows if row.mean is not None), default=None)
    for number_of_row, row in enumerate(rows):
        is_chosen = row.name == chosen
        if number_of_row and row.kind != rows[number_of_row - 1].kind:
            table.add_section()
        name = Text.assemble(("▸ " if is_chosen else "  ", "green"), row.name)
        mean = Text(cv_words(row), style="green" if row.mean == best else "")
        kind = Text(row.kind, style="dim")
        values = [number(row.folds.get(fold)) for fold in folds]
        table.add_row(name, kind, *values, mean, style="bold" if is_chosen else "")
    return table


def all_of(manifest: Manifest, ledger: Ledger, file_state: str) -> Iterator[RenderableType]:
    """Everything known of a run, part by part. ``file_state``: whether the file is still what was made."""
    yield Rule(Text(manifest.run, style="bold"), align="left")
    yield _head(manifest, file_state)
    yield from _part("Cross-validation", list(_cv_part(manifest)))
    scored = ledger.last("local_score")
    yield from _part("Test window", list(way_lines(manifest, scored)) if scored else [])
    yield from _part("Ledger", [_ledger(ledger)])
    yield from _part("Stages", [_stages(manifest)] if manifest.stages else [])
    yield from _part("Remarks", [Text(f"· {remark}") for remark in manifest.remarks])
    yield from _part("Config", [_tree(manifest.config)])
    yield from _part(
        f"Features ({len(manifest.features)})", [_pairs(manifest.features)] if manifest.features else []
    )
    yield from _part(f"Versions ({len(manifest.versions)})", [_pairs(manifest.versions)])


def _facts() -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    return facts


def _cv_part(manifest: Manifest) -> Iterator[RenderableType]:
    if manifest.cv:
        direction = "higher is better" if manifest.metric.greater_is_better else "lower is better"
        yield Text.assemble(("CV", "bold"), (f"  {manifest.metric.name}, {direction}", "dim"))
        yield Padding(cv_table(manifest), (0, 0, 1, 0))


def _chosen_line(manifest: Manifest) -> Text:
    shares = ", ".join(f"{share:.2f} {name}" for name, share in manifest.weights.items() if share > 0)
    what = f"  {manifest.chosen}" + (f": {shares}" if shares else "")
    return Text.assemble((cv_words(manifest.chosen_cv), "bold"), (what, "dim"))


def _stage_line(manifest: Manifest) -> Text:
    parts = [f"{stage.name} {duration(stage.seconds)}" for stage in manifest.stages if stage.seconds >= 0.05]
    total = sum(stage.seconds for stage in manifest.stages)
    peak = max((stage.peak_mib or 0.0 for stage in manifest.stages), default=0.0)
    return Text.assemble(f"{duration(total)}, peak {peak:,.0f} MiB  ", (" · ".join(parts), "dim"))


def _head(manifest: Manifest, file_state: str) -> Table:
    facts, file, git = _facts(), manifest.file, manifest.git
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
        "blended": "ranks" if manifest.with_ranks else "scores",
        "file": f"{file.name}: {file.n_rows:,} rows, {file.n_bytes:,} bytes, {file_state}",
        "sha256": file.sha256,
        "blake3": file.blake3,
        "keys": f"{', '.join(manifest.pair_keys)}; ranked within {', '.join(manifest.group) or 'the whole file'}",
        "commit": commit + changed,
        "data": manifest.data_fingerprint,
        "seeds": ", ".join(f"{n} {s}" for n, s in manifest.seeds.items()),
        "python": f"{manifest.python} on {manifest.platform}",
    }
    if not manifest.parents:
        del rows["blended"]
    for name, text in rows.items():
        facts.add_row(name, Text(text))
    return facts


def _part(title: str, content: list[RenderableType]) -> Iterator[RenderableType]:
    if content:
        yield Text(f"\n{title}", style="bold")
        for renderable in content:
            yield Padding(renderable, (0, 0, 0, 2))


def _ledger(ledger: Ledger) -> RenderableType:
    if not ledger.entries:
        return Text("nothing recorded yet", style="dim")
    table = _facts()
    table.add_column(overflow="fold")
    for entry in ledger.entries:
        table.add_row(
            entry.when.strftime("%Y-%m-%d %H:%M"), Text(entry.kind.replace("_", " ")), _entry(entry)
        )
    return table


def _entry(entry: Entry) -> Text:
    if entry.kind == "note":
        return Text(entry.text or "")
    single = ", ".join(f"{n} {number(v)}" for n, v in (entry.by_name or {}).items())
    return Text.assemble((f"{entry.value:.6g}", "bold"), (f"  {single}" if single else "", "dim"))


def _stages(manifest: Manifest) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    table.add_column("stage")
    table.add_column("wall time", justify="right")
    table.add_column("peak memory", justify="right")
    for stage in manifest.stages:
        peak = "–" if stage.peak_mib is None else f"{stage.peak_mib:,.0f} MiB"
        table.add_row(Text(stage.name), duration(stage.seconds), peak)
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


DASH = "–"


def number(value: float | None, digits: int = 4) -> str:
    """Write a score; a dash for none.

    >>> number(0.70123), number(None)
    ('0.7012', '–')
    """
    return DASH if value is None else f"{value:.{digits}f}"


def cv_words(score: CvScore | None) -> str:
    """Write mean and spread over the folds.

    >>> cv_words(CvScore(name="als", kind="model", folds={"fold1": 0.7}, mean=0.7, sd=None))
    '0.7000'
    """
    if score is None or score.mean is None:
        return DASH
    return number(score.mean) if score.sd is None else f"{score.mean:.4f} ± {score.sd:.4f}"


def ago(when: datetime, now: datetime) -> str:
    """Write how long ago something was.

    >>> from datetime import timedelta
    >>> now = datetime(2026, 11, 21, 20, 0)
    >>> [ago(now - timedelta(minutes=m), now) for m in (0, 5, 130, 3000)]
    ['just now', '5 min ago', '2 h ago', '2 d ago']
    """
    seconds = (now - when).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 2 * 86400:
        return f"{seconds // 3600:.0f} h ago"
    return f"{seconds // 86400:.0f} d ago"


def size(n_bytes: int) -> str:
    """Write a file's size.

    >>> size(96_300), size(12)
    ('96.3 kB', '12 bytes')
    """
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    return f"{n_bytes / 1e3:.1f} kB" if n_bytes < 1_000_000 else f"{n_bytes / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Write a wall time.

    >>> duration(0.42), duration(75.2)
    ('0.4 s', '1 min 15 s')
    """
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
