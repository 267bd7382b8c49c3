"""Stacking: out-of-fold predictions of every model, blends of them, and the scores of the test pairs."""

from stacking._ablate import Ablation, Left, plan_ablation
from stacking._blend import leave_one_fold_out
from stacking._blender import BlendContext, Blender, FittedBlend, ScoreFrame, Scores, blender, blenders
from stacking._choice import Choice, choose_blend
from stacking._cv import run_cv
from stacking._differences import Measured
from stacking._final import final_scores, read_final_weights
from stacking._gain import GainPlan, plan_gain
from stacking._permute import Shuffling
from stacking._plan import make_plan
from stacking._refits import Cost, base_fits
from stacking._sample import TrainingSample

__all__ = [
    "Ablation",
    "BlendContext",
    "Blender",
    "Choice",
    "Cost",
    "FittedBlend",
    "GainPlan",
    "Left",
    "Measured",
    "ScoreFrame",
    "Scores",
    "Shuffling",
    "TrainingSample",
    "base_fits",
    "blender",
    "blenders",
    "choose_blend",
    "final_scores",
    "leave_one_fold_out",
    "make_plan",
    "plan_ablation",
    "plan_gain",
    "read_final_weights",
    "run_cv",
]
