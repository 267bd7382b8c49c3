"""Several runs in the terminal: the list, and two side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from submissions._errors import SubmissionError
from submissions._ledger import EntryKind, Ledger
from submissions._manifest import Manifest
from submissions._runs import Runs
from submissions._show_run import DASH, mean_and_sd, number, score_table

if TYPE_CHECKING:
    from submissions._compare import Change, Comparison

WIDE = 110
"""Columns of the terminal from which ``when``, the spread of the CV and whole notes have room."""

_CHOSEN_WIDTH = 12
_SHORTEST_NOTE = 8
_MANY = 30
"""Lines of a section beyond which only their number is shown."""


ScoreKind = Literal["cv"] | EntryKind


@dataclass(frozen=True)
class Line:
    """A run in the list. ``manifest`` is None if it cannot be read, for the reason in ``problem``."""

    run: str
    manifest: Manifest | None
    ledger: Ledger
    problem: str = ""

    def score(self, kind: ScoreKind) -> float | None:
        """The mean over the folds (``cv``), or the newest score of a kind in the ledger; None if there is none."""
        if kind == "cv":
            return self.manifest.cv_mean if self.manifest else None
        return self.ledger.score(kind)


def lines_of(runs: Runs) -> tuple[Line, ...]:
    """Read every finished run, oldest first. A damaged one becomes a line that says so."""
    return tuple(_line(runs, run) for run in runs.ids())


def _line(runs: Runs, run: str) -> Line:
    try:
        return Line(run, runs.manifest(run), runs.ledger(run))
    except SubmissionError as error:
        return Line(run, None, Ledger(), " ".join(error.found.split()))


def list_table(lines: Sequence[Line], now: datetime, width: int) -> Table:
    """Lay out the runs, oldest first, in ``width`` columns of the terminal; the best of each score is green.

    Below ``WIDE`` columns ``when`` is left out (the name of a run starts with it, in UTC), names end before their
    random digits if they are unique without (such a name is valid too), the CV is the mean alone, and notes are cut.
    """
    is_wide = width >= WIDE
    kinds: list[ScoreKind] = ["cv", "public", "private"]
    if any(line.score("local_score") is not None for line in lines):
        kinds.append("local_score")
    heads = [*(["when"] if is_wide else []), *(kind.removesuffix("_score") for kind in kinds), "chosen"]
    best, earlier = _best(lines, kinds), same_files(lines)
    rows = [
        [Text(run, style="" if line.manifest else "red"), *_facts(line, kinds, best, now, is_wide=is_wide)]
        for run, line in zip(_names(lines, is_wide=is_wide), lines, strict=True)
    ]
    table, room = _columns(["run", *heads], rows, width)
    has_notes = room >= _SHORTEST_NOTE
    if has_notes:
        table.add_column("note", overflow="fold")
    for line, row in zip(lines, rows, strict=True):
        note = _note(line, earlier)
        if not is_wide:
            note.truncate(room, overflow="ellipsis")
        table.add_row(*row, *([note] if has_notes else []))
    return table


def _names(lines: Sequence[Line], *, is_wide: bool) -> list[str]:
    """Names of the runs; without the random digits if there is little room and they are unique without."""
    whole = [line.run for line in lines]
    short = [run.rpartition("-")[0] for run in whole]
    return whole if is_wide or len(set(short)) < len(short) else short


def _columns(heads: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> tuple[Table, int]:
    """A table with columns as wide as what stands in them, and the room that is left beside them."""
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", padding=(0, 1, 0, 0), show_edge=False)
    room = width
    for i, head in enumerate(heads):
        widest = max([len(head), *(row[i].cell_len for row in rows)])
        justify: Literal["left", "right"] = "left" if head in ("run", "when", "chosen") else "right"
        table.add_column(head, no_wrap=True, min_width=widest, justify=justify)
        room -= widest + 2
    return table, room - 1


def _facts(
    line: Line, kinds: Sequence[ScoreKind], best: Mapping[ScoreKind, float], now: datetime, *, is_wide: bool
) -> list[Text]:
    """What stands between the name of a run and its note."""
    manifest = line.manifest
    if manifest is None:
        return [*[Text(DASH, style="dim")] * (len(kinds) + is_wide), Text("damaged", style="red")]
    facts = [Text(_ago(manifest.created, now), style="dim")] if is_wide else []
    for kind in kinds:
        value = line.score(kind)
        words = mean_and_sd(manifest.chosen_cv) if kind == "cv" and is_wide else number(value)
        is_best = value is not None and value == best.get(kind)
        facts.append(Text(words, style="dim" if value is None else "bold green" if is_best else ""))
    chosen = Text(f"blend of {len(manifest.parents)}" if manifest.parents else manifest.chosen)
    chosen.truncate(_CHOSEN_WIDTH, overflow="ellipsis")
    return [*facts, chosen]


def agreement_words(lines: Sequence[Line]) -> str:
    """Say how often CV and public score agree on which of two runs is better; empty if no two runs have both.

    Runs whose files are the same count once.
    """
    points: dict[str, tuple[float, float]] = {}
    for line in lines:
        public = line.score("public")
        if line.manifest and line.manifest.cv_mean is not None and public is not None:
            points[line.manifest.file.sha256] = (line.manifest.cv_mean, public)
    pairs = [(a, b) for a, b in combinations(points.values(), 2) if a[0] != b[0] and a[1] != b[1]]
    if not pairs:
        return ""
    alike = sum((a[0] < b[0]) == (a[1] < b[1]) for a, b in pairs)
    return f"CV and public score agree on the order of {alike} of {len(pairs)} pairs of runs."


def _best(lines: Sequence[Line], kinds: Sequence[ScoreKind]) -> dict[ScoreKind, float]:
    """The best value of each kind of score, where values differ."""
    best: dict[ScoreKind, float] = {}
    pick = max if all(line.manifest.metric.greater_is_better for line in lines if line.manifest) else min
    for kind in kinds:
        values = [v for line in lines if line.manifest and (v := line.score(kind)) is not None]
        if len(set(values)) > 1:
            best[kind] = pick(values)
    return best


def same_files(lines: Sequence[Line]) -> dict[str, str]:
    """Runs whose file has the same bytes as an earlier run's, and the first such run."""
    first: dict[str, str] = {}
    readable = [(line.run, line.manifest.file.sha256) for line in lines if line.manifest]
    return {run: earlier for run, file in readable if (earlier := first.setdefault(file, run)) != run}


