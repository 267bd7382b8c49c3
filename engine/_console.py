"""The two places where text goes: ``out`` for results (stdout), ``console`` for everything else (stderr)."""

from __future__ import annotations

from rich.console import Console

out = Console(highlight=False)
console = Console(stderr=True, highlight=False)
