"""What a worker process does before and around its tasks."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine._code import REPOSITORY, module_file
from engine._errors import SamewiseError, TaskError
from engine._threads import cap_threads_at_start

_PR_SET_PDEATHSIG = 1
_PATIENCE = 0.5  # seconds between two looks at the parent


_looked_at: set[str] = set()  # modules of this worker that are as old as the parent's


@cache
def loaded_at() -> int:
    """When this process began to load its code, in nanoseconds since 1970.

    Not a constant: digests of code hold constants by their values, and would be others in every process.
    """
    return time.time_ns()


loaded_at()


@dataclass(frozen=True)
class Outcome:
    """What became of one job: its number and its result, or the error that it ended with."""

    number: int
    result: Any = None
    error: SamewiseError | None = None


def start_worker(parent: int, n_threads: int) -> None:
    """Cap the threads of libraries to come, and end with the parent however the parent ends."""
    cap_threads_at_start(n_threads)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), name="watch-parent", daemon=True).start()


def _watch(parent: int) -> None:
    """End this process once its parent is gone: where the kernel sends no signal, or had none to send yet."""
    while os.getppid() == parent:
        time.sleep(_PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)


def attempt(
    number: int, name: str, run: Callable[..., Any], args: tuple[Any, ...], loaded: int | None
) -> Outcome:
    """Run one job; any error becomes one that survives the way to the parent.

    ``loaded``: when the parent began to load its code, in nanoseconds since 1970; None in the parent itself.
    """
    try:
        if loaded is not None:
            refuse_newer_code(loaded)
        return Outcome(number, run(*args))
    except SamewiseError as error:
        error.add_note(f"In task {name!r}:\n{traceback.format_exc()}")
        return Outcome(number, error=error)
    except (Exception, SystemExit) as error:
        return Outcome(number, error=task_error(name, error))


def refuse_newer_code(loaded: int) -> None:
    """Refuse to run code that was edited after the parent loaded its own.

    A worker that starts late would read the edited file, and store its results under the key of the old code.
    Raises TaskError that names the file.
    """
    for name, module in list(sys.modules.items()):
        if name in _looked_at:
            continue
        _looked_at.add(name)
        path = module_file(module, REPOSITORY)
        # Times in the future come from archives and wrong clocks, not from an edit.
        if path is not None and loaded < path.stat().st_mtime_ns <= time.time_ns():
            raise TaskError(
                f"{path.relative_to(REPOSITORY)} was edited after this run had started.",
                expected="code that stays as it is while a run goes on",
                todo="run again: what is finished is kept",
            )


def task_error(name: str, cause: BaseException) -> TaskError:
    """Say what failed and why; the cause's traceback rides along as a note."""
    text = str(cause).strip() or "no message"
    error = TaskError(
        f"Task {name!r} failed with {type(cause).__name__}: {text}",
        todo="mend what it names; --debug shows where it happened",
    )
    error.add_note("".join(traceback.format_exception(cause)))
    return error
