"""Pure tasks, run in worker processes or in this one."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from engine._code import REPOSITORY, module_file
from engine._console import stage_progress
from engine._errors import SamewiseError, TaskError
from engine._lazy import loaded_at
from engine._store import Recipe, Store

if TYPE_CHECKING:
    from engine._settings import Settings

_PR_SET_PDEATHSIG = 1
_PATIENCE = 0.5  # seconds between two looks at the parent
_BLAS = [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR")]
_VARIABLES = [*_BLAS, "VECLIB_MAXIMUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"]

log = logging.getLogger("engine.tasks")

_looked_at: set[str] = set()  # modules of this worker that are as old as the parent's


@dataclass(frozen=True)
class Job:
    """A call: a module-level function and its arguments, which a worker process can receive."""

    name: str
    run: Callable[..., Any]
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Task:
    """An artifact to make: ``build(folder, *args)`` writes its files; ``build`` is a module-level function."""

    recipe: Recipe
    build: Callable[..., None]
    args: tuple[Any, ...] = ()


def run_jobs(
    title: str, jobs: Sequence[Job], settings: Settings, *, n_found: int = 0, threads_per_job: int = 1
) -> list[Any]:
    """Run the jobs and return their results in the order of the jobs.

    Worker processes (loky, never fork) are used when the backend is ``processes`` and there is more than one job
    and room for more than one worker: ``settings.threads // threads_per_job``. A single job gets all threads.

    Raises
    ------
    SamewiseError
        As the job raised it.
    TaskError
        For any other exception of a job, named and with its traceback as a note, and for a worker that died.
    """
    n_workers = max(1, min(len(jobs), settings.threads // threads_per_job))
    if settings.backend == "inline":
        n_workers = 1
    results: dict[int, Any] = {}
    failed: SamewiseError | None = None
    with stage_progress(title, [j.name for j in jobs], n_found=n_found, n_workers=n_workers) as stage:
        if n_workers == 1:
            outcomes = _run_inline(jobs, settings.threads)
        else:
            outcomes = _run_in_processes(jobs, n_workers, threads_per_job)
        for outcome in outcomes:
            if outcome.error is None:
                results[outcome.number] = outcome.result
                stage.advance(outcome.number)
            failed = failed or outcome.error
        if failed is not None:
            raise failed
    return [results[number] for number in range(len(jobs))]


def run_tasks(
    title: str, tasks: Sequence[Task], store: Store, settings: Settings, *, threads_per_job: int = 1
) -> list[Path]:
    """Return the folders of the tasks' artifacts: those in the store are found, the others made."""
    found = [store.find(task.recipe) for task in tasks]
    missing = [task for task, folder in zip(tasks, found, strict=True) if folder is None]
    jobs = [Job(task.recipe.name, _make, (store, task)) for task in missing]
    n_found = len(tasks) - len(jobs)
    made = iter(run_jobs(title, jobs, settings, n_found=n_found, threads_per_job=threads_per_job))
    return [folder or next(made) for folder in found]


def _make(store: Store, task: Task) -> Path:
    return store.make(task.recipe, lambda folder: task.build(folder, *task.args))


@contextmanager
def capped_threads(n_threads: int) -> Iterator[None]:
    """Cap BLAS and OpenMP for the time of the block, in libraries that are loaded and in those that it loads."""
    before = {name: os.environ.get(name) for name in _BLAS}
    os.environ.update(dict.fromkeys(_BLAS, str(n_threads)))
    try:
        with threadpool_limits(limits=n_threads):
            yield
    finally:
        for name in _BLAS:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _run_inline(jobs: Sequence[Job], n_threads: int) -> Iterator[Outcome]:
    with capped_threads(n_threads):
        for number, job in enumerate(jobs):
            outcome = attempt(number, job.name, job.run, job.args, loaded=None)
            yield outcome
            if outcome.error is not None:
                return


def _run_in_processes(jobs: Sequence[Job], n_workers: int, n_threads: int) -> Iterator[Outcome]:
    """Run the jobs side by side; those of a worker that died are tried once more, each alone, before the others."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    waiting, begun, has_failed = list(enumerate(jobs)), dict[int, Job](), False

    def handed_out() -> Iterator[tuple[int, Job]]:
        """Hand out the jobs until one has failed; those that run by then end and keep what they made."""
        while waiting and not has_failed:
            number, job = waiting.pop(0)
            begun[number] = job
            yield number, job

    while (waiting or begun) and not has_failed:
        try:
            for outcome in _pooled(handed_out(), n_workers, n_threads):
                has_failed = has_failed or outcome.error is not None
                del begun[outcome.number]
                yield outcome
        except BrokenProcessPool:
            names = ", ".join(job.name for job in begun.values())
            log.warning("A worker process died. What ran is tried once more, one after the other: %s.", names)
            for number, job in list(begun.items()):
                outcome = _alone(number, job, n_threads)
                has_failed = has_failed or outcome.error is not None
                del begun[number]
                yield outcome


def _alone(number: int, job: Job, n_threads: int) -> Outcome:
    """Run a job in a worker while no other does. Raises TaskError if that dies, too."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    try:
        return next(_pooled(iter([(number, job)]), 2, n_threads))
    except BrokenProcessPool as error:
        raise TaskError(
            f"A worker process died in task {job.name!r}, among others and again alone.",
            expected="enough memory for it: the system ends processes when it runs out",
            todo="close other programs, lower `memory_gib` or `partition_rows` in config.toml, and run again",
        ) from error


def _pooled(jobs: Iterator[tuple[int, Job]], n_workers: int, n_threads: int) -> Iterator[Outcome]:
    """Run jobs in worker processes, as many as there are, and give what became of each as it ends."""
    from joblib import Parallel, delayed

    parallel = Parallel(
        n_jobs=n_workers,
        backend="loky",
        batch_size=1,
        pre_dispatch="n_jobs",
        max_nbytes=None,  # joblib would pickle larger arrays to disk
        return_as="generator_unordered",
        inner_max_num_threads=n_threads,
        initializer=start_worker,
        initargs=(os.getpid(), n_threads),
    )
    yield from parallel(delayed(attempt)(n, job.name, job.run, job.args, loaded_at()) for n, job in jobs)


@dataclass(frozen=True)
class Outcome:
    """What became of one job: its number and its result, or the error that it ended with."""

    number: int
    result: Any = None
    error: SamewiseError | None = None


def start_worker(parent: int, n_threads: int) -> None:
    """Cap the threads of libraries not imported yet, and end with the parent however the parent ends."""
    os.environ.update(dict.fromkeys(_VARIABLES, str(n_threads)))
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
        text = str(error).strip() or "no message"
        failed = TaskError(
            f"Task {name!r} failed with {type(error).__name__}: {text}",
            todo="mend what it names; --debug shows where it happened",
        )
        failed.add_note(traceback.format_exc())
        return Outcome(number, error=failed)


def refuse_newer_code(loaded: int, *, again: bool = False) -> None:
    """Refuse to run code that was edited after the parent loaded its own.

    A worker that starts late would read the edited file, and store its results under the key of the old code.
    ``again``: look at files that were looked at before, too; they may have been imported anew.
    Raises TaskError that names the file.
    """
    for name, module in list(sys.modules.items()):
        if name in _looked_at and not again:
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
