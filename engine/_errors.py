"""Errors that a user can act on: what was found, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SamewiseError(Exception):
    """Base of every error that is shown as a message instead of a traceback.

    The message is one text of up to three sentences: what was found, what was expected, what to do.
    """

    def __init__(self, found: str, *, expected: str = "", todo: str = "") -> None:
        self.found, self.expected, self.todo = found, expected, todo
        super().__init__(found, expected, todo)

    def __str__(self) -> str:
        lines = [self.found]
        if self.expected:
            lines.append(f"Expected: {self.expected}")
        if self.todo:
            lines.append(f"To do: {self.todo}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.found, self.expected, self.todo), self.__dict__


def _rebuild(kind: type[SamewiseError], found: str, expected: str, todo: str) -> SamewiseError:
    """Rebuild an error that crossed a process border (keyword arguments do not survive it by themselves)."""
    return kind(found, expected=expected, todo=todo)


class ConfigError(SamewiseError):
    """config.toml, an environment variable or a command-line setting is not valid."""


class DataError(SamewiseError):
    """A table of the competition, or a file of it, is not what the competition declares."""


class StoreError(SamewiseError):
    """The artifact store cannot be written or read."""


class TableError(SamewiseError):
    """A table of embeddings was asked for what it cannot do, or its files are not what it wrote."""


class TaskError(SamewiseError):
    """A task failed in a worker, or the worker died."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known name, or an empty text.

    >>> did_you_mean("sead", ["seed", "threads"])
    " Did you mean 'seed'?"
    """
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
