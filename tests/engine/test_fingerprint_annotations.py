"""What a parameter is annotated with counts: its methods are called on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from engine import code_digest

Writer = Callable[[dict[str, str]], ModuleType]

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


def test_an_edited_method_of_an_annotated_parameter_changes_the_digest(
    repository: Writer, tmp_path: Path
) -> None:
    before = code_digest(repository({"model_of_mine.py": MODEL, "frames.py": FRAMES}).Model, tmp_path)
    edited = FRAMES.replace("1.0", "-1.0")
    after = code_digest(repository({"model_of_mine.py": MODEL, "frames.py": edited}).Model, tmp_path)
    assert before.digest != after.digest


def test_the_annotation_of_what_is_returned_counts_too(repository: Writer, tmp_path: Path) -> None:
    returning = MODEL.replace("train: Frame", "train").replace("list[float]", "list[Frame]")
    before = code_digest(repository({"model_of_mine.py": returning, "frames.py": FRAMES}).Model, tmp_path)
    edited = FRAMES.replace("1.0", "-1.0")
    after = code_digest(repository({"model_of_mine.py": returning, "frames.py": edited}).Model, tmp_path)
    assert before.digest != after.digest
