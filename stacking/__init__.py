"""Stacking: out-of-fold predictions of every model, blends of them, and the scores of the test pairs."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from models import Scores
    from stacking._blend import BlendRows, leave_one_fold_out
    from stacking._blender import (
        BlendContext,
        Blender,
        FittedBlend,
        ScoreFrame,
        blender,
        blenders,
        precedence_of,
    )
    from stacking._choice import Choice, choose, first_within, mean_over_folds
    from stacking._cv import run_cv
    from stacking._export import Bundle, check_bundle, export_bundle, read_bundle, score_graph
    from stacking._final import final_scores, read_final_weights
    from stacking._oof import make_oof
    from stacking._pairs import TrainingSample
    from stacking._plan import Plan, make_plan
    from stacking._ranks import distance_of, level_two_columns, rank_of, rank_shares, share_of

__all__ = [
    "BlendContext",
    "BlendRows",
    "Blender",
    "Bundle",
    "Choice",
    "FittedBlend",
    "Plan",
    "ScoreFrame",
    "Scores",
    "TrainingSample",
    "blender",
    "blenders",
    "check_bundle",
    "choose",
    "distance_of",
    "export_bundle",
    "final_scores",
    "first_within",
    "leave_one_fold_out",
    "level_two_columns",
    "make_oof",
    "make_plan",
    "mean_over_folds",
    "precedence_of",
    "rank_of",
    "rank_shares",
    "read_bundle",
    "read_final_weights",
    "run_cv",
    "score_graph",
    "share_of",
]

lazy_face(__name__)
