import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from engine import ConfigError, Settings
from models import (
    FitContext,
    FitReport,
    FittedRanker,
    PairFrame,
    Ranker,
    Scores,
    build_models,
    fitted_class,
    model,
    model_kinds,
    needed_columns,
    parameters_of,
    read_json,
    saved_as_json,
    write_json,
)

ROOT = Path(__file__).resolve().parents[2]


def message_of(tables: Mapping[str, Mapping[str, Any]]) -> str:
    with pytest.raises(ConfigError) as caught:
        build_models(tables)
    return str(caught.value)


def test_the_kinds_of_the_house_are_found() -> None:
    assert {"catboost", "channel_net", "column"} <= set(model_kinds())


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
        ({"catboost": {"depth": "six"}}, ["depth", "'six'", "integer"]),
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
    message = message_of(tables)
    assert [word for word in words if word not in message] == []


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

from models import FitContext, FitReport, PairFrame, Scores, model, saved_as_json


@saved_as_json
@dataclass(frozen=True)
class FittedMine:
    mean: float
    report: FitReport = FitReport()

    def predict(self, frame: PairFrame) -> Scores:
        return frame.column("item_id").to_numpy() - self.mean


@model("mine")
@dataclass(frozen=True)
class Mine:
    """Ranks by what I like."""

    def fit(self, train: PairFrame, context: FitContext) -> FittedMine:
        return FittedMine(float(train.relevance.mean()))
'''


def python_m(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "models", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the rooms that models needs."""
    folder = tmp_path_factory.mktemp("checkout")
    for room in ("engine", "models"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_a_new_file_is_a_new_kind(checkout: Path) -> None:
    (checkout / "models" / "mine.py").write_text(MINE, encoding="utf-8")
    done = python_m(checkout, "list", "--json", "--set", "models.mine.enabled=true")
    assert done.returncode == 0, done.stderr
    assert '"Ranks by what I like."' in done.stdout


def test_a_file_that_raises_is_named(checkout: Path) -> None:
    (checkout / "models" / "mine.py").write_text("import no_such_thing\n", encoding="utf-8")
    done = python_m(checkout, "list")
    assert done.returncode == 1
    assert "models/mine.py" in done.stderr
    assert "no_such_thing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["--help"], ["list"], ["show", "catboost"], ["show", "channel_net"]])
def test_looking_at_models_imports_no_library_that_fits_them(command: list[str]) -> None:
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['models', *{command}]\n"
        "try:\n    runpy.run_module('models', run_name='__main__')\n"
        "finally:\n    print('loaded:', sorted({'torch', 'catboost', 'sklearn', 'scipy'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("loaded: []\n")


@saved_as_json
@dataclass(frozen=True)
class FittedSmall:
    """Plain values, and a dataclass of such."""

    names: tuple[str, ...]
    mean: float
    units: Mapping[str, float] | None = None
    report: FitReport = field(default_factory=FitReport)

    def predict(self, frame: PairFrame) -> Scores:
        return frame.relevance - self.mean


class Small:
    def fit(self, train: PairFrame, context: FitContext) -> FittedSmall:
        return FittedSmall(("a", "b"), 0.1 + 0.2)


class Unsaid:
    def fit(self, train, context):  # type: ignore[no-untyped-def]
        return FittedSmall((), 0.0)


class Vague:
    def fit(self, train: PairFrame, context: FitContext) -> FittedRanker:
        raise NotImplementedError


@pytest.mark.parametrize(
    "report", [FitReport(), FitReport(3, "hold-out", {"x": 1 / 3}, training_loss=1e-300)]
)
@pytest.mark.parametrize("units", [None, {"m": 5e-324}])
def test_plain_values_are_saved_without_a_word(
    report: FitReport, units: Mapping[str, float] | None, tmp_path: Path
) -> None:
    fitted: Any = FittedSmall(("a", "b"), 0.1 + 0.2, units, report)
    fitted.save(tmp_path)
    assert fitted_class(cast(Ranker, Small())).load(tmp_path) == fitted
    write_json(tmp_path / "report.json", report)
    assert read_json(tmp_path / "report.json", FitReport) == report


@pytest.mark.parametrize("maker", [Unsaid(), Vague()])
def test_a_fit_that_does_not_say_what_it_returns_is_named(maker: Any) -> None:
    with pytest.raises(
        ConfigError, match=rf"{type(maker).__name__}\.fit does not say which class it returns"
    ):
        fitted_class(maker)


def test_a_model_without_needs_reads_what_the_patterns_select() -> None:
    assert needed_columns(build_models({"catboost": {}})["catboost"]) == ()
    assert needed_columns(build_models({"column": {"column": "x"}})["column"]) == ("x",)
