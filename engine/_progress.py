"""What is running, what came from the store, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from engine._console import console


@dataclass
class Stage:
    """The progress of one stage: the names of the jobs, in the order they start in."""

    names: Sequence[str]
    n_workers: int
    bar: Progress | None = None
    task: TaskID | None = None
    done: set[int] = field(default_factory=set)

    def advance(self, number: int) -> None:
        """Note that a job is done and show which are running now."""
        self.done.add(number)
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=len(self.done), running=", ".join(self.running))

    @property
    def running(self) -> tuple[str, ...]:
        """Jobs that are running: jobs start in order, so they are the first unfinished ones."""
        waiting = (name for number, name in enumerate(self.names) if number not in self.done)
        return tuple(name for name, _ in zip(waiting, range(self.n_workers), strict=False))


@contextmanager
def stage_progress(
    title: str, names: Sequence[str], *, n_found: int, n_workers: int, n_steps: int = 0
) -> Iterator[Stage]:
    """Show a live bar on a terminal; elsewhere one line when the stage has ended.

    ``n_steps``: so many of the first names are steps on the way, and make nothing by themselves.
    """
    started = time.perf_counter()
    if not console.is_terminal or not names:
        stage = Stage(names, n_workers)
        yield stage
    else:
        with Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn(
                "{task.fields[running]}", style="dim", markup=False, table_column=Column(no_wrap=True)
            ),
            console=console,
            transient=True,
        ) as bar:
            stage = Stage(names, n_workers, bar)
            found = f" ({n_found} from the store)" if n_found else ""
            stage.task = bar.add_task(title + found, total=len(names), running=", ".join(stage.running))
            yield stage
    n_made = len(stage.done.difference(range(n_steps)))
    console.print(_summary(title, n_made, n_found, time.perf_counter() - started), markup=False)


def _summary(title: str, n_made: int, n_found: int, seconds: float) -> str:
    parts = [f"{n_made} made"] if n_made or not n_found else []
    parts += [f"{n_found} from the store"] if n_found else []
    return f"{title}: {', '.join(parts)}, {seconds:.1f} s"
