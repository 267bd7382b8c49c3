"""The two places where text goes: ``out`` for results (stdout), ``console`` for everything else (stderr)."""

from __future__ import annotations

import os

from rich.console import Console, ConsoleDimensions

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


out = Screen(highlight=False)
console = Screen(stderr=True, highlight=False)
