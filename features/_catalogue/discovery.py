"""Find the feature files of this room by themselves."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from competitions import Dataset
from engine import import_plain_files
from features._catalogue.catalogue import Catalogue, bind_catalogue
from features._declare import REGISTRY, FeatureError, Registry


@cache
def load_registry() -> Registry:
    """Import every plain file of the room (those without a leading underscore) and return the registry."""
    import_plain_files([Path(__file__).parents[1]], "features", error=FeatureError)
    return REGISTRY


def load_catalogue(dataset: Dataset) -> Catalogue:
    """Bind every feature of the room to a data set."""
    return bind_catalogue(dataset, load_registry())
