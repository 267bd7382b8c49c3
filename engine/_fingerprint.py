"""A digest of the code that a Python object is made of."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

from engine._recipe import digest_json


@dataclass(frozen=True)
class CodeDigest:
    """``digest``: 32 hex digits. ``notes``: what could not be resolved and is covered by whole files instead."""

    digest: str
    notes: tuple[str, ...] = ()


def code_digest(obj: object, root: Path | None = None) -> CodeDigest:
    """Digest the code of a function, a class or an instance of a dataclass."""
    del root
    kind = obj if inspect.isclass(obj) or inspect.isfunction(obj) else type(obj)
    source = Path(inspect.getsourcefile(kind) or "").read_text(encoding="utf-8")
    return CodeDigest(digest_json([kind.__qualname__, source, repr(obj) if kind is not obj else ""]))
