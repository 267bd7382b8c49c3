"""Taking a competition's tables in: checked, clocked, cut into partitions, kept in the store, and opened again."""

from competitions._intake.open import open_dataset, oracle, order_blind, solution, statistician, taken_notes
from competitions._intake.out_of_range import out_of_range
from competitions._intake.rows import in_share, with_clock
from competitions._intake.tables import schema_of
from competitions._intake.take_in import take_in

__all__ = [
    "in_share",
    "open_dataset",
    "oracle",
    "order_blind",
    "out_of_range",
    "schema_of",
    "solution",
    "statistician",
    "take_in",
    "taken_notes",
    "with_clock",
]
