"""code_digest changes with everything that changes what runs, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from engine import code_digest

Writer = Callable[[dict[str, str]], ModuleType]

FEATURE = '''
import math
import numpy as np
import polars as pl
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from contextlib import contextmanager

import helpers as h
from helpers import shift, Base, LIMIT
from settings_of_mine import TABLE

STRENGTH = 20
SCALE = STRENGTH * 2
EXPRESSION = pl.col("a") * 2
KIND = pl.Enum(["x", "y"])
GRID = np.array([1.0, 2.0])
OPAQUE = object()

@dataclass(frozen=True)
class Model(Base):
    """A model."""
    depth: int = 6
    names: list[str] = field(default_factory=list)
    strength = STRENGTH
    def fit(self, x):
        """Fit it."""
        return h.scale(x) * self.depth + self.inherited(x)
    @property
    def rate(self):
        return shift(1)

def body(x, factor=STRENGTH):
    """Say something."""
    # a comment
    y = x + 1
    return y * factor

def uses_helper(x):
    return h.scale(x)

def uses_shift(x):
    return shift(x)

def uses_limit(x):
    return x < LIMIT

def uses_scale(x):
    return x * SCALE

def uses_table(x):
    return TABLE["a"] + x

def uses_objects(x):
    return EXPRESSION, KIND, GRID, OPAQUE

def uses_model(x):
    return Model().fit(x)

def make(n, inner=None):
    def made(x):
        return x + n
    return made

@cache
def cached(x):
    return shift(x)

@contextmanager
def managed():
    yield shift(1)

def uses_cached(x):
    return cached(x)

def uses_managed():
    with managed() as m:
        return m

def uses_library(x):
    return np.linalg.norm(x) + math.pi

def local(x):
    import helpers
    return helpers.scale(x)

def dynamic(x):
    return getattr(h, x)()

def recursive(x):
    return recursive(x - 1) if x else other(x)

def other(x):
    return recursive(x)

lambdas = [lambda x: x + 1, lambda x: x + STRENGTH]
single = lambda x: shift(x)
partially = partial(body, factor=3)
'''
HELPERS = '''
from deeper import OFFSET
LIMIT = 5
def scale(x):
    """Scale."""
    return x * 2
def shift(x):
    return x + OFFSET
def unused(x):
    return x
class Base:
    def inherited(self, x):
        return x
'''
FILES = {
    "feature.py": FEATURE,
    "helpers.py": HELPERS,
    "deeper.py": "OFFSET = 1\n",
    "settings_of_mine.py": "TABLE = {'a': 1}\n",
}

FUNCTIONS = ["body", "uses_helper", "uses_shift", "uses_limit", "uses_scale", "uses_table"]
WRAPPED = ["uses_objects", "uses_model", "cached", "uses_cached", "uses_managed", "uses_library"]
OTHERS = ["local", "dynamic", "recursive", "single", "partially", "Model"]
MORE = ["lambdas"]
NAMES = [*FUNCTIONS, *WRAPPED, *OTHERS, *MORE]


def digests(module: ModuleType, root: Path) -> dict[str, str]:
    return {name: code_digest(getattr(module, name), root).digest for name in NAMES}


def changed_by(repository: Writer, root: Path, file: str, old: str, new: str) -> set[str]:
    before = digests(repository(FILES), root)
    assert FILES[file].count(old) >= 1
    after = digests(repository({**FILES, file: FILES[file].replace(old, new)}), root)
    return {name for name in NAMES if before[name] != after[name]}


SHIFT_USERS = {
    "uses_shift",
    "cached",
    "uses_cached",
    "uses_managed",
    "single",
    "Model",
    "uses_model",
    "local",
    "dynamic",
}
STRENGTH_USERS = {"body", "uses_scale", "Model", "uses_model", "partially", "lambdas"}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("feature.py", "y = x + 1", "y = x + 2", {"body", "partially"}),
        ("feature.py", "STRENGTH = 20", "STRENGTH = 21", STRENGTH_USERS),
        ("feature.py", "factor=STRENGTH", "factor=7", {"body", "partially"}),
        ("feature.py", "partial(body, factor=3)", "partial(body, factor=4)", {"partially"}),
        ("feature.py", "depth: int = 6", "depth: int = 7", {"Model", "uses_model"}),
        ("feature.py", "default_factory=list", "default_factory=dict", {"Model", "uses_model"}),
        ("feature.py", 'pl.col("a")', 'pl.col("b")', {"uses_objects"}),
        ("feature.py", '["x", "y"]', '["x", "z"]', {"uses_objects"}),
        ("feature.py", "[1.0, 2.0]", "[1.0, 3.0]", {"uses_objects"}),
        ("feature.py", "OPAQUE = object()", "OPAQUE = Exception()", {"uses_objects"}),
        ("feature.py", "return recursive(x)\n", "return recursive(x + 1)\n", {"recursive"}),
        ("feature.py", "return x + n", "return x - n", set()),
        (
            "helpers.py",
            "return x * 2",
            "return x * 3",
            {"uses_helper", "Model", "uses_model", "local", "dynamic"},
        ),
        ("helpers.py", "return x\nclass", "return -x\nclass", {"local", "dynamic"}),
        ("helpers.py", "LIMIT = 5", "LIMIT = 6", {"uses_limit", "local", "dynamic"}),
        (
            "helpers.py",
            "        return x\n",
            "        return x + 1\n",
            {"Model", "uses_model", "local", "dynamic"},
        ),
        ("deeper.py", "OFFSET = 1", "OFFSET = 2", SHIFT_USERS),
        ("settings_of_mine.py", "'a': 1", "'a': 2", {"uses_table"}),
    ],
)
def test_changes_with_what_is_reached(
    repository: Writer, tmp_path: Path, file: str, old: str, new: str, expected: set[str]
) -> None:
    assert changed_by(repository, tmp_path, file, old, new) == expected


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("feature.py", '"""Say something."""', '"""Say something else."""'),
        ("feature.py", '    """Fit it."""\n', ""),
        ("feature.py", "# a comment", "# another comment\n\n"),
        ("feature.py", "\nimport math", "\n\n\nimport math"),
        ("feature.py", "x + 1\n    return y", "(x + 1)\n\n    return (y)"),
        ("helpers.py", '"""Scale."""', '"""Scale\n\n    by two.\n    """'),
        ("helpers.py", "LIMIT = 5", "# five\nLIMIT = 5"),
        ("feature.py", "def body(", "def added(x):\n    return x\n\ndef body("),
    ],
)
def test_does_not_change_with_words_and_positions(
    repository: Writer, tmp_path: Path, file: str, old: str, new: str
) -> None:
    assert changed_by(repository, tmp_path, file, old, new) == set()


def test_the_digest_is_the_same_in_another_process(repository: Writer, tmp_path: Path) -> None:
    here = digests(repository(FILES), tmp_path)
    script = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "import pathlib, feature\nfrom engine import code_digest\n"
        "for name in sys.argv[3:]:\n"
        "    print(name, code_digest(getattr(feature, name), pathlib.Path(sys.argv[1])).digest)\n"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(root), *NAMES],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "123"},
    )
    assert dict(line.split() for line in answer.stdout.splitlines()) == here
