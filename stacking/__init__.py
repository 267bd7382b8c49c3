"""Stacking: out-of-fold predictions of every model, blends of them, and the scores of the test pairs."""

from stacking._blend import leave_one_fold_out
from stacking._blender import BlendContext, Blender, FittedBlend, ScoreFrame, Scores, blender, blenders
from stacking._choice import Choice, choose_blend
from stacking._cv import run_cv
from stacking._final import final_scores, read_final_weights
from stacking._plan import make_plan
from stacking._sample import TrainingSample
from stacking._worth.ablate import Ablation, Left, plan_ablation
from stacking._worth.differences import Measured
from stacking._worth.gain import GainPlan, plan_gain
from stacking._worth.inner import InnerFold, inner_folds
from stacking._worth.permute import Shuffling
from stacking._worth.refits import Cost, run_base
from stacking._worth.selection import Selected, Selection, plan_selection

__all__ = [
    "Ablation",
    "BlendContext",
    "Blender",
    "Choice",
    "Cost",
    "FittedBlend",
    "GainPlan",
    "InnerFold",
    "Left",
    "Measured",
    "ScoreFrame",
    "Scores",
    "Selected",
    "Selection",
    "Shuffling",
    "TrainingSample",
    "blender",
    "blenders",
    "choose_blend",
    "final_scores",
    "inner_folds",
    "leave_one_fold_out",
    "make_plan",
    "plan_ablation",
    "plan_gain",
    "plan_selection",
    "read_final_weights",
    "run_base",
    "run_cv",
]
