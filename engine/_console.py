"""Where text goes, and what is shown of a stage that runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

PIPED_WIDTH = 160


class Screen(Console):
    """A console whose reader may leave: when ``| head`` has read enough, the command goes on and its files are written.

    What comes after goes nowhere. Rich would end the process there, with exit code 1 and without a word. Where the text
    goes to a file or a pipe, it is PIPED_WIDTH wide, so that names are not cut; the variable COLUMNS says otherwise.
    """

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and lines of the terminal, or of what takes its place."""
        found = super().size
        is_told = self._width is not None  # by COLUMNS too, which rich looks at when it makes a console
        return found if is_told or self.is_terminal else ConsoleDimensions(PIPED_WIDTH, found.height)

    @size.setter
    def size(self, new: tuple[int, int]) -> None:
        self._width, self._height = new

    def on_broken_pipe(self) -> None:
        """Called by rich: let what is printed from now on, and what is flushed at the end, go nowhere."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


# Without markup: brackets in the names and texts of users are brackets.
out = Screen(highlight=False, markup=False)
console = Screen(stderr=True, highlight=False, markup=False)


@dataclass
class Stage:
    """The progress of one stage: the names of the jobs, in the order they start in, and those that are done."""

    names: Sequence[str]
    n_workers: int
    bar: Progress
    done: set[int] = field(default_factory=set)

    def advance(self, number: int) -> None:
        """Note that a job is done and show which are running now."""
        self.done.add(number)
        for task in self.bar.task_ids:
            self.bar.update(task, completed=len(self.done), running=", ".join(self.running))

    @property
    def running(self) -> tuple[str, ...]:
        """Jobs that are running: jobs start in order, so they are the first unfinished ones."""
        waiting = (name for number, name in enumerate(self.names) if number not in self.done)
        return tuple(islice(waiting, self.n_workers))


@contextmanager
def stage_progress(
    title: str, names: Sequence[str], *, n_found: int, n_workers: int, n_steps: int = 0
) -> Iterator[Stage]:
    """Show a live bar on a terminal; elsewhere one line when the stage has ended.

    ``n_steps``: so many of the first names are steps on the way, and make nothing by themselves.
    """
    started = time.perf_counter()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[running]}", style="dim", markup=False, table_column=Column(no_wrap=True)),
    )
    is_hidden = not console.is_terminal or not names
    with Progress(*columns, console=console, transient=True, disable=is_hidden) as bar:
        stage = Stage(names, n_workers, bar)
        found = f" ({n_found} from the store)" if n_found else ""
        bar.add_task(title + found, total=len(names), running=", ".join(stage.running))
        yield stage
    n_made = len(stage.done.difference(range(n_steps)))
    told = [f"{n_made} made"] if n_made or not n_found else []
    told += [f"{n_found} from the store"] if n_found else []
    seconds = time.perf_counter() - started
    console.print(f"{title}: {', '.join(told)}, {seconds:.1f} s")
