"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Callable

import pytest

from competitions import Clock, split_lines, with_clock


@pytest.mark.parametrize("function", [with_clock, split_lines])
def test_examples(function: Callable[..., object]) -> None:
    names = {**vars(sys.modules[function.__module__]), "Clock": Clock}
    examples = doctest.DocTestFinder().find(function, globs=names)
    runner = doctest.DocTestRunner()
    results = [runner.run(example) for example in examples]
    assert sum(r.attempted for r in results) > 0
    assert sum(r.failed for r in results) == 0
