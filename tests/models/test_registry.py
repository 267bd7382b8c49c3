import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import ConfigError, Settings
from models import (
    FitContext,
    FitReport,
    FittedRanker,
    PairFrame,
    build_models,
    fitted_class,
    model,
    model_kinds,
    needed_columns,
    parameters_of,
    saved_as_json,
)

ROOT = Path(__file__).resolve().parents[2]


def test_models_are_built_in_the_order_of_the_settings_under_their_own_names() -> None:
    tables: dict[str, dict[str, Any]] = {
        "slow": {"kind": "catboost", "loss": "YetiRank"},
        "als": {"kind": "column", "column": "als_score__like"},
        "off": {"kind": "column", "column": "x", "enabled": False},
        "fast": {"kind": "catboost", "depth": 2},
    }
    models = build_models(Settings(models=tables))
    assert list(models) == ["slow", "als", "fast"]
    assert models["slow"] == build_models({"x": tables["slow"]})["x"]
    assert models["fast"] != models["slow"]


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"catbost": {}}, ["[models.catbost]", "catbost", "Did you mean 'catboost'?", "column"]),
        ({"x": {"kind": "chanel_net"}}, ["[models.x]", "Did you mean 'channel_net'?"]),
        ({"x": {"kind": 3}}, ["[models.x]", "3"]),
        ({"catboost": {"dept": 3}}, ["'dept'", "Did you mean 'depth'?"]),
        ({"catboost": {"enabeld": False}}, ["'enabeld'", "Did you mean 'enabled'?"]),
        ({"catboost": {"depth": "6"}}, ["depth", "'6'", "integer"]),
        ({"catboost": {"depth": True}}, ["depth", "integer"]),
        ({"catboost": {"depth": 99}}, ["depth", "99", "16"]),
        ({"catboost": {"loss": "yeti"}}, ["loss", "'yeti'", "YetiRank"]),
        ({"channel_net": {"dropout": 1.5}}, ["dropout", "1.5"]),
        ({"column": {"column": 3}}, ["column", "3", "string"]),
        ({"column": {}}, ["[models.column]: column is not set", "required"]),
        (
            {"als": {}},
            ["no kind of model 'als'", 'kind = "column" and column = "als_score__like" in [models.als]'],
        ),
        ({"x": {"kind": "popularity", "feature": "n__item_id"}}, ['column = "n__item_id" in [models.x]']),
        ({"catboost": {"enabled": "no"}}, ["enabled", "'no'", "true or false"]),
        ({"channel_net": {}, "catboost": {"enabled": False, "dept": 3}}, ["'dept'"]),
        ({"catboost": {"enabled": False}}, ["No model is enabled"]),
        ({}, ["No model is enabled"]),
        ({"score": {"kind": "catboost"}}, ["'score'", "cannot be the name"]),
        ({"Big Model": {"kind": "catboost"}}, ["'Big Model'"]),
    ],
)
def test_bad_tables_are_refused_with_the_nearest_valid_word(
    tables: Mapping[str, Mapping[str, Any]], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_models(tables)
    assert [word for word in words if word not in str(caught.value)] == []


def test_every_parameter_of_every_kind_has_a_meaning() -> None:
    for name, kind in model_kinds().items():
        assert [p.name for p in parameters_of(kind) if not p.meaning] == [], name


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)catboost.*catboost\.py.*test_registry\.py"):

        @model("catboost")
        @dataclass(frozen=True)
        class Other:
            pass


MINE = '''
from dataclasses import dataclass

from models import FitContext, FittedRanker, PairFrame, model


@model("mine")
@dataclass(frozen=True)
class Mine:
    """Ranks by what I like."""

    def fit(self, train: PairFrame, context: FitContext) -> FittedRanker: ...
'''


