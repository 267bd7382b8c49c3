"""Clock windows, folds, metrics, significance, drift, and the cross-validation report."""

from validation._bootstrap import MIN_USERS, Difference, paired_bootstrap
from validation._drift import SingleFeatureScore, psi, single_feature_score
from validation._evaluate import evaluate, evaluate_by_group, evaluator
from validation._metric import FloatArray, GroupValues, IntArray, check_metric, get_metric, metric, metrics
from validation._order import (
    Groups,
    Ranked,
    Ties,
    by_group_and_score,
    concordant_pairs,
    pairs_within,
    rank_rows,
    row_means,
)
from validation._report import (
    Chart,
    CvBundle,
    Report,
    alarms_of,
    build_report,
    color_of,
    colors_of,
    column_alarms,
    compared,
    finish_chart,
    number_of,
    number_text,
    read_audit_report,
    render_page,
    training_alarms,
)
from validation._windows import Fold, Folds, Window, is_test, plan_folds, window_pairs, window_relevance
from validation.log_loss import log_loss
from validation.ranking import hit_rate_at_k, map_at_k, mrr_at_k, ndcg_at_k, precision_at_k, recall_at_k
from validation.rmse import rmse
from validation.roc_auc import roc_auc
from validation.user_auc import user_auc

__all__ = [
    "MIN_USERS",
    "Chart",
    "CvBundle",
    "Difference",
    "FloatArray",
    "Fold",
    "Folds",
    "GroupValues",
    "Groups",
    "IntArray",
    "Ranked",
    "Report",
    "SingleFeatureScore",
    "Ties",
    "Window",
    "alarms_of",
    "build_report",
    "by_group_and_score",
    "check_metric",
    "color_of",
    "colors_of",
    "column_alarms",
    "compared",
    "concordant_pairs",
    "evaluate",
    "evaluate_by_group",
    "evaluator",
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
    "number_text",
    "paired_bootstrap",
    "pairs_within",
    "plan_folds",
    "precision_at_k",
    "psi",
    "rank_rows",
    "read_audit_report",
    "recall_at_k",
    "render_page",
    "rmse",
    "roc_auc",
    "row_means",
    "single_feature_score",
    "training_alarms",
    "user_auc",
    "window_pairs",
    "window_relevance",
]
