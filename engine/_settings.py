"""The typed settings: defaults < config.toml < environment ``SAMEWISE_*`` < command line ``--set key=value``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from engine._overrides import environment_layer, file_layer, override_layer
from engine._settings_errors import explain_errors

Count = Annotated[StrictInt, Field(ge=1)]
Distance = Annotated[StrictInt, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]


class FoldSettings(BaseModel):
    """How the log is cut into train and eval windows.

    ``horizon`` and ``gap`` are in clock units (microseconds, rows or steps). None = the competition's own, for these
    and for the number of train windows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_folds: Count = 3
    n_train_windows: Count | None = None
    horizon: Count | None = None
    gap: Distance | None = None


class FeatureSettings(BaseModel):
    """Which feature columns the models see: shell patterns over column names.

    ``transductive = false`` leaves out features that look at the other pairs shown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    transductive: StrictBool = True


class SampleSettings(BaseModel):
    """Shares for quick looks. Of users: a smaller data set of its own. Of pairs: exact values for fewer of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: Share = 1.0
    pairs: Share = 1.0


class TrainingSettings(BaseModel):
    """Which pairs of the train windows a model is fitted on.

    ``users``: share of the (window, user) groups that are kept whole. ``ignored``: share of the pairs labelled
    zero that are kept; they then weigh ``1 / ignored``, where the model takes weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: Share = 1.0
    ignored: Share = 1.0


class Settings(BaseSettings):
    """Everything a user sets.

    ``Settings(...)`` takes its arguments and the defaults only; ``load_settings`` reads the file, the environment
    and the command line.

    Attributes
    ----------
    data, store, reports, runs, out
        Folders; relative ones are relative to the working directory.
    threads
        CPU threads in all: worker processes times threads of each.
    memory_gib
        Memory budget in GiB, of all processes together.
    partition_rows
        Rows of one partition of the log: what is in memory at a time.
    backend
        ``processes`` (joblib's loky) or ``inline`` (this process, for debuggers).
    models
        ``[models.NAME]`` tables: ``kind`` (default: the name) and parameters, in the order of the file.
    blenders
        ``[blenders.NAME]`` tables, likewise. Every kind is used with its defaults unless a table says otherwise.
    blender
        ``auto``, or the name of a blend or model to force.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    competition: str = "movielens"
    data: Path = Path("data")
    store: Path = Path("store")
    reports: Path = Path("reports")
    runs: Path = Path("runs")
    out: Path = Path("submissions/out")
    seed: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 42
    threads: Count = 2
    memory_gib: Annotated[float, Field(gt=0, strict=True)] = 8.0
    partition_rows: Annotated[StrictInt, Field(ge=1_000)] = 5_000_000
    backend: Literal["processes", "inline"] = "processes"
    folds: FoldSettings = FoldSettings()
    features: FeatureSettings = FeatureSettings()
    sample: SampleSettings = SampleSettings()
    training: TrainingSettings = TrainingSettings()
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    blenders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    blender: str = "auto"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments only, so that ``Settings()`` means the same on every machine."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def load_settings(path: Path | None = None, overrides: Sequence[str] = ()) -> Settings:
    """Read the settings from the file, the environment and the command line, the later winning.

    Parameters
    ----------
    path
        The TOML file; None = ``config.toml`` in the working directory, or the defaults if there is none.
    overrides
        Texts ``key=value`` from the command line; the key is dotted (``folds.n_folds=5``), the value TOML.

    Raises
    ------
    ConfigError
        For a missing or broken file, an unknown key anywhere (the nearest valid one is named), a wrong type.
    """
    file = file_layer(path)
    layers = [file, environment_layer(Settings, os.environ, file), override_layer(Settings, overrides)]
    values: dict[str, Any] = {}
    for layer in layers:
        values = _merged(values, layer.values)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise explain_errors(error, Settings, layers[::-1]) from error


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one nested table over another; the order of ``below`` stays, new keys follow."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
