"""What the command lines of all rooms have in common."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.logging import RichHandler
from rich.text import Text

from engine._console import console
from engine._errors import SamewiseError

if TYPE_CHECKING:
    from engine._settings import Settings

_WITH_VALUE = ("--config", "--set", "--sample-users", "--sample-pairs")
_MAIN = "run by run_room"


@dataclass
class _Invocation:
    """The options before the command; the settings are read when a command first asks for them."""

    config: Path | None
    overrides: Sequence[str]
    is_main: bool
    settings: Settings | None = None


def room_app(help: str) -> typer.Typer:
    """Make a room's command line with the options ``--config``, ``--set``, ``--sample-...`` and ``--debug``."""
    app = typer.Typer(help=help, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

    @app.callback()
    def common(
        ctx: typer.Context,
        config: Annotated[Path | None, typer.Option(help="Settings file instead of ./config.toml.")] = None,
        overrides: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; repeatable."),
        ] = None,
        sample_users: Annotated[
            float | None, typer.Option(help="Quick look: a smaller data set of this share of the users.")
        ] = None,
        sample_pairs: Annotated[
            float | None,
            typer.Option(help="Quick look: the same values, for this share of the pairs' users."),
        ] = None,
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    ) -> None:
        if debug:
            os.environ["SAMEWISE_DEBUG"] = "1"
        shares = {"users": sample_users, "pairs": sample_pairs}
        samples = [f"sample.{name}={float(share)}" for name, share in shares.items() if share is not None]
        ctx.obj = _Invocation(config, (*(overrides or ()), *samples), is_main=ctx.obj is _MAIN)

    return app


def settings_of(ctx: typer.Context) -> Settings:
    """The settings of this call of a room's command, read once. Raises ConfigError."""
    from engine._settings import load_settings

    invocation = ctx.obj
    if not isinstance(invocation, _Invocation):
        return load_settings()
    if invocation.settings is None:
        invocation.settings = load_settings(invocation.config, invocation.overrides)
        if invocation.is_main:
            _cap_polars(invocation.settings.threads)
    return invocation.settings


def _cap_polars(n_threads: int) -> None:
    """Let Polars take no more threads than the settings allow.

    It fixes them when it is imported. Where that was before the settings were read, this process starts anew.
    """
    polars = sys.modules.get("polars")
    n_taken = polars.thread_pool_size() if polars else os.cpu_count() or 1
    if "POLARS_MAX_THREADS" in os.environ or n_taken <= n_threads:
        return
    if polars is None:
        os.environ["POLARS_MAX_THREADS"] = str(n_threads)
        return
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, "POLARS_MAX_THREADS": str(n_threads)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def run_room(app: typer.Typer) -> None:
    """Run a room's command line: an error becomes one message on stderr and exit code 1.

    The traceback is shown with ``--debug`` or ``SAMEWISE_DEBUG=1``. The common options may also stand after the
    command.
    """
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=console, show_path=False)]
    )
    try:
        app(args=_common_options_first(sys.argv[1:]), obj=_MAIN)
    except SamewiseError as error:
        _fail(str(error))
    except Exception as error:
        _fail(f"Unexpected {type(error).__name__}: {error}\nTo do: --debug shows where it happened")


def _fail(message: str) -> None:
    if os.environ.get("SAMEWISE_DEBUG", "") not in ("", "0"):
        console.print_exception()
    console.print(Text("Error: ", style="bold red") + Text(message), soft_wrap=True)
    raise SystemExit(1)


def as_typed(arguments: str) -> str:
    """Give ``python ARGUMENTS`` as it can be typed here: by the path of .venv unless it is activated."""
    activated = os.environ.get("VIRTUAL_ENV")
    if activated and Path(activated).resolve() == Path(sys.prefix).resolve():
        return f"python {arguments}"
    python = Path(sys.executable)
    return f"{python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else 'python'} {arguments}"


def _common_options_first(arguments: Sequence[str]) -> list[str]:
    """Move the common options (``--config``, ``--set``, ``--sample-...``, ``--debug``) before the command.

    >>> _common_options_first(["cv", "--set", "seed=1", "--json"])
    ['--set', 'seed=1', 'cv', '--json']
    """
    first: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            rest += [argument, *waiting]
            break
        is_common = argument == "--debug" or argument.partition("=")[0] in _WITH_VALUE
        (first if is_common else rest).append(argument)
        if argument in _WITH_VALUE and waiting:
            first.append(waiting.pop(0))
    return first + rest
