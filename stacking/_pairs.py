"""Read the pairs of windows as the frame that models are given."""

from __future__ import annotations

from collections.abc import Sequence

from engine import ConfigError, DataError, Store
from features import Catalogue, open_features
from models import PairFrame, StoredColumns
from stacking._sample import TrainingSample
from validation import Window


def read_pairs(
    catalogue: Catalogue,
    windows: Sequence[Window],
    columns: Sequence[str],
    store: Store,
    *,
    labels: bool,
    sample: TrainingSample | None = None,
) -> PairFrame:
    """Read the pairs of windows; their features stay in the store until a model asks for one.

    Without ``labels`` the relevance is not in the frame, so that no model can read it when it predicts. A ``sample``
    is drawn before any feature is read. Raises DataError when there are no pairs, and when labels that are asked for
    are missing.
    """
    found = open_features(catalogue, windows, columns, store)
    pairs, names = found.pairs.with_row_index("position"), ", ".join(w.name for w in windows)
    if pairs.is_empty():
        raise DataError(
            f"There are no pairs in {names}.",
            expected="at least one pair in every window of a fold",
            todo="check the competition's pair selection and horizon, or lower folds.n_folds in config.toml",
        )
    if labels and pairs["relevance"].null_count():
        raise DataError(
            f"{pairs['relevance'].null_count()} pairs of {names} have no relevance.",
            expected="a label for every pair of a train or eval window",
            todo="check the competition's relevance expression",
        )
    c = catalogue.dataset.competition
    if sample is not None:
        _check_no_weight(columns)
        pairs = sample.draw(pairs, c.user)
    pairs = pairs.sort("window", c.user, "pair_id")
    table = pairs.drop("position") if labels else pairs.drop("position", "relevance")
    stored = StoredColumns(found.schema, found.read, pairs["position"])
    return PairFrame(table, tuple(columns), c.user, c.item, c.source, stored)


def _check_no_weight(columns: Sequence[str]) -> None:
    """Refuse a feature of the name that the weights of sampled pairs have."""
    if "weight" in columns:
        raise ConfigError(
            "A feature is named 'weight', which is the name of the weights of sampled train pairs.",
            expected="another name for the feature, or training.users and training.ignored at 1.0",
        )
