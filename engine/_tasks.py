"""Pure tasks, run in worker processes or in this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool

from engine._errors import SamewiseError, TaskError
from engine._progress import Stage, stage_progress
from engine._settings import Settings
from engine._store import Recipe, Store
from engine._threads import capped_threads
from engine._worker import Outcome, attempt, loaded_at, start_worker


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
    names = [job.name for job in jobs]
    with stage_progress(title, names, n_found=n_found, n_workers=n_workers) as stage:
        outcomes = (
            _run_inline(jobs, settings.threads)
            if n_workers == 1
            else _run_in_processes(jobs, n_workers, threads_per_job, stage)
        )
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
    found = {number: store.find(task.recipe) for number, task in enumerate(tasks)}
    missing = [number for number, folder in found.items() if folder is None]
    jobs = [Job(tasks[number].recipe.name, _make, (store, tasks[number])) for number in missing]
    made = run_jobs(title, jobs, settings, n_found=len(tasks) - len(jobs), threads_per_job=threads_per_job)
    folders = {**found, **dict(zip(missing, made, strict=True))}
    return [folder for number in range(len(tasks)) if (folder := folders[number]) is not None]


def _make(store: Store, task: Task) -> Path:
    return store.make(task.recipe, lambda folder: task.build(folder, *task.args))


def _run_inline(jobs: Sequence[Job], n_threads: int) -> Iterator[Outcome]:
    with capped_threads(n_threads):
        for number, job in enumerate(jobs):
            outcome = attempt(number, job.name, job.run, job.args, loaded=None)
            yield outcome
            if outcome.error is not None:
                return


def _run_in_processes(jobs: Sequence[Job], n_workers: int, n_threads: int, stage: Stage) -> Iterator[Outcome]:
    has_failed = False

    def waiting() -> Iterator[Any]:
        """Hand out the jobs until one has failed; those that run by then end and keep what they made."""
        for number, job in enumerate(jobs):
            if has_failed:
                return
            yield delayed(attempt)(number, job.name, job.run, job.args, loaded_at())

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
    try:
        for outcome in parallel(waiting()):
            has_failed = has_failed or outcome.error is not None
            yield outcome
    except BrokenProcessPool as error:
        raise TaskError(
            f"A worker process died while these tasks were running: {', '.join(stage.running)}.",
            expected="enough memory for them: the system ends processes when it runs out",
            todo="lower `threads` or `memory_gib` in config.toml, close other programs, and run again",
        ) from error
