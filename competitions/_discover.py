"""Find the competitions: every plain file of the room is imported, and what it defines is registered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import competitions as room
from competitions._competition import Competition
from competitions._declaration import check_declaration
from competitions._opened_files import opened_files
from engine import ConfigError, DataError, did_you_mean, import_plain_files


def competitions() -> Mapping[str, Competition]:
    """Return every competition of the room by its name, sorted.

    A competition is an instance of ``Competition`` at the top of a file whose name does not start with ``_``.

    Raises
    ------
    DataError
        A file cannot be imported, two files give the same name, or a competition contradicts itself; the message
        names the files.
    """
    found: dict[str, tuple[Competition, str]] = {}
    with opened_files() as opened:
        modules = import_plain_files(room.__path__, room.__name__, error=DataError)
    if data := opened.unnamed((), folder=Path(os.devnull)):
        raise DataError(
            f"A file of competitions/ reads {', '.join(map(str, data))} while it is imported.",
            expected="data to be read by read(), from files that files() names: their contents are hashed",
            todo="move it into read() of the competition",
        )
    for module in modules:
        for competition in {id(v): v for v in vars(module).values() if isinstance(v, Competition)}.values():
            _register(found, competition, module)
    return {name: found[name][0] for name in sorted(found)}


def get_competition(name: str) -> Competition:
    """Return a competition by its name. Raises ConfigError, naming the nearest, if there is none of that name."""
    known = competitions()
    if name not in known:
        raise ConfigError(
            f"There is no competition {name!r}.{did_you_mean(name, known)}",
            expected=f"one of {', '.join(known) or 'none'}",
            todo="set `competition` in config.toml, or write competitions/" + name + ".py",
        )
    return known[name]


def _register(
    found: dict[str, tuple[Competition, str]], competition: Competition, module: ModuleType
) -> None:
    check_declaration(competition)
    file = Path(str(module.__file__)).name
    name = competition.name
    if name in found:
        other, first = found[name]
        if other is competition:
            return  # one file imports the competition of another
        raise DataError(
            f"Two competitions are called {name!r}: one in {first}, one in {file}.",
            expected="different names",
            todo=f"change `name` in one of them, e.g. to {Path(file).stem!r}",
        )
    found[name] = (competition, file)
