"""One run in the terminal: the last lines of ``make``, and ``show``. Names are shown as text, never as markup."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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
from submissions._ledger import Entry, Ledger
from submissions._manifest import Manifest
from submissions._render_score import way_lines
from submissions._words import cv_words, duration, number, size


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
