"""Two runs side by side in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from submissions._compare import Change, Comparison
from submissions._words import DASH, cv_words, number

_MANY = 30
"""Lines of a part after which only their number is told."""


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
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    folds = list(
        dict.fromkeys(f for m in (found.left, found.right) if m.chosen_cv for f in m.chosen_cv.folds)
    )
    for name in ("run", "chosen"):
        table.add_column(name, no_wrap=name == "run")
    for name in (*folds, "mean ± sd"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for manifest in (found.left, found.right):
        cv = manifest.chosen_cv
        values = [number(cv.folds.get(fold)) if cv else DASH for fold in folds]
        table.add_row(Text(manifest.run), Text(manifest.chosen), *values, cv_words(cv))
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
