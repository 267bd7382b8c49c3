"""The libraries whose versions can change a number, as a part of recipes."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

LIBRARIES = ("catboost", "gensim", "implicit", "numpy", "polars", "scikit-learn", "scipy", "torch")


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, version(name)) for name in LIBRARIES)


def library_versions() -> dict[str, str]:
    """Installed version by name of every library that results are computed with; none is imported."""
    return dict(_versions())
