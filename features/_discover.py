"""Find the feature files of this room by themselves."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from competitions import Dataset
from features._catalogue import Catalogue, bind_catalogue
from features._declare import REGISTRY, Registry
from features._errors import FeatureError


@cache
def load_registry() -> Registry:
    """Import every plain file of the room (those without a leading underscore) and return the registry."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("_"):
            continue
        try:
            importlib.import_module(f"features.{module.name}")
        except FeatureError:
            raise
        except Exception as error:
            raise FeatureError(
                f"features/{module.name}.py cannot be imported: {type(error).__name__}: {error}",
                todo="mend the file; run with --debug to see the traceback",
            ) from error
    return REGISTRY


def load_catalogue(dataset: Dataset) -> Catalogue:
    """Bind every feature of the room to a data set."""
    return bind_catalogue(dataset, load_registry())
