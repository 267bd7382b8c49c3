"""What a metric is: a plain function over (group, relevance, score), registered by ``@metric``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from importlib import import_module
from typing import Any, Concatenate, Literal, ParamSpec, get_args, get_type_hints

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError

from competitions import Metric
from engine import ConfigError, DataError, SamewiseError, did_you_mean, digested_elsewhere, import_plain_files

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Scope = Literal["group", "pooled", "whole"]
_registry: dict[str, MetricFunction] = {}


@dataclass(frozen=True)
class GroupValues:
    """A metric's value for each group.

    Attributes
    ----------
    group
        Distinct group codes, ascending, shape ``(n_groups,)``.
    value
        Float64, shape ``(n_groups,)``; NaN for a group that the policy leaves out.
    weight
        Float64, shape ``(n_groups,)``; 0 where ``value`` is NaN.
    """

    group: IntArray
    value: FloatArray
    weight: FloatArray

    def mean(self, power: int = 1) -> float:
        """Weighted (power) mean over the groups that count; NaN if none does.

        >>> GroupValues(np.array([0, 1]), np.array([1.0, 0.5]), np.array([3.0, 1.0])).mean()
        0.875
        """
        counted = self.weight > 0
        total = float(self.weight[counted].sum())
        if total == 0:
            return float("nan")
        return float(((self.weight[counted] * self.value[counted] ** power).sum() / total) ** (1 / power))


P = ParamSpec("P")
_Plain = Callable[Concatenate[IntArray, FloatArray, FloatArray, P], GroupValues]
_Checked = Callable[Concatenate[ArrayLike, ArrayLike, ArrayLike, P], GroupValues]
Scorer = Callable[[FloatArray], GroupValues]


@dataclass(frozen=True)
class MetricFunction:
    """A registered metric.

    Attributes
    ----------
    name
        The function's name, which ``competitions.Metric`` refers to.
    compute
        ``compute(group, relevance, score, **policy) -> GroupValues``.
    scope
        ``group``: the overall value is the weighted mean of the groups' values. ``pooled``: all rows are one group.
        However they are cut into groups, its value is the (power) mean of the groups' values, weighted by their rows.
        ``whole``: all rows are one group and nothing less gives the value.
    power
        2 for a root mean square, else 1: ``overall = (sum(w * v**power) / sum(w)) ** (1 / power)``.
    greater_is_better
        False for losses.
    prepare
        ``prepare(group, relevance, **policy)`` gives the metric as a function of the score alone, exactly equal and
        faster where many scores of the same rows are looked at; None where it would not be. Most metrics have none.
    """

    name: str
    compute: Callable[..., GroupValues]
    scope: Scope
    power: int
    prepare: Callable[..., Scorer | None] | None = None
    greater_is_better: bool = True

    @property
    def policy(self) -> Mapping[str, object]:
        """Keys of the policy and their default values."""
        return {
            name: p.default
            for name, p in inspect.signature(self.compute).parameters.items()
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        }


def metric(
    scope: Scope = "group",
    *,
    power: int = 1,
    prepare: Callable[..., Scorer | None] | None = None,
    greater_is_better: bool = True,
) -> Callable[[_Plain[P]], _Checked[P]]:
    """Register a function as a metric under its own name; its keyword-only parameters are the policy.

    The function gets three arrays of shape ``(n_rows,)`` in any row order: group codes Int64, relevance Float64
    without NaN, score Float64 without NaN. Policy keys and values are checked before, by the annotations. It returns
    ``GroupValues``; a group with the value NaN or the weight 0 is left out. ``prepare``, ``greater_is_better``: see
    ``MetricFunction``.
    """
    if scope not in get_args(Scope) or power < 1:
        raise ConfigError(
            f"A metric is registered by @metric({scope!r}, power={power!r}).",
            expected=f"one of {', '.join(get_args(Scope))} in parentheses, and a power of 1 or 2",
        )

    def register(function: _Plain[P]) -> _Checked[P]:
        @wraps(function)
        def checked(
            group: ArrayLike, relevance: ArrayLike, score: ArrayLike, /, *args: P.args, **policy: P.kwargs
        ) -> GroupValues:
            _check_policy(function, policy)
            return _without_uncounted(function(*_clean(group, relevance, score), *args, **policy), name)

        name = function.__name__
        known = _registry.get(name)
        if known is not None and known.compute.__module__ != function.__module__:
            raise ConfigError(
                f"Two metrics are named {name!r}: in {known.compute.__module__} and in {function.__module__}.",
                todo="rename one of the two functions",
            )
        _registry[name] = MetricFunction(name, checked, scope, power, prepare, greater_is_better)
        return checked

    return register


def metrics() -> Mapping[str, MetricFunction]:
    """Every metric by name: those of all files of this room that do not start with an underscore."""
    _import_metric_files(tuple(import_module("validation").__path__))
    return dict(sorted(_registry.items()))


@digested_elsewhere  # recipes hold the code of the metric that they name
def get_metric(name: str) -> MetricFunction:
    """Return the metric of that name; ConfigError names the nearest one if there is none."""
    known = metrics()
    if name not in known:
        raise ConfigError(
            f"There is no metric {name!r}.{did_you_mean(name, known)}",
            expected=f"one of {', '.join(known)}",
            todo="correct the competition's metric, or add a file with @metric to validation/",
        )
    return known[name]


def check_metric(metric: Metric) -> None:
    """Raise ConfigError for a metric that runs cannot be judged by: unknown, of a wrong policy or direction.

    Metrics of the scores' values are refused, too: models give raw scores and blends give ranks.
    """
    function = get_metric(metric.name)
    if metric.greater_is_better != function.greater_is_better:
        raise ConfigError(
            f"The metric {metric.name} is said to have greater_is_better={metric.greater_is_better}.",
            expected=f"greater_is_better={function.greater_is_better}",
            todo="correct it in the competition's Metric, or in the @metric(...) of the function",
        )
    try:
        function.compute(np.zeros(2, np.int64), np.array([0.0, 1.0]), np.array([0.0, 1.0]), **metric.policy)
    except SamewiseError:
        raise
    except Exception as error:
        raise ConfigError(
            f"The metric {metric.name} fails on two rows: {type(error).__name__}: {error}",
            todo=f"correct the function in {function.compute.__module__}, or the competition's policy",
        ) from error
    if function.scope == "pooled":
        known = [name for name, one in metrics().items() if one.scope != "pooled"]
        raise ConfigError(
            f"The metric {metric.name} judges the values of the scores, such as probabilities.",
            expected=f"a metric of the scores' order, since blends are made of ranks: one of {', '.join(known)}",
            todo="name one of these as the competition's metric and calibrate the submitted scores afterwards; "
            "`validation.evaluate` computes any metric",
        )


@cache
def _import_metric_files(folders: tuple[str, ...]) -> None:
    import_plain_files(folders, "validation")


def _check_policy(function: Callable[..., object], policy: Mapping[str, Any]) -> None:
    """Raise ConfigError for an unknown policy key, or a value that its parameter's annotation does not allow."""
    if not policy:
        return
    known = _policy_types(function)
    for key, value in policy.items():
        if key not in known:
            raise ConfigError(
                f"Metric {function.__name__} has no policy {key!r}.{did_you_mean(key, known)}",
                expected=f"one of {', '.join(known) or 'none'}",
            )
        if _holds_nan(value):
            raise ConfigError(f"Metric {function.__name__} cannot take {key}={value!r}.", expected="a number")
        try:
            known[key].validate_python(value, strict=True)
        except ValidationError as wrong:
            expected = wrong.errors()[0]["msg"].removeprefix("Input should be ")
            near = did_you_mean(value, re.findall(r"'(\w+)'", expected)) if isinstance(value, str) else ""
            raise ConfigError(
                f"Metric {function.__name__} cannot take {key}={value!r}.{near}", expected=expected
            ) from wrong


