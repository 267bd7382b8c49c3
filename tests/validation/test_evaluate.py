"""A declared metric on a frame: groups of any columns, missing scores, wrong names."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import validation
from competitions import Metric
from engine import ConfigError, DataError
from validation import evaluate, evaluate_by_group, evaluator, metrics

FRAME = pl.DataFrame(
    {
        "window": [7, 7, 8, 8, 7, 8],
        "user": [1, 1, 1, 1, 2, 2],
        "relevance": [1, 0, 1, 0, 1, 0],
        "score": [0.9, 0.1, 0.2, 0.8, 0.5, 0.5],
    },
    schema_overrides={"user": pl.UInt32, "relevance": pl.Int8},
)
AUC = Metric("user_auc")


@pytest.mark.parametrize("name", sorted(metrics()))
def test_the_overall_value_is_the_weighted_mean_of_the_groups_if_there_are_any(name: str) -> None:
    groups = evaluate_by_group(Metric(name), FRAME, group=["window", "user"])
    assert groups.schema == {"window": pl.Int64, "user": pl.UInt32, "value": pl.Float64, "weight": pl.Float64}
    mean = float((groups["value"] * groups["weight"]).sum()) / float(groups["weight"].sum())
    assert evaluate(Metric(name), FRAME, group=["window", "user"]) == pytest.approx(mean)
    assert math.isnan(evaluate(Metric(name), FRAME.clear(), group=["window", "user"]))
    assert len(evaluate_by_group(Metric(name), FRAME.clear(), group=["window", "user"])) == 0


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "rmse"])
def test_a_metric_over_all_rows_has_one_group(name: str) -> None:
    found = evaluate_by_group(Metric(name), FRAME, group=["window", "user"])
    assert found.select("window", "user", "weight").rows() == [(None, None, 6.0)]


@pytest.mark.parametrize(
    "keys",
    [
        pl.Series([0, 2**50, -(2**50), None], dtype=pl.Int64),
        pl.Series([2**63, 1, 2, None], dtype=pl.UInt64),
        pl.Series(["b", "a", "c", None]),
        pl.Series(["b", "a", "c", None], dtype=pl.Enum(["c", "b", "a"])),
        pl.Series([date(2024, 1, 2), date(2024, 1, 1), None, None]),
        pl.Series([1.5, 0.5, -1.0, None]),
        pl.Series([True, False, None, None]),
    ],
    ids=lambda s: str(s.dtype),
)
@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            *(st.integers(0, n) for n in (3, 2, 2, 1, 4))
        ),  # a key, two more of the group, relevance, score
        min_size=1,
        max_size=40,
    )
)
def test_a_group_is_every_combination_of_columns_of_any_dtype(
    keys: pl.Series, rows: list[tuple[int, ...]]
) -> None:
    names = ["a", "b", "c"]
    frame = pl.DataFrame(rows, [*names, "relevance", "score"], orient="row")
    frame = frame.with_columns(a=keys.gather(frame["a"]), c=pl.col("c").cast(pl.String))
    found = evaluate_by_group(AUC, frame, group=names)
    assert found.select(names).rows() == frame.select(names).unique().sort(names).rows()
    values = {
        key: evaluate(AUC, part.with_columns(one=pl.lit(0)), group=["one"])
        for key, part in frame.group_by(names)
    }
    expected = [values[key] for key in found.select(names).rows()]
    assert found["value"].fill_null(math.nan).to_list() == pytest.approx(expected, nan_ok=True)
    one = evaluate_by_group(AUC, frame, group=["a"])
    assert one["a"].to_list() == frame["a"].unique().sort().to_list()


def test_missing_scores_are_an_error_or_lowest_and_missing_relevance_is_an_error() -> None:
    lowest = Metric("user_auc", {"missing": "lowest"})
    frame = pl.DataFrame({"user": [1, 1, 1], "relevance": [0, 1, 1], "score": [-math.inf, None, math.nan]})
    with pytest.raises(DataError, match="2 of 3 rows have no score"):
        evaluate(AUC, frame, group=["user"])
    assert evaluate(lowest, frame, group=["user"]) == 0.0
    assert evaluate(lowest, FRAME, group=["user"]) == evaluate(AUC, FRAME, group=["user"])
    with pytest.raises(DataError, match="6 of 6 rows have no relevance"):
        evaluate(lowest, FRAME.with_columns(relevance=pl.lit(None, dtype=pl.Int8)), group=["user"])


def test_policies_reach_the_metric() -> None:
    half = Metric("user_auc", {"one_class": "half"})
    assert evaluate(half, FRAME, group=["window", "user"]) == pytest.approx((1 + 0 + 0.5 + 0.5) / 4)
    stored = Metric("user_auc", {"leave_out_pairs": [1, 0]})  # a tuple comes back from JSON as a list
    assert math.isnan(evaluate(stored, FRAME, group=["user"]))


def test_wrong_names_are_refused_with_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'user_auc'"):
        evaluate(Metric("user_acu"), FRAME, group=["user"])
    with pytest.raises(ConfigError, match="Did you mean 'one_class'"):
        evaluate(Metric("user_auc", {"oneclass": "skip"}), FRAME, group=["user"])
    with pytest.raises(ConfigError, match="Did you mean 'half'"):
        evaluate(Metric("user_auc", {"one_class": "halve"}), FRAME, group=["user"])
    with pytest.raises(ConfigError, match="valid number"):
        evaluate(Metric("user_auc", {"min_relevance": "high"}), FRAME, group=["user"])
    with pytest.raises(ConfigError, match="'error' or 'lowest'"):
        evaluate(Metric("user_auc", {"missing": "low"}), FRAME, group=["user"])
    with pytest.raises(ConfigError, match="no meaning for rmse"):
        evaluate(Metric("rmse", {"missing": "lowest"}), FRAME, group=["user"])
    with pytest.raises(ConfigError, match="No group column"):
        evaluate(AUC, FRAME, group=[])
    with pytest.raises(DataError, match="Did you mean 'window'"):
        evaluate(AUC, FRAME, group=["windw"])
    with pytest.raises(DataError, match="String"):
        evaluate(AUC, FRAME.with_columns(score=pl.lit("high")), group=["user"])


@pytest.fixture
def new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A metric file to be written, in a second folder in which the room looks too."""
    monkeypatch.setattr(validation, "__path__", [*validation.__path__, str(tmp_path)])
    yield tmp_path / "mine.py"
    sys.modules.pop("validation.mine", None)
    if hasattr(validation, "mine"):
        delattr(validation, "mine")