def _note(line: Line, earlier: Mapping[str, str]) -> Text:
    if line.problem:
        return Text(line.problem, style="red")
    notes = " · ".join(" ".join(note.split()) for note in line.ledger.notes)
    same = f"same file as …{earlier[line.run][-11:]}" if line.run in earlier else ""
    return Text.assemble(notes, " " if notes and same else "", (same, "dim"))


def comparison_lines(found: Comparison) -> Iterator[RenderableType]:
    """CV and its difference, agreement of the files, then what was changed between the runs."""
    yield _scores(found)
    yield Text()
    yield _verdict(found)
    yield _agreement(found)
    for title, changes in (("Facts", found.facts), ("Config", found.config), ("Features", found.features)):
        yield Text()
        if changes:
            yield Text(f"{title}: {len(changes)} differ", style="bold")
            yield _changes(changes)
        elif title == "Features" and (found.left.parents or found.right.parents):
            yield Text("Features: a blend of runs has none of its own", style="dim")
        else:
            yield Text(f"{title}: the same", style="dim")


def _scores(found: Comparison) -> Table:
    both = (found.left, found.right)
    folds = list(dict.fromkeys(fold for m in both if m.chosen_cv for fold in m.chosen_cv.folds))
    table = score_table(("run", "chosen"), (*folds, "mean ± sd"))
    for manifest in both:
        cv = manifest.chosen_cv
        values = [number(cv.folds.get(fold) if cv else None) for fold in folds]
        table.add_row(Text(manifest.run, no_wrap=True), Text(manifest.chosen), *values, mean_and_sd(cv))
    return table


def _verdict(found: Comparison) -> Text:
    difference = found.difference
    if difference is None:
        return Text.assemble("Difference: ", ("not tested", "yellow"), f" – {found.why_not}")
    is_better = (difference.mean > 0) == found.left.metric.greater_is_better
    verdict, style = ("no clear difference", "yellow")
    if difference.excludes_zero:
        verdict, style = ("the second is better", "green") if is_better else ("the second is worse", "red")
    interval = f"{difference.mean:+.5f}  95 % interval [{difference.low:+.5f}, {difference.high:+.5f}]"
    users = f" over {difference.n_users:,} users, paired on the same rows"
    return Text.assemble("Difference: ", (interval, "bold"), users, ": ", (verdict, f"bold {style}"))


def _agreement(found: Comparison) -> Text:
    agreement = found.agreement
    if agreement.mean is None:
        return Text("Files: no group ranks anything in both")
    where = "groups" if found.left.group else "file"
    low = "" if agreement.low is None or agreement.n_groups < 2 else f", tenth percentile {agreement.low:.3f}"
    words = f"rank correlation {agreement.mean:.4f}{low} ({agreement.n_groups:,} {where})"
    same = " – the same bytes" if found.left.file.sha256 == found.right.file.sha256 else ""
    return Text.assemble("Files: ", (words, "bold"), same)


def _changes(changes: Sequence[Change]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", overflow="fold")
    for _ in range(2):
        table.add_column(overflow="fold")
    for change in changes[:_MANY]:
        left = Text(change.left if change.left is not None else "absent", style="red")
        right = Text(change.right if change.right is not None else "absent", style="green")
        table.add_row(Text(f"  {change.name}"), left, right)
    if len(changes) > _MANY:
        table.add_row(Text(f"  … and {len(changes) - _MANY} more"), "", "")
    return table


def _ago(when: datetime, now: datetime) -> str:
    """Write how long ago something was.

    >>> from datetime import timedelta
    >>> now = datetime(2026, 11, 21, 20, 0)
    >>> [_ago(now - timedelta(minutes=m), now) for m in (0, 5, 130, 3000)]
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
