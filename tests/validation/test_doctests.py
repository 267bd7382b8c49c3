"""The examples in the docstrings of this room are true."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import validation

MODULES = [
    m.name
    for m in pkgutil.walk_packages(validation.__path__, "validation.")
    if not m.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    failed, _ = doctest.testmod(import_module(name))
    assert failed == 0
