"""Parts that recipes of this room have in common: digests of code, the metric."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from competitions import Metric
from engine import code_digest
from validation import get_metric

FORMAT = 1  # of the artifacts of this room; raise it when this room puts them together differently


@cache
def digest(code: Callable[..., object]) -> str:
    """Digest of a function or class and of all that it reaches; taken once a process, since it costs a while."""
    return code_digest(code).digest


def metric_parts(metric: Metric) -> dict[str, Any]:
    """The competition's metric: its name, policy and code, which no digest reaches by its name."""
    return {
        "name": metric.name,
        "policy": dict(metric.policy),
        "greater_is_better": metric.greater_is_better,
        "code": digest(get_metric(metric.name).compute),
    }