def _holds_nan(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds_nan, value))
    return isinstance(value, float) and value != value


@cache
def _policy_types(function: Callable[..., object]) -> Mapping[str, TypeAdapter[Any]]:
    """Policy keys of a metric and what checks their values; an unannotated parameter takes anything."""
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    return {p.name: TypeAdapter(hints.get(p.name, Any)) for p in parameters if p.kind is p.KEYWORD_ONLY}


def _without_uncounted(found: object, name: str) -> GroupValues:
    """Give groups of value NaN the weight 0, and groups of weight 0 the value NaN. DataError if it is no value each."""
    if isinstance(found, GroupValues):
        group, value, weight = np.asarray(found.group), np.asarray(found.value), np.asarray(found.weight)
    if not isinstance(found, GroupValues) or not (
        group.ndim == 1 and group.shape == value.shape == weight.shape and (group[1:] > group[:-1]).all()
    ):
        raise DataError(
            f"Metric {name} gave {found!r}.",
            expected="GroupValues: codes of groups, each once and ascending, and a value and a weight of each",
        )
    counted = ~np.isnan(value) & (weight > 0)
    return GroupValues(group, np.where(counted, value, np.nan), np.where(counted, weight, 0.0))


def _clean(
    group: ArrayLike, relevance: ArrayLike, score: ArrayLike
) -> tuple[IntArray, FloatArray, FloatArray]:
    codes = np.asarray(group)
    values = np.asarray(relevance, dtype=np.float64)
    scores = np.asarray(score, dtype=np.float64)
    if not codes.ndim == values.ndim == scores.ndim == 1 or not len(codes) == len(values) == len(scores):
        raise DataError(
            f"group, relevance and score have the shapes {codes.shape}, {values.shape} and {scores.shape}.",
            expected="three one-dimensional arrays of the same length",
        )
    if len(codes) and not np.issubdtype(codes.dtype, np.integer):
        raise DataError(f"group has the dtype {codes.dtype}.", expected="integer codes")
    for name, array in (("relevance", values), ("score", scores)):
        n_missing = int(np.isnan(array).sum())
        if n_missing:
            raise DataError(
                f"{n_missing} of {len(array)} rows have no {name} (null or NaN).",
                expected=f"a {name} in every row",
                todo="fill them, or for scores of ranking metrics set the policy missing='lowest' in evaluate",
            )
    return codes.astype(np.int64, copy=False), values, scores
