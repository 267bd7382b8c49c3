"""Names of runs: unique, sorted by time, and the only way from a user's text to a folder."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from engine import did_you_mean
from submissions._errors import SubmissionError

_STAMP = "%Y%m%d-%H%M%S-%f"
_SHAPE = re.compile(r"\d{8}-\d{6}-\d{6}-[0-9a-f]{4}", re.ASCII)


def new_run_id(now: datetime, after: str | None = None) -> str:
    """Make a name such as ``20261121-201530-123456-ab12``: UTC to the microsecond, and four random hex digits.

    It sorts after ``after``, the newest name in use, also when the machine's clock was set back since.
    """
    stamp = now.astimezone(UTC).strftime(_STAMP)
    if after is not None and stamp <= after[: len(stamp)]:
        newest = datetime.strptime(after[: len(stamp)], _STAMP)
        stamp = (newest + timedelta(microseconds=1)).strftime(_STAMP)
    return f"{stamp}-{secrets.token_hex(2)}"


def is_run_id(name: str) -> bool:
    """Tell whether a text has the shape of a run's name."""
    return _SHAPE.fullmatch(name) is not None


def resolve_run(name: str, known: Sequence[str]) -> str:
    """Turn what the user typed into one of the known names: a name, the start of one, or ``latest``.

    What the user typed is only ever compared with names, never joined to a path.

    Raises
    ------
    SubmissionError
        There is no such run, or several start that way.
    """
    runs = sorted(known)
    if not runs:
        raise SubmissionError("There is no run yet.", todo="make one with: make submit")
    if name == "latest":
        return runs[-1]
    matches = [run for run in runs if run == name or (name and run.startswith(name))]
    if len(matches) == 1:
        return matches[0]
    if matches:
        shown = ", ".join(matches[:5]) + (", …" if len(matches) > 5 else "")
        raise SubmissionError(
            f"{len(matches)} runs start with {name!r}: {shown}.", todo="give more of the name"
        )
    raise SubmissionError(
        f"There is no run {name!r}.{did_you_mean(name, [*runs, 'latest'])}",
        expected="a run, the start of one that no other shares, or 'latest'",
        todo="see them with: python -m submissions list",
    )
