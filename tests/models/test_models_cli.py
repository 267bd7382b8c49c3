from __future__ import annotations

import json

from typer.testing import CliRunner

from engine import ConfigError
from models import model_kinds
from models.__main__ import app


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_list_names_every_kind_and_its_models() -> None:
    rows = {
        row["kind"]: row
        for row in json.loads(shown("--set", 'models.fast.kind="catboost"', "list", "--json"))
    }
    assert list(rows) == list(model_kinds())
    assert "fast" in rows["catboost"]["models"]


def test_show_gives_values_defaults_and_meanings() -> None:
    text = shown("--set", 'models.fast={kind = "catboost", depth = 3}', "show", "fast")
    assert [
        words for words in ("kind catboost", "3 (default 4)", "one_hot_max_size") if words not in text
    ] == []
    assert "id_dropout" in shown("show", "channel_net")  # a kind needs no table in the settings


def test_show_of_nothing_known_names_the_nearest() -> None:
    done = CliRunner().invoke(app, ["show", "catbost"])
    assert isinstance(done.exception, ConfigError)
    assert "Did you mean 'catboost'?" in str(done.exception)
