"""The typed settings: defaults < config.toml < environment ``SAMEWISE_*`` < command line ``--set key=value``."""

from __future__ import annotations

import errno
import os
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError
from pydantic_core import PydanticCustomError

from engine._errors import ConfigError, did_you_mean

Count = Annotated[StrictInt, Field(ge=1, le=2**53)]
Distance = Annotated[StrictInt, Field(ge=0, le=2**53)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]


def _existing_or_not(folder: Path) -> Path:
    """Refuse what can be no folder on any disk: the reason would come late, and from the depth of a library."""
    try:
        folder.stat()
    except ValueError:
        raise PydanticCustomError("folder", "a folder whose name holds no null character") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise PydanticCustomError(
                "folder", "a folder, and not: {reason}", {"reason": error.strerror}
            ) from None
    return folder


Folder = Annotated[Path, AfterValidator(_existing_or_not)]
Table = dict[str, Any]  # nested, as TOML gives it
Place = tuple[str, Table]  # where settings are written, as a user finds it, and what is set there

_PREFIX = "SAMEWISE_"
_NOT_SETTINGS = frozenset({"SAMEWISE_DEBUG"})  # read by run_room before there are settings
_EXPECTED: Mapping[str, str] = {
    "int_type": "a whole number, for example 3",
    "float_type": "a number, for example 8.0",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "path_type": "a folder as a text in quotes",
    "tuple_type": 'a list, for example ["a*", "b*"]',
    "dict_type": "a table, for example [models.popularity]",
    "model_type": "a table, for example [folds]",
    "model_attributes_type": "a table, for example [folds]",
}


class _Group(BaseModel):
    """Settings that cannot be changed once read, and that know all their keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FoldSettings(_Group):
    """How the log is cut into train and eval windows.

    ``horizon`` and ``gap`` are in clock units (microseconds, rows or steps). None = the competition's own, for these
    and for the number of train windows.
    """

    n_folds: Count = 3
    n_train_windows: Count | None = None
    horizon: Count | None = None
    gap: Distance | None = None


class FeatureSettings(_Group):
    """Which feature columns the models see: shell patterns over column names.

    ``transductive = false`` leaves out features that look at the other pairs shown.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    transductive: StrictBool = True


class SampleSettings(_Group):
    """Shares for quick looks. Of users: a smaller data set of its own. Of pairs: exact values for fewer of them."""

    users: Share = 1.0
    pairs: Share = 1.0


class TrainingSettings(_Group):
    """Which pairs of the train windows a model is fitted on.

    ``users``: share of the (window, user) groups that are kept whole. ``ignored``: share of the pairs labelled
    zero that are kept; they then weigh ``1 / ignored``, where the model takes weights.
    """

    users: Share = 1.0
    ignored: Share = 1.0


class PrerankSettings(_Group):
    """The model that cuts what the others see: each group's best ``keep`` share by its scores."""

    model: str
    keep: Share


