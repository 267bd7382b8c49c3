"""A digest of the code that a Python object is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine._code.graph import CodeGraph
from engine._code.source import REPOSITORY
from engine._code.values import Opaque
from engine._errors import StoreError
from engine._store import digest_json


@dataclass(frozen=True)
class CodeDigest:
    """``digest``: 32 hex digits. ``notes``: what could not be resolved and is covered by whole files instead."""

    digest: str
    notes: tuple[str, ...] = ()


def code_digest(obj: object, root: Path | None = None) -> CodeDigest:
    """Digest the code that ``obj`` runs: the syntax trees of all it reaches in the repository.

    It changes with the body, defaults, bases, helper functions and classes, global constants (by their values),
    closures, and the fields of dataclass instances. It does not change with docstrings, comments and positions.
    What is outside the repository counts by its name only: put the versions of libraries into the recipe.

    Parameters
    ----------
    obj
        A function, a class, an instance of a dataclass, or a container of them.
    root
        The repository; None = the one that this file lies in.

    Raises
    ------
    StoreError
        When ``obj`` itself holds a value (an open file, a model) whose content cannot be digested.
    """
    base = (root or REPOSITORY).resolve()
    graph = CodeGraph(base)
    try:
        start = graph.describe(obj)
    except Opaque as opaque:
        raise StoreError(
            f"{_name_of(obj)} holds a value of type {opaque}, whose content cannot be digested.",
            expected="functions, classes, dataclasses, plain data, arrays, Polars expressions and data types",
            todo="hold the value by what it is made from, and make it where it is used",
        ) from opaque
    return CodeDigest(digest_json([start, graph.nodes]), tuple(graph.notes))


def _name_of(obj: object) -> str:
    return str(getattr(obj, "__qualname__", f"an instance of {type(obj).__qualname__}"))
