"""A table of all keys of one window and lookback."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from features._lookback import Lookback
from features._registry import Key
from validation import Window


@dataclass(frozen=True)
class KeyTable:
    """Finished columns of every key that has rows within the lookback of a window.

    ``values``: the key's columns and the finished ones, each key once, in no particular order. A key with many values
    comes in several tables, which have no key in common.
    """

    window: Window
    key: Key
    lookback: Lookback
    values: pl.DataFrame
