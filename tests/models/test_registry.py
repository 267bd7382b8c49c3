import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine import ConfigError, Settings
from models import RankedByFeature, build_models, model, model_kinds, parameters_of

ROOT = Path(__file__).resolve().parents[2]


def message_of(tables: Mapping[str, Mapping[str, Any]]) -> str:
    with pytest.raises(ConfigError) as caught:
        build_models(tables)
    return str(caught.value)


def test_the_kinds_of_the_house_are_found() -> None:
    assert {"als", "catboost", "channel_net", "popularity"} <= set(model_kinds())


def test_models_are_built_in_the_order_of_the_settings_under_their_own_names() -> None:
    tables: dict[str, dict[str, Any]] = {
        "slow": {"kind": "catboost", "loss": "YetiRank"},
        "als": {},
        "off": {"kind": "als", "enabled": False},
        "fast": {"kind": "catboost", "depth": 2},
    }
    models = build_models(Settings(models=tables))
    assert list(models) == ["slow", "als", "fast"]
    assert models["slow"] == build_models({"x": tables["slow"]})["x"]
    assert models["fast"] != models["slow"]


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"catbost": {}}, ["[models.catbost]", "catbost", "Did you mean 'catboost'?", "popularity"]),
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
        ({"als": {"feature": 3}}, ["feature", "3", "string"]),
        ({"als": {"enabled": "no"}}, ["enabled", "'no'", "true or false"]),
        ({"als": {}, "catboost": {"enabled": False, "dept": 3}}, ["'dept'"]),
        ({"als": {"enabled": False}}, ["No model is enabled"]),
        ({}, ["No model is enabled"]),
        ({"score": {"kind": "als"}}, ["'score'", "cannot be the name"]),
        ({"Big Model": {"kind": "als"}}, ["'Big Model'"]),
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
    with pytest.raises(ConfigError, match=r"(?s)als.*als\.py.*test_registry\.py"):

        @model("als")
        @dataclass(frozen=True)
        class Other:
            pass


MINE = '''
from dataclasses import dataclass

from models import FitContext, PairFrame, RankedByFeature, model


@model("mine")
@dataclass(frozen=True)
class Mine:
    """Ranks by what I like."""

    needs: tuple[str, ...] = ("n_exposures__item_id",)

    @property
    def fitted(self) -> type[RankedByFeature]:
        return RankedByFeature

    def fit(self, train: PairFrame, context: FitContext) -> RankedByFeature:
        return RankedByFeature(self.needs[0])
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


def test_ranked_by_feature_is_public_for_models_of_one_column() -> None:
    assert RankedByFeature("x").report.importance == {"x": 1.0}
