"""code_digest of closures, instances, registries, annotations, and of what cannot be resolved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from engine import CodeDigest, StoreError, code_digest

Writer = Callable[[dict[str, str]], ModuleType]

SMALL = {
    "small.py": """
from dataclasses import dataclass, field
from functools import singledispatch
import helping as h
from helping import shift

@dataclass(frozen=True)
class Model:
    depth: int = 6
    names: list[str] = field(default_factory=list)

def make(n):
    def made(x):
        return x + n
    return made

def uses_shift(x):
    return shift(x)

def local(x):
    import helping
    return helping.shift(x)

def dynamic(x):
    return getattr(h, x)()

lambdas = [lambda x: x + 1, lambda x: x + 2]

@singledispatch
def told(x):
    return 0

@told.register
def _(x: int):
    return 1
""",
    "helping.py": "def shift(x):\n    return x + 1\n",
}


def test_functions_registered_for_a_type_count(repository: Writer, tmp_path: Path) -> None:
    before = code_digest(repository(SMALL).told, tmp_path)
    edited = {**SMALL, "small.py": SMALL["small.py"].replace("return 1\n", "return 2\n")}
    assert code_digest(repository(edited).told, tmp_path).digest != before.digest


def test_closures_differ_by_what_they_captured(repository: Writer, tmp_path: Path) -> None:
    make = repository(SMALL).make
    one, two = code_digest(make(1), tmp_path), code_digest(make(2), tmp_path)
    assert one != two
    assert one == code_digest(make(1), tmp_path)


def test_instances_of_dataclasses_differ_by_their_fields(repository: Writer, tmp_path: Path) -> None:
    model = repository(SMALL).Model
    assert code_digest(model(depth=6), tmp_path) == code_digest(model(), tmp_path)
    assert code_digest(model(depth=7), tmp_path) != code_digest(model(), tmp_path)
    assert code_digest(model(names=["a"]), tmp_path) != code_digest(model(), tmp_path)


def test_what_cannot_be_resolved_is_noted_and_covered_by_files(repository: Writer, tmp_path: Path) -> None:
    module = repository(SMALL)
    assert code_digest(module.uses_shift, tmp_path).notes == ()
    assert any("helping.py and its imports" in n for n in code_digest(module.dynamic, tmp_path).notes)
    assert any("imports it in its body" in n for n in code_digest(module.local, tmp_path).notes)
    assert any("not clear" in n for n in code_digest(module.lambdas, tmp_path).notes)


def test_a_registry_filled_while_running_does_not_change_the_digest(
    repository: Writer, tmp_path: Path
) -> None:
    module = repository(
        {"registry.py": "SEEN = {}\ndef note(x):\n    SEEN[x] = 1\ndef count(x):\n    return len(SEEN) + x\n"}
    )
    before = code_digest(module.count, tmp_path)
    module.note(3)
    assert code_digest(module.count, tmp_path) == before
    assert any("changes while running" in note for note in before.notes)


def test_code_edited_since_it_was_loaded_counts_as_it_was_loaded(repository: Writer, tmp_path: Path) -> None:
    module = repository({"edited.py": "def run(x):\n    return x + 1\n"})
    (tmp_path / "edited.py").write_text("def run(x):\n    return x + 100\n", encoding="utf-8")
    stale = code_digest(module.run, tmp_path)
    fresh = code_digest(repository({"edited.py": "def run(x):\n    return x + 100\n"}).run, tmp_path)
    assert stale.digest != fresh.digest
    assert stale.notes


def test_a_value_without_content_to_digest_is_refused(repository: Writer, tmp_path: Path) -> None:
    module = repository(SMALL)
    with pytest.raises(StoreError, match="cannot be digested"):
        code_digest(module.Model(names=[object()]), tmp_path)


def test_the_repository_itself_digests_without_notes() -> None:
    assert code_digest(CodeDigest).notes == ()


MODEL = """
from __future__ import annotations
from frames import Frame

class Model:
    def fit(self, train: Frame, n: int = 3) -> list[float]:
        return train.labels()
"""
FRAMES = """
class Frame:
    def labels(self):
        return [1.0]
"""


@pytest.mark.parametrize("annotations", [("train: Frame", "list[float]"), ("train", "list[Frame]")])
def test_a_method_of_what_is_annotated_counts(
    repository: Writer, tmp_path: Path, annotations: tuple[str, str]
) -> None:
    """The methods of a parameter, and of what is returned, are called."""
    model = MODEL.replace("train: Frame", annotations[0]).replace("list[float]", annotations[1])
    before = code_digest(repository({"model_of_mine.py": model, "frames.py": FRAMES}).Model, tmp_path)
    edited = FRAMES.replace("1.0", "-1.0")
    after = code_digest(repository({"model_of_mine.py": model, "frames.py": edited}).Model, tmp_path)
    assert before.digest != after.digest
