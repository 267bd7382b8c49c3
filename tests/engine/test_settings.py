"""Settings: three places, one order, and errors that name the key, the place and the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from engine import ConfigError, Settings, load_settings


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> None:
    Path("config.toml").write_text(text, encoding="utf-8")


def error_of(*overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, overrides)
    return caught.value


def test_without_a_file_the_defaults_hold() -> None:
    assert load_settings() == Settings()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("seed = 1\nthreads = 1\n[folds]\nn_folds = 7\nn_train_windows = 2\n")
    monkeypatch.setenv("SAMEWISE_FOLDS__N_FOLDS", "8")
    monkeypatch.setenv("SAMEWISE_THREADS", "5")
    settings = load_settings(None, ["folds.n_folds=9"])
    assert (settings.seed, settings.threads) == (1, 5)
    assert (settings.folds.n_folds, settings.folds.n_train_windows) == (9, 2)


def test_models_keep_the_order_of_the_file_and_take_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[models.zeta]\ndepth = 6\n[models.Alpha]\n[models.mid]\nkind = 'zeta'\n")
    monkeypatch.setenv("SAMEWISE_MODELS__ALPHA__RATE", "0.5")
    models = load_settings(
        None, ["models.mid.depth=8", "models.last.on=true", "models.mid.loss=YetiRank"]
    ).models
    assert list(models) == ["zeta", "Alpha", "mid", "last"]
    assert models["Alpha"] == {"rate": 0.5}
    assert models["mid"] == {"kind": "zeta", "depth": 8, "loss": "YetiRank"}
    assert models["last"] == {"on": True}


def test_values_of_the_command_line_are_toml_or_plain_texts() -> None:
    settings = load_settings(
        None, ["features.include=['a*', 'b*']", "store=some/where", "competition=2024", "folds.gap=none"]
    )
    assert settings.features.include == ("a*", "b*")
    assert settings.store == Path("some/where")
    assert settings.competition == "2024"
    assert settings.folds.gap is None


@pytest.mark.parametrize(
    ("text", "unknown", "near"),
    [
        ("sead = 1", "'sead'", "'seed'"),
        ("[folds]\nn_fold = 1", "'folds.n_fold'", "'n_folds'"),
        ("[features]\nincludes = []", "'features.includes'", "'include'"),
        ("[model.als]\n", "'model'", "'models'"),
    ],
)
def test_an_unknown_key_names_the_nearest_valid_one(text: str, unknown: str, near: str) -> None:
    write(text)
    message = str(error_of())
    assert f"Unknown setting {unknown} in config.toml. Did you mean {near}?" in message


def test_an_unknown_variable_of_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEWISE_FOLDS__N_FOLD", "3")
    assert "variable SAMEWISE_FOLDS__N_FOLD. Did you mean 'n_folds'?" in str(error_of())
    monkeypatch.delenv("SAMEWISE_FOLDS__N_FOLD")
    monkeypatch.setenv("SAMEWISE_THREDS", "3")
    assert "variable SAMEWISE_THREDS. Did you mean 'threads'?" in str(error_of())


def test_the_debug_variable_is_not_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEWISE_DEBUG", "1")
    assert load_settings() == Settings()


def test_an_unknown_override_is_an_error() -> None:
    assert "--set sed. Did you mean 'seed'?" in str(error_of("sed=3"))
    assert "KEY=VALUE" in str(error_of("seed"))
    assert "no table" in str(error_of("folds.n_folds.x=1")) or "folds.n_folds" in str(
        error_of("folds.n_folds.x=1")
    )


@pytest.mark.parametrize(
    ("text", "key", "found", "expected"),
    [
        ("seed = '42'", "'seed'", "'42'", "whole number"),
        ("seed = 4.2", "'seed'", "4.2", "whole number"),
        ("seed = true", "'seed'", "True", "whole number"),
        ("threads = 0", "'threads'", "0", "greater than or equal to 1"),
        ("memory_gib = '8'", "'memory_gib'", "'8'", "number"),
        ("backend = 'dask'", "'backend'", "'dask'", "'processes' or 'inline'"),
        ("competition = 3", "'competition'", "3", "text in quotes"),
        ("store = 3", "'store'", "3", "text in quotes"),
        ("folds = 3", "'folds'", "3", "table"),
        ("[folds]\nn_folds = 'three'", "'folds.n_folds'", "'three'", "whole number"),
        ("[features]\ninclude = 'a*'", "'features.include'", "'a*'", "list"),
        ("[features]\ninclude = ['a', 3]", "'features.include'", "3", "text in quotes"),
        ("[features]\ntransductive = 1", "'features.transductive'", "1", "true or false"),
        ("[models]\nals = 3", "'models.als'", "3", "table"),
    ],
)
def test_a_wrong_type_names_key_value_and_what_was_expected(
    text: str, key: str, found: str, expected: str
) -> None:
    write(text)
    error = error_of()
    assert f"Setting {key} in config.toml is {found}." in error.found
    assert expected in error.expected


def test_all_mistakes_are_told_at_once() -> None:
    write("sead = 1\nthreads = 'x'\n")
    assert {"'sead'", "'threads'"} <= set(str(error_of()).replace(".", " ").split())


def test_a_broken_file_names_the_line() -> None:
    write("seed = 1\nthreads = = 2\n")
    assert "line 2" in str(error_of())


def test_a_file_that_is_no_text_or_not_there_is_a_message() -> None:
    Path("config.toml").write_bytes(b"seed = '\xff'")
    assert "not valid TOML" in str(error_of())
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(Path("absent.toml"))


def test_the_config_of_the_repository_is_valid_and_says_the_defaults() -> None:
    settings = load_settings(Path(__file__).parents[2] / "config.toml")
    without_tables = settings.model_copy(update={"models": {}, "blenders": {}})
    assert without_tables == Settings()
    assert settings.blenders == {"score_weights": {"kind": "weights", "of": "scores"}}
    assert {"popularity", "als", "channel_net", "catboost"} <= set(settings.models)


@examples(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 99))
def test_numbers_come_back_as_they_were_written(seed: int, n_folds: int) -> None:
    settings = load_settings(None, [f"seed={seed}", f"folds.n_folds={n_folds}"])
    assert (settings.seed, settings.folds.n_folds) == (seed, n_folds)
