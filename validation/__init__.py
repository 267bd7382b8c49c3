"""Clock windows, folds, metrics, significance, drift, and the cross-validation report."""

from validation._bootstrap import Difference, paired_bootstrap
from validation._bundle import CvBundle
from validation._evaluate import evaluate, evaluate_by_group
from validation._metric import GroupValues, MetricFunction, metric, metrics
from validation._windows import Fold, Folds, Window, is_test, plan_folds, window_pairs, window_relevance
from validation.user_auc import user_auc

__all__ = [
    "CvBundle",
    "Difference",
    "Fold",
    "Folds",
    "GroupValues",
    "MetricFunction",
    "Window",
    "evaluate",
    "evaluate_by_group",
    "is_test",
    "metric",
    "metrics",
    "paired_bootstrap",
    "plan_folds",
    "user_auc",
    "window_pairs",
    "window_relevance",
]
