"""code_digest changes with everything that changes what runs, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from engine import StoreError, code_digest, whole_files
from tests.processes import ROOT, python

Writer = Callable[[dict[str, str]], ModuleType]

FEATURE = '''
from __future__ import annotations
import math
import numpy as np
import polars as pl
from dataclasses import dataclass, field
from functools import cache, partial, singledispatch
from contextlib import contextmanager

import helpers as h
from helpers import shift, Base, Frame, LIMIT

STRENGTH = 20
SCALE = STRENGTH * 2
EXPRESSION = pl.col("a") * 2
KIND = pl.Enum(["x", "y"])
GRID = np.array([1.0, 2.0])
TABLE = {"a": 1}
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

def uses_shift(x):
    return shift(x)

def uses_limit(x):
    return x < LIMIT

def uses_scale(x):
    return x * SCALE

def uses_objects(x):
    return EXPRESSION, KIND, GRID, TABLE["a"], OPAQUE

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

@singledispatch
def told(x):
    return 0

@told.register
def _(x: int):
    return 1

def takes_frame(x: Frame):
    return x.labels()

def gives_frame(x) -> list[Frame]:
    return x.labels()

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
class Frame:
    def labels(self):
        return [1.0]
'''
FILES = {"feature.py": FEATURE, "helpers.py": HELPERS, "deeper.py": "OFFSET = 1\n"}

NAMES = (
    *("body", "uses_shift", "uses_limit", "uses_scale", "uses_objects", "uses_library", "told", "recursive"),
    *("Model", "uses_model", "cached", "uses_cached", "uses_managed", "takes_frame", "gives_frame"),
    *("local", "dynamic", "lambdas", "single", "partially"),
)
MODEL = {"Model", "uses_model"}
WHOLE_FILE = {"local", "dynamic"}
SHIFT = {"uses_shift", "cached", "uses_cached", "uses_managed", "single", *MODEL, *WHOLE_FILE}


def digests(module: ModuleType, root: Path) -> dict[str, str]:
    return {name: code_digest(getattr(module, name), root) for name in NAMES}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("feature.py", "y = x + 1", "y = x + 2", {"body", "partially"}),
        (
            "feature.py",
            "STRENGTH = 20",
            "STRENGTH = 21",
            {"body", "uses_scale", "partially", "lambdas", *MODEL},
        ),
        ("feature.py", "factor=STRENGTH", "factor=7", {"body", "partially"}),
        ("feature.py", "partial(body, factor=3)", "partial(body, factor=4)", {"partially"}),
        ("feature.py", "depth: int = 6", "depth: int = 7", MODEL),
        ("feature.py", "default_factory=list", "default_factory=dict", MODEL),
        ("feature.py", 'pl.col("a")', 'pl.col("b")', {"uses_objects"}),
        ("feature.py", '["x", "y"]', '["x", "z"]', {"uses_objects"}),
        ("feature.py", "[1.0, 2.0]", "[1.0, 3.0]", {"uses_objects"}),
        ("feature.py", '{"a": 1}', '{"a": 2}', {"uses_objects"}),
        ("feature.py", "OPAQUE = object()", "OPAQUE = Exception()", {"uses_objects"}),
        ("feature.py", "return recursive(x)\n", "return recursive(x + 1)\n", {"recursive"}),
        ("feature.py", "return 1\n", "return 2\n", {"told"}),
        ("feature.py", "return x + n", "return x - n", set()),
        ("helpers.py", "return x * 2", "return x * 3", MODEL | WHOLE_FILE),
        ("helpers.py", "def unused(x):\n    return x", "def unused(x):\n    return -x", WHOLE_FILE),
        ("helpers.py", "LIMIT = 5", "LIMIT = 6", {"uses_limit", *WHOLE_FILE}),
        ("helpers.py", "        return x\n", "        return x + 1\n", MODEL | WHOLE_FILE),
        ("helpers.py", "[1.0]", "[2.0]", {"takes_frame", "gives_frame", *WHOLE_FILE}),
        ("deeper.py", "OFFSET = 1", "OFFSET = 2", SHIFT),
        # Words and positions.
        ("feature.py", '"""Say something."""', '"""Say something else."""', set()),
        ("feature.py", '    """Fit it."""\n', "", set()),
        ("feature.py", "# a comment", "# another comment\n\n", set()),
        ("feature.py", "\nimport math", "\n\n\nimport math", set()),
        ("feature.py", "x + 1\n    return y", "(x + 1)\n\n    return (y)", set()),
        ("feature.py", "def body(", "def added(x):\n    return x\n\ndef body(", set()),
        ("helpers.py", '"""Scale."""', '"""Scale\n\n    by two.\n    """', set()),
        ("helpers.py", "LIMIT = 5", "# five\nLIMIT = 5", set()),
    ],
)
def test_it_changes_with_what_is_reached(
    repository: Writer, tmp_path: Path, file: str, old: str, new: str, expected: set[str]
) -> None:
    before = digests(repository(FILES), tmp_path)
    assert FILES[file].count(old) >= 1
    after = digests(repository({**FILES, file: FILES[file].replace(old, new)}), tmp_path)
    assert {name for name in NAMES if before[name] != after[name]} == expected


def test_it_is_the_same_in_another_process(repository: Writer, tmp_path: Path) -> None:
    here = digests(repository(FILES), tmp_path)
    script = (
        "import pathlib, sys, feature\nfrom engine import code_digest\n"
        "for name in sys.argv[2:]:\n"
        "    print(name, code_digest(getattr(feature, name), pathlib.Path(sys.argv[1])))\n"
    )
    answer = python("-c", script, tmp_path, *NAMES, path=f"{tmp_path}:{ROOT}", PYTHONHASHSEED="123")
    assert dict(line.split() for line in answer.stdout.splitlines()) == here


def test_closures_and_instances_differ_by_what_they_hold(repository: Writer, tmp_path: Path) -> None:
    module = repository(FILES)

    def digest(value: object) -> str:
        return code_digest(value, tmp_path)

    assert digest(module.make(1)) == digest(module.make(1)) != digest(module.make(2))
    assert digest(module.Model(depth=6)) == digest(module.Model()) != digest(module.Model(depth=7))
    assert digest(module.Model(names=["a"])) != digest(module.Model())
    case = pl.when(pl.col("a") > 1).then(2)
    held = [pl.col("a"), case, case.otherwise(0), case.when(pl.col("b")).then(3)]
    assert len({digest(module.Model(names=[one])) for one in held}) == 4
    assert digest(module.Model(names=[case])) == digest(
        module.Model(names=[pl.when(pl.col("a") > 1).then(2)])
    )
    with pytest.raises(StoreError, match="cannot be digested"):
        digest(module.Model(names=[object()]))


def test_a_registry_filled_while_running_does_not_change_it(repository: Writer, tmp_path: Path) -> None:
    module = repository(
        {"registry.py": "SEEN = {}\ndef note(x):\n    SEEN[x] = 1\ndef count(x):\n    return len(SEEN) + x\n"}
    )
    before = code_digest(module.count, tmp_path)
    module.note(3)
    assert code_digest(module.count, tmp_path) == before


NUMBER = {"number.py": "K = 2\n"}
OUT_OF_THE_WAY: dict[str, tuple[str, dict[str, str]]] = {  # the file with the body, and others; K is edited
    "a dict that a decorator fills": (
        "from number import K\nR = {}\ndef note(f):\n    R[f.__name__] = f\n    return f\n"
        "@note\ndef two():\n    return K\ndef body():\n    return R['two']()\n",
        {},
    ),
    "a list that a function fills at the top": (
        "from number import K\nR = []\ndef fill(k):\n    R.append(k)\nfill(K)\ndef body():\n    return R[0]\n",
        {},
    ),
    "a global that a function assigns": (
        "from number import K\nX = None\ndef fill(k):\n    global X\n    X = k\nfill(K)\ndef body():\n    return X\n",
        {},
    ),
    "a helper that reads a dict of its own": (
        "import filler\nfrom keeper import told\ndef body():\n    return told('a')\n",
        {
            "keeper.py": "D = {}\ndef put(k, v):\n    D[k] = v\ndef told(k):\n    return D[k]\n",
            "filler.py": "from keeper import put\nfrom number import K\nput('a', K)\n",
        },
    ),
    "a dict that another file fills, which the body's file does not import": (
        "import keeper\ndef body():\n    return keeper.D['a']\n",
        {
            "keeper.py": "D = {}\ndef put(k, v):\n    D[k] = v\n",
            "filler.py": "from keeper import put\nfrom number import K\nput('a', K)\n",
        },
    ),
    "an attribute of a function": (
        "from number import K\ndef f():\n    return 1\nf.k = K\ndef body():\n    return f.k\n",
        {},
    ),
    "an attribute that a function puts on a function": (
        "from number import K\ndef f():\n    return 1\ndef put(k):\n    f.k = k\nput(K)\ndef body():\n    return f.k\n",
        {},
    ),
    "an attribute of a namespace": (
        "import filler\nfrom keeper import N\ndef body():\n    return N.k\n",
        {
            "keeper.py": "from types import SimpleNamespace\nN = SimpleNamespace()\n",
            "filler.py": "from keeper import N\nfrom number import K\nN.k = K\n",
        },
    ),
    "an attribute of an object with slots": (
        "import filler\nfrom keeper import BOX\ndef body():\n    return BOX.k\n",
        {
            "keeper.py": "class Box:\n    __slots__ = ('k',)\nBOX = Box()\n",
            "filler.py": "from keeper import BOX\nfrom number import K\nBOX.k = K\n",
        },
    ),
    "a module that is made while running": (
        "import sys\nfrom types import ModuleType\nfrom number import K\nm = ModuleType('made_up')\nm.k = K\n"
        "sys.modules['made_up'] = m\nimport made_up\ndef body():\n    return made_up.k\n",
        {},
    ),
    "a deque": (
        "from collections import deque\nfrom number import K\nD = deque()\nput = D.appendleft\nput(K)\n"
        "def body():\n    return D[0]\n",
        {},
    ),
    "a name among the built-in ones": (
        "import builtins\nfrom number import K\nbuiltins.SAMEWISE_K = K\ndef body():\n    return SAMEWISE_K\n",
        {},
    ),
    "sys.modules": ("import sys, number\ndef body():\n    return sys.modules['number'].K\n", {}),
    "importlib": (
        "import importlib\ndef body():\n    return importlib.import_module('number').K\n",
        {},
    ),
    "import_module": (
        "from importlib import import_module\nNAME = 'number'\ndef body():\n    return import_module(NAME).K\n",
        {},
    ),
    "a name that is put together": (
        "from importlib import import_module\ndef body():\n    return import_module('num' + 'ber').K\n",
        {},
    ),
    "__import__": ("def body():\n    return __import__('number').K\n", {}),
    "a loader": ("import pkgutil\ndef body():\n    return pkgutil.resolve_name('number:K')\n", {}),
}


@pytest.mark.parametrize("way", OUT_OF_THE_WAY)
def test_it_changes_with_what_is_filled_or_found_by_name_while_importing(
    repository: Writer, tmp_path: Path, way: str
) -> None:
    body, others = OUT_OF_THE_WAY[way]

    def found(number: int) -> tuple[object, str]:
        module = repository({"body.py": body, **others, "number.py": f"K = {number}\n"})
        for name in others:  # as a room imports all of its files
            import_module(name.removesuffix(".py"))
        return module.body(), code_digest(module.body, tmp_path)

    two, three, again = found(2), found(3), found(2)
    assert (two[0], three[0]) == (2, 3)
    assert two[1] != three[1]
    assert two == again


def test_files_that_count_as_a_whole_are_named_with_the_reason(repository: Writer, tmp_path: Path) -> None:
    def reasons(way: str) -> dict[str, str]:
        body, others = OUT_OF_THE_WAY[way]
        return dict(whole_files(repository({"body.py": body, **others, **NUMBER}).body, tmp_path))

    filled = "D of keeper.py is filled by functions"
    way = "a dict that another file fills, which the body's file does not import"
    assert reasons(way) == dict.fromkeys(("body.py", "keeper.py", "filler.py"), filled)
    assert reasons("sys.modules") == dict.fromkeys(
        ("body.py", "number.py"), "sys.modules finds modules by name"
    )
    assert reasons("an attribute of a function") == {}
    assert whole_files(repository(FILES).body, tmp_path) == {}


def test_code_edited_since_it_was_loaded_counts_as_it_was_loaded(repository: Writer, tmp_path: Path) -> None:
    module = repository({"edited.py": "def run(x):\n    return x + 1\n"})
    edited = "def run(x):\n    return x + 100\n"
    (tmp_path / "edited.py").write_text(edited, encoding="utf-8")
    stale = code_digest(module.run, tmp_path)
    fresh = code_digest(repository({"edited.py": edited}).run, tmp_path)
    assert stale != fresh