def test_a_new_file_is_a_new_kind(tmp_path: Path) -> None:
    for room in ("engine", "competitions", "validation", "models"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "models" / "mine.py").write_text(MINE, encoding="utf-8")
    command = [sys.executable, "-m", "models", "list", "--json", "--set", "models.mine.enabled=true"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"Ranks by what I like."' in done.stdout


@saved_as_json
@dataclass(frozen=True)
class FittedSmall:
    names: tuple[str, ...]
    mean: float
    units: Mapping[str, float] | None = None
    report: FitReport = field(default_factory=FitReport)


class Unsaid:
    def fit(self, train, context):  # type: ignore[no-untyped-def]
        raise NotImplementedError


class Vague:
    def fit(self, train: PairFrame, context: FitContext) -> FittedRanker:
        raise NotImplementedError


@pytest.mark.parametrize(
    "fitted",
    [
        FittedSmall((), 0.0),
        FittedSmall(
            ("a", "b"), 0.1 + 0.2, {"m": 5e-324}, FitReport(3, "hold-out", {"x": 1 / 3}, training_loss=1e-300)
        ),
    ],
)
def test_plain_values_are_saved_without_a_word(fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    assert type(fitted).load(tmp_path) == fitted


@saved_as_json
@dataclass(frozen=True)
class FittedOther:
    value: Any = None
    number: int = 0
    by_number: Mapping[int, float] = field(default_factory=dict)


def test_not_a_number_and_numbers_as_keys_come_back(tmp_path: Path) -> None:
    fitted: Any = FittedOther(float("nan"), 2**70, {1: -0.0, 10**20: np.float64(0.1)})
    fitted.save(tmp_path)
    found = type(fitted).load(tmp_path)
    assert (repr(found.value), found.number) == ("nan", 2**70)
    assert {key: value.hex() for key, value in found.by_number.items()} == {
        1: "-0x0.0p+0",
        10**20: (0.1).hex(),
    }


@pytest.mark.parametrize(
    ("fitted", "told"),
    [
        (FittedOther((1, 2)), r"value = \(1, 2\) as \[1, 2\]"),
        (FittedOther({1: 2}), "value = {1: 2} as {'1': 2}"),
        (FittedOther(FittedSmall((), 0.0)), r"value = FittedSmall\("),
        (FittedOther(np.ones(2)), "ndarray is not JSON"),
        (FittedOther(np.float32(1)), "float32 is not JSON"),
        (FittedOther(b"x"), "bytes is not JSON"),
        (FittedOther(number="3"), "number = '3' as 3"),  # type: ignore[arg-type]
        (FittedOther(number=0.5), "valid integer"),  # type: ignore[arg-type]
        (FittedOther(by_number={"1": 0.5}), "by_number"),  # type: ignore[dict-item]
    ],
)
def test_what_would_not_come_back_the_same_is_not_saved(fitted: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"(?s)FittedOther cannot be saved as JSON: .*{told}.*numpy"):
        fitted.save(tmp_path)


def test_state_beside_the_fields_is_not_lost_without_a_word(tmp_path: Path) -> None:
    fitted: Any = FittedOther()
    object.__setattr__(fitted, "learned", 3)
    with pytest.raises(ConfigError, match="learned, which is no field"):
        fitted.save(tmp_path)


class WithoutParameters:
    def fit(self, train: PairFrame, context: FitContext) -> FittedSmall:
        raise NotImplementedError


def test_a_model_is_a_dataclass_with_a_fit_under_a_name() -> None:
    unnamed: Any = FittedSmall
    for name, kind in (("odd", WithoutParameters), (unnamed, unnamed)):
        with pytest.raises(
            ConfigError, match=r"(?s)@model.* is put on .*frozen dataclass of parameters with a"
        ):
            model(name)(kind)


class Saveless:
    def fit(self, train: PairFrame, context: FitContext) -> FitReport:
        raise NotImplementedError


@pytest.mark.parametrize("maker", [Unsaid(), Vague(), Saveless()])
def test_a_fit_that_does_not_say_what_it_returns_is_named(maker: Any) -> None:
    words = rf"{type(maker).__name__}\.fit does not say which class it returns"
    with pytest.raises(ConfigError, match=words):
        fitted_class(maker)


def test_a_model_without_needs_reads_what_the_patterns_select() -> None:
    assert needed_columns(build_models({"catboost": {}})["catboost"]) == ()
    assert needed_columns(build_models({"column": {"column": "x"}})["column"]) == ("x",)
