"""Settings: three places, one order, and errors that name the key, the place and the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import ConfigError, Settings, load_settings


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str | bytes) -> None:
    Path("config.toml").write_bytes(text.encode() if isinstance(text, str) else text)


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
        None,
        [
            "features.include=['a*', 'b*']",
            "store=some/where",
            "competition=2024",
            "folds.gap=none",
            f"seed={2**32 - 1}",
        ],
    )
    assert settings.seed == 2**32 - 1
    assert settings.features.include == ("a*", "b*")
    assert settings.store == Path("some/where")
    assert settings.competition == "2024"
    assert settings.folds.gap is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sead = 1", "Unknown setting 'sead' in config.toml. Did you mean 'seed'?"),
        ("[folds]\nn_fold = 1", "'folds.n_fold' in config.toml. Did you mean 'n_folds'?"),
        ("[features]\nincludes = []", "'features.includes' in config.toml. Did you mean 'include'?"),
        ("[model.als]\n", "'model' in config.toml. Did you mean 'models'?"),
        ("sead = 1\nthreads = 'x'\n", "Unknown setting 'sead'"),
        ("sead = 1\nthreads = 'x'\n", "Setting 'threads'"),
        ("seed = 1\nthreads = = 2\n", "line 2"),
        (b"seed = '\xff'", "not valid TOML"),
    ],
)
def test_every_mistake_of_a_file_is_told(text: str | bytes, message: str) -> None:
    write(text)
    assert message in str(error_of())


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(Path("absent.toml"))


@pytest.mark.parametrize(
    ("variable", "near"), [("SAMEWISE_FOLDS__N_FOLD", "n_folds"), ("SAMEWISE_THREDS", "threads")]
)
def test_an_unknown_variable_of_the_environment_is_an_error(
    monkeypatch: pytest.MonkeyPatch, variable: str, near: str
) -> None:
    monkeypatch.setenv(variable, "3")
    assert f"variable {variable}. Did you mean '{near}'?" in str(error_of())


def test_the_debug_variable_is_not_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEWISE_DEBUG", "1")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sed=3", "--set sed. Did you mean 'seed'?"),
        ("seed", "KEY=VALUE"),
        ("folds.n_folds.x=1", "folds.n_folds"),
    ],
)
def test_a_wrong_override_is_an_error(override: str, message: str) -> None:
    assert message in str(error_of(override))


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


def test_the_config_of_the_repository_is_valid_and_says_the_defaults() -> None:
    settings = load_settings(Path(__file__).parents[2] / "config.toml")
    without_tables = settings.model_copy(update={"models": {}, "blenders": {}})
    assert without_tables == Settings()
    assert settings.blenders == {"score_weights": {"kind": "weights", "of": "scores"}}
    assert {"popularity", "taste", "channel_net", "catboost"} <= set(settings.models)


@pytest.mark.parametrize("value", ['"a\\u0000b"', f'"{"x" * 300}"'])
@pytest.mark.parametrize("name", ["data", "store", "reports", "runs", "out"])
def test_a_folder_that_cannot_be_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"Setting '{name}'") as refused:
        load_settings(None, [f"{name}={value}"])
    assert refused.value.expected.startswith("a folder")


def test_a_loop_of_links_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="Setting 'store'"):
        load_settings(None, [f'store="{tmp_path / "loop"}"'])


def test_a_table_that_may_be_missing_is_read_from_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    write('prerank = { model = "a", keep = 0.3 }\n')
    monkeypatch.setenv("SAMEWISE_PRERANK__KEEP", "0.5")
    found = load_settings(None, ["prerank.model=b"]).prerank
    assert found is not None
    assert (found.model, found.keep) == ("b", 0.5)
    assert load_settings(None, ["prerank=none"]).prerank is None
    assert "Did you mean 'keep'" in str(error_of("prerank.kep=1"))


def test_a_value_that_must_be_set_is_named() -> None:
    text = str(error_of('prerank={model="a"}'))
    assert "Setting 'prerank.keep' is not set in --set prerank." in text
    assert "a value for prerank.keep" in text