def test_a_new_metric_is_one_new_file(new_file: Path) -> None:
    new_file.write_text(
        "import numpy as np\n"
        "from validation import GroupValues, metric\n\n"
        "@metric()\n"
        "def group_size(group, relevance, score, *, factor=1.0):\n"
        "    codes, sizes = np.unique(group, return_counts=True)\n"
        "    return GroupValues(codes, sizes * factor, np.ones(len(codes)))\n",
        encoding="utf-8",
    )
    assert "group_size" in metrics()
    assert evaluate(Metric("group_size", {"factor": 2.0}), FRAME, group=["user"]) == 6.0
    with pytest.raises(ConfigError, match="Did you mean 'factor'"):
        evaluate(Metric("group_size", {"facto": 2.0}), FRAME, group=["user"])


def test_two_metrics_of_one_name_are_refused(new_file: Path) -> None:
    new_file.write_text(
        "from validation import metric\n\n@metric()\ndef rmse(group, relevance, score):\n    return None\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match=r"validation\.rmse and in validation\.mine"):
        metrics()


@pytest.mark.parametrize(
    ("text", "reason"), [("def broken(:\n", "SyntaxError"), ("1 / 0\n", "ZeroDivisionError")]
)
def test_a_broken_metric_file_is_named(new_file: Path, text: str, reason: str) -> None:
    new_file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"validation/mine\.py cannot be imported: {reason}"):
        metrics()


