"""The store of artifacts, the recipes that name them, and files that appear whole or not at all."""

from engine._store.disk import is_full, sync_folder, write_atomically
from engine._store.recipe import Json, Recipe, canonical_json, digest_json, library_versions
from engine._store.store import Store

__all__ = [
    "Json",
    "Recipe",
    "Store",
    "canonical_json",
    "digest_json",
    "is_full",
    "library_versions",
    "sync_folder",
    "write_atomically",
]
