"""A competition that contradicts itself is refused before any data is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import dataframely as dy
import polars as pl
import pytest

from competitions import Clock, Competition, Dataset, LogShare, SubmissionFormat
from engine import DataError

Take = Callable[..., Dataset]


class ItemsWithDevice(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    device = dy.String()


class ItemsWithScore(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    score = dy.Float64()


class UsersByText(dy.Schema):
    user_id = dy.String(primary_key=True)


def without(roles: Mapping[str, str], name: str) -> dict[str, str]:
    return {column: role for column, role in roles.items() if column != name}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda c: {"roles": without(c.roles, "device")}, "column 'device' has no role"),
        (
            lambda c: {"roles": {**c.roles, "devise": "observed"}},
            "there is no such column. Did you mean 'device'?",
        ),
        (lambda c: {"roles": {**c.roles, "at": "seen"}}, "column 'at' has the role 'seen'"),
        (lambda c: {"roles": {**c.roles, "user_id": "observed"}}, "'user_id' must have the role 'key'"),
        (
            lambda c: {"roles": {**c.roles, "long": "observed"}},
            "'long' is made of outcomes, so its role must be",
        ),
        (lambda c: {"derived": {**c.derived, "long": pl.col("secs") > 1}}, "'long' reads 'secs'"),
        (lambda c: {"relevance": pl.col("device")}, "relevance reads 'device', which is not an outcome"),
        (lambda c: {"source": "brandt"}, "Did you mean 'brand'?"),
        (
            lambda c: {"items": ItemsWithDevice, "source": None},
            "'device' is a column of the log and of the items",
        ),
        (lambda c: {"items": ItemsWithScore, "source": None}, "'score', a name that Samewise needs itself"),
        (lambda c: {"users": UsersByText}, "'user_id' is UInt32 in the interactions, String in the users"),
        (lambda c: {"item": "thing"}, "'thing' must be a column of the interactions and of the items"),
        (lambda c: {"clock": Clock("time")}, "a clock of kind 'time' needs a Datetime column"),
        (
            lambda c: {"clock": Clock("time", column="att")},
            "'att' is not in the interactions. Did you mean 'at'?",
        ),
        (lambda c: {"clock": Clock("time", column="seconds")}, "'seconds' is UInt16, not a Datetime"),
        (lambda c: {"clock": Clock("per_user", steps=1)}, "has no history before its last step"),
        (lambda c: {"clock": Clock("per_user", steps=4), "horizon": 4}, "leave no history in 4 steps"),
        (lambda c: {"horizon": 0}, "the horizon is 0 and the gap 0"),
        (lambda c: {"horizon": LogShare(1, of=6), "gap": -1}, "the gap is -1; it must be at least 0"),
        (lambda c: {"horizon": LogShare(7, of=6)}, "the horizon is 7 of 6 parts of the log"),
        (
            lambda c: {"remarks": {"are odd": pl.col("odd")}},
            "the remark 'are odd' reads 'odd', which the log",
        ),
        (
            lambda c: {"submission": SubmissionFormat({"id": "pair", "s": "score"})},
            "takes 'pair', which a pair does not",
        ),
        (
            lambda c: {"submission": SubmissionFormat({"s": "seconds"})},
            "no column of the submission takes 'score'",
        ),
        (lambda c: {"name": "my shop"}, "its name must be a word"),
    ],
)
def test_contradictions(
    taken: Take, shop: Competition, changes: Callable[[Competition], dict[str, object]], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        taken(**changes(shop))
    assert message in str(caught.value)
    assert "contradicts itself" in str(caught.value)
