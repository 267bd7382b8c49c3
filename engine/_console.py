"""The two places where text goes: ``out`` for results (stdout), ``console`` for everything else (stderr)."""

from __future__ import annotations

import os

from rich.console import Console


class Screen(Console):
    """A console whose reader may leave: when ``| head`` has read enough, the command goes on and its files are written.

    What comes after goes nowhere. Rich would end the process there, with exit code 1 and without a word.
    """

    def on_broken_pipe(self) -> None:
        """Called by rich: let what is printed from now on, and what is flushed at the end, go nowhere."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


out = Screen(highlight=False)
console = Screen(stderr=True, highlight=False)
