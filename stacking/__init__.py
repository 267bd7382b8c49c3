"""Stacking: out-of-fold predictions of every model, blends of them, and the scores of the test pairs."""

from stacking._blend import leave_one_fold_out
from stacking._blender import BlendContext, Blender, FittedBlend, ScoreFrame, Scores, blender, blenders
from stacking._choice import Choice, choose_blend
from stacking._cv import run_cv
from stacking._final import final_scores, read_final_weights
from stacking._sample import TrainingSample

__all__ = [
    "BlendContext",
    "Blender",
    "Choice",
    "FittedBlend",
    "ScoreFrame",
    "Scores",
    "TrainingSample",
    "blender",
    "blenders",
    "choose_blend",
    "final_scores",
    "leave_one_fold_out",
    "read_final_weights",
    "run_cv",
]
