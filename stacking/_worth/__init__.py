"""What features are worth to a model: gain, ablation, and the choice of a subset."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from stacking._worth.ablate import Shuffling, plan_ablation, shuffled_frame
    from stacking._worth.config_file import check_writable, patterns_of, toml_text, write_config
    from stacking._worth.differences import Measured
    from stacking._worth.gain import Cost, base_costs, cost_of, plan_gain, run_base
    from stacking._worth.selection import Selection, inner_folds, plan_selection, selection_cost, words_of
    from stacking._worth.show import (
        ablation_facts,
        ablation_markdown,
        ablation_table,
        folds_table,
        gain_facts,
        gain_words,
        selection_facts,
        selection_remarks,
        steps_table,
    )
    from stacking._worth.units import By, named_columns, units_of

__all__ = [
    "By",
    "Cost",
    "Measured",
    "Selection",
    "Shuffling",
    "ablation_facts",
    "ablation_markdown",
    "ablation_table",
    "base_costs",
    "check_writable",
    "cost_of",
    "folds_table",
    "gain_facts",
    "gain_words",
    "inner_folds",
    "named_columns",
    "patterns_of",
    "plan_ablation",
    "plan_gain",
    "plan_selection",
    "run_base",
    "selection_cost",
    "selection_facts",
    "selection_remarks",
    "shuffled_frame",
    "steps_table",
    "toml_text",
    "units_of",
    "words_of",
    "write_config",
]

lazy_face(__name__)