class Settings(_Group):
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
    prerank
        The model that is fitted first, and the share that it leaves to the others; None = they see all.
    """

    competition: str = "movielens"
    data: Folder = Path("data")
    store: Folder = Path("store")
    reports: Folder = Path("reports")
    runs: Folder = Path("runs")
    out: Folder = Path("submissions/out")
    seed: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 42
    threads: Annotated[StrictInt, Field(ge=1, le=4_096)] = 2
    memory_gib: Annotated[float, Field(gt=0, le=2**20, strict=True)] = 8.0
    partition_rows: Annotated[StrictInt, Field(ge=1_000, le=2**31)] = 5_000_000
    backend: Literal["processes", "inline"] = "processes"
    folds: FoldSettings = FoldSettings()
    features: FeatureSettings = FeatureSettings()
    sample: SampleSettings = SampleSettings()
    training: TrainingSettings = TrainingSettings()
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    blenders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    blender: str = "auto"
    prerank: PrerankSettings | None = None


def load_settings(path: Path | None = None, overrides: Sequence[str] = ()) -> Settings:
    """Read the settings from the file, the environment and the command line, the later winning.

    Parameters
    ----------
    path
        The TOML file; None = ``config.toml`` in the working directory, or the defaults if there is none.
    overrides
        Texts ``key=value`` from the command line; the key is dotted (``folds.n_folds=5``), the value TOML. A table
        that is given whole (``models={}``) takes the place of the file's.

    Raises
    ------
    ConfigError
        For a missing or broken file, an unknown key anywhere (the nearest valid one is named), a wrong type.
    """
    file = _read_file(path)
    variables = [
        _read_variable(*item, file[1]) for item in sorted(os.environ.items()) if _is_setting(item[0])
    ]
    places = [file, *variables, *map(_read_override, overrides)]
    values: Table = {}
    for _, table in places:
        values = _merged(values, table)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _explained(error, places[::-1]) from error


def _read_file(path: Path | None) -> Place:
    file = path or Path("config.toml")
    if path is None and not file.exists():
        return str(file), {}
    try:
        return str(file), tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        todo = "name an existing file after --config"
        raise ConfigError(f"The settings file {file} cannot be read: {error.strerror}.", todo=todo) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        todo = "mend that line; texts need quotes, tables are [in brackets]"
        raise ConfigError(f"{file} is not valid TOML: {error}", todo=todo) from error


def _is_setting(variable: str) -> bool:
    return variable.upper().startswith(_PREFIX) and variable.upper() not in _NOT_SETTINGS


def _read_variable(name: str, text: str, file: Any) -> Place:
    """Read ``SAMEWISE_FOLDS__N_FOLDS=5`` as ``folds.n_folds = 5``.

    Variables are written in capitals: a key that the file has is spelled as it is there.
    """
    path = []
    for step in name[len(_PREFIX) :].split("__"):
        known = file if isinstance(file, dict) else {}
        path.append(next((key for key in known if key.lower() == step.lower()), step.lower()))
        file = known.get(path[-1])
    return f"the environment variable {name}", _read_value(path, text)


def _read_override(text: str) -> Place:
    key, equals, value = text.partition("=")
    path = [step.strip() for step in key.split(".")]
    if not equals or not all(path):
        raise ConfigError(
            f"--set {text!r} is not a setting.", expected="KEY=VALUE, for example folds.n_folds=5"
        )
    return f"--set {'.'.join(path)}", _read_value(path, value)


class _Whole(dict[str, Any]):
    """A table that is given as one value, ``models={}``: it takes the place of what was there before."""


def _read_value(path: Sequence[str], text: str) -> Table:
    """Read a value as TOML, as the text that it is, or ``none`` as null: the first that the setting may be."""
    readings: list[Any] = [text]
    with suppress(tomllib.TOMLDecodeError):
        value = tomllib.loads(f"value = {text}")["value"]
        readings = [value, *([] if isinstance(value, str) else readings)]
    if text.strip().lower() == "none":  # TOML has no word for it
        readings.append(None)
    tables = [_nested(path, _Whole(value) if isinstance(value, dict) else value) for value in readings]
    return next(filter(_is_valid, tables), tables[0])


def _nested(path: Sequence[str], value: Any) -> Table:
    first, *rest = path
    return {first: _nested(rest, value) if rest else value}


def _is_valid(table: Table) -> bool:
    try:
        Settings.model_validate(table)
    except ValidationError:
        return False
    return True


def _merged(below: Table, above: Table) -> Table:
    """Lay one nested table over another, key by key; the order of ``below`` stays, new keys follow."""
    merged = dict(below)
    for key, value in above.items():
        old = None if isinstance(value, _Whole) else merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _explained(error: ValidationError, places: Sequence[Place]) -> ConfigError:
    """Turn a validation error into one message that names key, place, value and what was expected."""
    lines, expected, todo = [], "", ""
    for number, detail in enumerate(error.errors()):
        path = [step for step in detail["loc"] if isinstance(step, str)]
        key, place = ".".join(path), _place(path, places)
        if detail["type"] == "extra_forbidden":
            known = _known(path[:-1])
            lines.append(f"Unknown setting {key!r} in {place}.{did_you_mean(path[-1], known)}")
            wanted = "one of " + ", ".join(known)
        elif detail["type"] == "missing":
            lines.append(f"Setting {key!r} is not set in {place}.")
            wanted = f"a value for {key}"
        else:
            lines.append(f"Setting {key!r} in {place} is {detail['input']!r}.")
            wanted = _EXPECTED.get(detail["type"], detail["msg"].removeprefix("Input should be "))
        if number == 0:
            expected, todo = wanted, f"correct {place}"
    return ConfigError("\n".join(lines), expected=expected, todo=todo)


def _place(path: Sequence[str], places: Sequence[Place]) -> str:
    """The place that sets the key at ``path``, or what it lies in; the first of the places wins."""
    for n in range(len(path), 0, -1):
        for place, table in places:
            if _holds(table, path[:n]):
                return place
    return "the settings"


def _holds(table: Any, path: Sequence[str]) -> bool:
    """Whether a nested table has the key at ``path``."""
    return not path or (isinstance(table, dict) and path[0] in table and _holds(table[path[0]], path[1:]))


def _known(path: Sequence[str]) -> list[str]:
    """The valid keys of the table at ``path``."""
    kind: Any = Settings
    for step in path:
        kind = kind.model_fields[step].annotation
        kind = next((k for k in get_args(kind) if k is not type(None)), kind)  # a table or none
    return list(kind.model_fields)
