from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from engine import ConfigError
from models import model_kinds
from models.__main__ import app


def test_list_names_every_kind_and_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["--set", 'models.fast.kind="catboost"']
    done = CliRunner().invoke(app, [*settings, "list", "--json"])
    assert done.exit_code == 0, done.output
    rows = {row["kind"]: row for row in json.loads(done.stdout)}
    assert list(rows) == list(model_kinds())
    assert "fast" in rows["catboost"]["models"]


def test_show_gives_values_defaults_and_meanings() -> None:
    done = CliRunner().invoke(app, ["--set", 'models.fast={kind = "catboost", depth = 3}', "show", "fast"])
    assert done.exit_code == 0, done.output
    assert "kind catboost" in done.stdout
    assert "3 (default 5)" in done.stdout
    assert "one_hot_max_size" in done.stdout


def test_show_of_a_kind_needs_no_table_in_the_settings() -> None:
    done = CliRunner().invoke(app, ["show", "channel_net"])
    assert done.exit_code == 0, done.output
    assert "id_dropout" in done.stdout


def test_show_of_nothing_known_names_the_nearest() -> None:
    done = CliRunner().invoke(app, ["show", "catbost"])
    assert isinstance(done.exception, ConfigError)
    assert "Did you mean 'catboost'?" in str(done.exception)
