"""Clock windows, folds, metrics, significance, drift, and the cross-validation report."""

from validation._bootstrap import MIN_USERS, Difference, paired_bootstrap
from validation._drift import SingleFeatureScore, psi, single_feature_score
from validation._evaluate import evaluate, evaluate_by_group
from validation._metric import GroupValues, MetricFunction, get_metric, metric, metrics
from validation._report import (
    Chart,
    CvBundle,
    Report,
    build_report,
    color_of,
    colors_of,
    finish_chart,
    number_of,
    render_page,
    training_alarms,
)
from validation._windows import Fold, Folds, Window, is_test, plan_folds, window_pairs, window_relevance
from validation.hit_rate_at_k import hit_rate_at_k
from validation.log_loss import log_loss
from validation.map_at_k import map_at_k
from validation.mrr_at_k import mrr_at_k
from validation.ndcg_at_k import ndcg_at_k
from validation.precision_at_k import precision_at_k
from validation.recall_at_k import recall_at_k
from validation.rmse import rmse
from validation.roc_auc import roc_auc
from validation.user_auc import user_auc

__all__ = [
    "MIN_USERS",
    "Chart",
    "CvBundle",
    "Difference",
    "Fold",
    "Folds",
    "GroupValues",
    "MetricFunction",
    "Report",
    "SingleFeatureScore",
    "Window",
    "build_report",
    "color_of",
    "colors_of",
    "evaluate",
    "evaluate_by_group",
    "finish_chart",
    "get_metric",
    "hit_rate_at_k",
    "is_test",
    "log_loss",
    "map_at_k",
    "metric",
    "metrics",
    "mrr_at_k",
    "ndcg_at_k",
    "number_of",
    "paired_bootstrap",
    "plan_folds",
    "precision_at_k",
    "psi",
    "recall_at_k",
    "render_page",
    "rmse",
    "roc_auc",
    "single_feature_score",
    "training_alarms",
    "user_auc",
    "window_pairs",
    "window_relevance",
]
