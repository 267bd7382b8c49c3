"""Compute what is missing in the store: aggregates of all windows in one pass, then bodies, then per-pair columns."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from competitions import Dataset
from engine import Job, Settings, Store, run_jobs, stage_progress
from features._aggregation import LIMITS, Limits, Work, compute_aggregates, make_plan
from features._catalogue import AggregateBody, Catalogue, FeatureColumn, PairBody
from features._compute.memory import body_gib, pairs_gib, tell_if_too_large, threads_per_job
from features._compute.streams import Stream, checkpoints_of, learner_name
from features._compute.windows import body_values, pair_values, shown
from features._storage import StoredTable, Writer, column_recipes, missing_columns, read_column, read_pairs
from validation import Window

STATES_SHARE = 0.3  # of the memory budget is for states; the rest is for rows, results and libraries
Missing = Mapping[Window, Sequence[str]]
Body = tuple[Window, tuple[FeatureColumn, ...], Job]
"""One job of a Python body, with the last of its windows and its columns."""


def compute_features(
    catalogue: Catalogue,
    windows: Iterable[Window],
    names: Iterable[str],
    store: Store,
    settings: Settings,
    limits: Limits = LIMITS,
) -> int:
    """Compute every named column of every window that is not in the store; return how many were computed.

    A kill at any moment loses what was not stored yet, and nothing else; two runs at once share the work. ``limits``
    change no value: they choose between ways of computing.
    """
    names, windows = tuple(dict.fromkeys(names)), tuple(windows)
    missing = {window: missing_columns(catalogue, window, names, store) for window in windows}
    n_found = sum(len(set(names) - set(of_window)) for of_window in missing.values())
    if not any(missing.values()):
        return 0
    aggregates = _of_kind(catalogue, missing, AggregateBody)
    n_computed = _run_aggregates(catalogue, aggregates, store, settings, limits, n_found)
    n_found = 0 if aggregates else n_found  # said once, by the first stage
    for title, own, threads in _stages(
        _body_jobs(catalogue, missing, store.root, limits), catalogue.dataset, settings
    ):
        n_computed += sum(run_jobs(title, own, settings, n_found=n_found, threads_per_job=threads))
        n_found = 0
    pairs = _of_kind(catalogue, missing, PairBody)
    jobs = [Job(f"{len(own)} per pair @ {w.name}", compute_per_pair, (catalogue, w, own, store.root))
            for w, own in pairs.items()]  # fmt: skip
    if jobs:
        need = max(pairs_gib(read_pairs(catalogue, w, store).height, len(own)) for w, own in pairs.items())
        tell_if_too_large(need, settings)
        threads = threads_per_job(need, settings)
        n_computed += sum(
            run_jobs("per-pair features", jobs, settings, n_found=n_found, threads_per_job=threads)
        )
    return n_computed


def _of_kind(catalogue: Catalogue, missing: Missing, body: type) -> dict[Window, tuple[str, ...]]:
    own = {
        w: tuple(n for n in names if isinstance(catalogue.columns[n].body, body))
        for w, names in missing.items()
    }
    return {window: names for window, names in own.items() if names}


def _run_aggregates(
    catalogue: Catalogue, missing: Missing, store: Store, settings: Settings, limits: Limits, n_found: int
) -> int:
    """Compute missing aggregates, those of windows that lack the same ones together."""
    if not missing:
        return 0
    n_computed = 0
    with locked(store, missing):
        together: dict[tuple[str, ...], list[Window]] = {}
        for window, names in missing.items():
            own = set(missing_columns(catalogue, window, names, store))
            together.setdefault(tuple(n for n in names if n in own), []).append(window)
        for names, windows in together.items():
            if names:
                n_computed += _aggregate(catalogue, names, windows, store, settings, limits, n_found)
                n_found = 0
    return n_computed


@contextmanager
def locked(store: Store, windows: Iterable[Window]) -> Iterator[None]:
    """Lock the aggregates of windows, in an order that all processes keep."""
    with ExitStack() as locks:
        for window in sorted(windows):
            locks.enter_context(store.lock(f"aggregates @ {window.name}"))
        yield


def _aggregate(
    catalogue: Catalogue,
    names: Sequence[str],
    windows: Sequence[Window],
    store: Store,
    settings: Settings,
    limits: Limits,
    n_found: int,
) -> int:
    passes = make_plan(catalogue, names).passes
    keys = {"pair_id", *(name for one in passes for name in one.key)}
    frames = {w: shown(catalogue.dataset, w, read_pairs(catalogue, w, store), keys) for w in windows}
    recipes = {window: column_recipes(catalogue, window, names) for window in windows}
    columns = [f"{name} @ {window.name}" for name in names for window in windows]
    with Writer(store) as writer:
        budget = settings.memory_gib * STATES_SHARE
        work = Work(catalogue.dataset, passes, frames, budget, writer, limits)
        readings = [f"reading partition {n + 1}" for n in range(work.n_readings)]
        steps = count()
        with stage_progress(
            "aggregates", [*readings, *columns], n_found=n_found, n_workers=1, n_steps=len(readings)
        ) as stage:

            def advance() -> None:
                stage.advance(next(steps))

            for window, values, seconds in compute_aggregates(work, advance):
                for name in values.columns:
                    build, each = StoredTable(values.select(name)).write, seconds / values.width
                    writer.put(recipes[window][name], build, seconds=each, then=advance)
            writer.finish()
    return len(columns)


def _stages(
    bodies: Sequence[Body], dataset: Dataset, settings: Settings
) -> Iterator[tuple[str, list[Job], int]]:
    """Put bodies together that can run side by side: title, jobs, threads of each. Those that need much come last."""
    needs = [body_gib(dataset, window, columns) for window, columns, _ in bodies]
    threads = [threads_per_job(gib, settings) for gib in needs]
    for own in sorted(set(threads)):
        chosen = [number for number, n in enumerate(threads) if n == own]
        tell_if_too_large(max(needs[number] for number in chosen), settings)
        title = "fitted features" if own == min(threads) else "large fitted features"
        yield title, [bodies[number][2] for number in chosen], own


def _body_jobs(catalogue: Catalogue, missing: Missing, root: Path, limits: Limits) -> list[Body]:
    """Make one job of each body in each window; of a streamed one for all windows together, the longest, first."""
    jobs: list[Body] = []
    streamed: dict[str, dict[Window, tuple[FeatureColumn, ...]]] = {}
    for window, names in sorted(missing.items()):
        for columns in make_plan(catalogue, names).bodies:
            own = tuple(column.name for column in columns)
            title = f"{columns[0].declaration.name} @ {window.name}"
            if columns[0].kind == "streamed":
                streamed.setdefault(learner_name(columns[0]), {})[window] = columns
            else:
                jobs.append((window, columns, Job(title, compute_body, (catalogue, window, own, root))))
    whole = []
    for title, windows in streamed.items():
        own_of = {w: tuple(column.name for column in columns) for w, columns in windows.items()}
        window, columns = list(windows.items())[-1]
        whole.append((window, columns, Job(title, compute_streamed, (catalogue, own_of, root, limits))))
    return [*whole, *jobs]


def compute_body(catalogue: Catalogue, window: Window, names: Sequence[str], root: Path) -> int:
    """Compute and store the columns of one Python body in one window; a second process waits and then finds them."""
    store = Store(root)
    with store.lock(f"{names[0]} @ {window.name}"):
        recipes = column_recipes(catalogue, window, names)
        missing = [name for name in names if store.find(recipes[name]) is None]
        if not missing:
            return 0
        began = time.perf_counter()
        columns = [catalogue.columns[name] for name in missing]
        pairs = shown(catalogue.dataset, window, read_pairs(catalogue, window, store))
        values = body_values(catalogue.dataset, window, columns, pairs)
        seconds = (time.perf_counter() - began) / len(missing)
        for name in missing:
            store.put(recipes[name], StoredTable(values.select(name)).write, seconds=seconds)
    return len(missing)


def compute_streamed(catalogue: Catalogue, names: Missing, root: Path, limits: Limits = LIMITS) -> int:
    """Compute and store the columns of one streamed learner in all windows that lack some, in one way through the log.

    A second process waits and then finds them.
    """
    store, dataset = Store(root), catalogue.dataset
    column = catalogue.columns[next(iter(names.values()))[0]]
    n_computed = 0
    with store.lock(learner_name(column)), store.scratch() as scratch:
        checkpoints = checkpoints_of(store, catalogue, column, scratch)
        stream = Stream(dataset, column, names, checkpoints, scratch, limits)
        for window, own in sorted(names.items()):
            recipes = column_recipes(catalogue, window, own)
            missing = [name for name in own if store.find(recipes[name]) is None]
            if not missing:
                continue
            began = time.perf_counter()
            pairs = shown(dataset, window, read_pairs(catalogue, window, store))
            values = stream.values(window, [catalogue.columns[name] for name in missing], pairs)
            seconds = (time.perf_counter() - began) / len(missing)
            for name in missing:
                store.put(recipes[name], StoredTable(values.select(name)).write, seconds=seconds)
            n_computed += len(missing)
    return n_computed


def compute_per_pair(catalogue: Catalogue, window: Window, names: Sequence[str], root: Path) -> int:
    """Compute and store per-pair columns of one window; what they read is in the store."""
    store = Store(root)
    with store.lock(f"per pair @ {window.name}"):
        missing = set(missing_columns(catalogue, window, names, store)) & set(names)
        levels = make_plan(catalogue, [name for name in names if name in missing]).levels
        if not levels:
            return 0
        recipes = column_recipes(catalogue, window, names)
        pairs = read_pairs(catalogue, window, store)
        reads = {n for name in missing for n in catalogue.columns[name].reads} - missing
        given = [read_column(recipes[n], n, store, pairs.height) for n in sorted(reads)]
        frame = shown(catalogue.dataset, window, pairs).hstack(given)
        for level in levels:
            began = time.perf_counter()
            values = pair_values(frame, level)
            seconds = (time.perf_counter() - began) / len(level)
            for name in values.columns:
                store.put(recipes[name], StoredTable(values.select(name)).write, seconds=seconds)
            frame = frame.hstack(values)
    return len(missing)