def _by_hand(frame: pl.DataFrame, leave_out: tuple[float, float] | None, one_class: float | None) -> float:
    """Mean over users of the share of their pairs in the right order, pair by pair."""
    values = []
    for _, rows in frame.group_by("user"):
        labelled = list(rows.select("relevance", "score").iter_rows())
        pairs = [(a, b) for a in labelled for b in labelled if a[0] > b[0]]
        pairs = [(a, b) for a, b in pairs if leave_out is None or {a[0], b[0]} != set(leave_out)]
        right = [1.0 if a[1] > b[1] else 0.5 if a[1] == b[1] else 0.0 for a, b in pairs]
        if right or one_class is not None:
            values.append(sum(right) / len(right) if right else one_class)
    return sum(filter(None, values)) / len(values) if values else float("nan")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([None, (1.0, -1.0)]),
    st.sampled_from([("skip", None), ("zero", 0.0), ("half", 0.5)]),
    st.integers(2, 60),
)
def test_many_scores_of_the_same_rows(
    seed: int, leave_out: tuple[float, float] | None, one_class: tuple[str, float | None], n_rows: int
) -> None:
    """Exactly the metric, ties and groups of one class included; and the metric is what one counts by hand."""
    rng = np.random.default_rng(seed)
    columns = {"user": rng.integers(0, 8, n_rows), "relevance": rng.integers(-1, 2, n_rows)}
    frame = pl.DataFrame(columns)
    metric = Metric("user_auc", {"one_class": one_class[0], "leave_out_pairs": leave_out})
    value = evaluator(metric, frame, group=["user"])
    for _ in range(3):
        scores = rng.integers(0, 5, n_rows).astype(np.float64)
        scored = frame.with_columns(score=pl.Series(scores))
        found = evaluate(metric, scored, group=["user"])
        assert value(scores) == found or (np.isnan(found) and np.isnan(value(scores)))
        by_hand = _by_hand(scored, leave_out, one_class[1])
        assert found == pytest.approx(by_hand, nan_ok=True)


@pytest.mark.parametrize(
    "policy", [{"weight": "positives"}, {"weight": "rows"}, {"weight": "positives", "min_relevance": 0.0}]
)
@pytest.mark.parametrize("name", ["user_auc", "ndcg_at_k", "roc_auc", "rmse"])
def test_the_scores_of_many_are_those_of_evaluate(name: str, policy: dict[str, object]) -> None:
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"user": rng.integers(0, 9, 200), "relevance": rng.integers(0, 2, 200)})
    metric = Metric(name, policy if name == "user_auc" else {})
    scores = rng.normal(size=200)
    value = evaluator(metric, frame, group=["user"])(scores)
    assert value == evaluate(metric, frame.with_columns(score=pl.Series(scores)), group=["user"])


def test_large_groups_are_sorted_instead_of_compared_pair_by_pair() -> None:
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"user": rng.integers(0, 2, 400), "relevance": rng.integers(0, 2, 400)})
    scores = rng.normal(size=400)
    scored = frame.with_columns(score=pl.Series(scores))
    assert evaluator(AUC, frame, group=["user"])(scores) == evaluate(AUC, scored, group=["user"])


def test_a_nan_among_many_scores_is_an_error_or_the_lowest() -> None:
    frame = pl.DataFrame({"user": [1, 1], "relevance": [1, 0]})
    scores = np.array([np.nan, 0.5])
    with pytest.raises(DataError, match="1 of 2 rows have no score"):
        evaluator(AUC, frame, group=["user"])(scores)
    assert evaluator(Metric("user_auc", {"missing": "lowest"}), frame, group=["user"])(scores) == 0.0
