"""Columns in the store: recipes that name them, reading, writing."""

from features._storage.columns import (
    StoredTable,
    missing_columns,
    open_features,
    read_column,
    read_facts,
    read_features,
    read_pairs,
    read_table,
)
from features._storage.recipes import FORMAT, SEED, checkpoint_recipe, column_recipes, feature_keys
from features._storage.writer import Writer

__all__ = [
    "FORMAT",
    "SEED",
    "StoredTable",
    "Writer",
    "checkpoint_recipe",
    "column_recipes",
    "feature_keys",
    "missing_columns",
    "open_features",
    "read_column",
    "read_facts",
    "read_features",
    "read_pairs",
    "read_table",
]
