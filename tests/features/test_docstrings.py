"""The examples in docstrings of what lies within the room hold."""

from __future__ import annotations

import doctest
from importlib import import_module
from pkgutil import walk_packages

import pytest

import features

MODULES = [
    module.name
    for module in walk_packages(features.__path__, "features.")
    if module.name.startswith("features._") and module.name != "features.__main__"
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_hold(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0
