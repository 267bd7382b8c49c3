"""Jobs and tasks: results in order, errors that name the job, capped threads, workers that end with their parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import DataError, Job, Recipe, Settings, Store, Task, TaskError, run_jobs, run_tasks
from tests.processes import ROOT, python, wait_until

INLINE = Settings(backend="inline", threads=1)
PROCESSES = Settings(backend="processes", threads=2)

BACKENDS = pytest.mark.parametrize("settings", [INLINE, PROCESSES], ids=["inline", "processes"])


def double(x: int) -> int:
    return 2 * x


THREE = [Job(str(n), double, (n,)) for n in range(3)]


def fail_as_ours() -> None:
    raise DataError("a bad row", expected="a good one", todo="mend it")


def fail_as_python() -> None:
    raise ValueError("no such thing")


def fail_unpicklably() -> None:
    class Local(Exception):
        pass

    raise Local("from inside")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(folder: Path) -> bool:
    """As under the system's hand when memory runs out: killed in the middle, and not when it is tried again."""
    if not (folder / "again").exists():
        (folder / "again").touch()
        die()
    return (folder / "busy").exists()


def keep_busy(folder: Path) -> str:
    (folder / "busy").touch()
    time.sleep(0.1)
    (folder / "busy").unlink()
    return "kept"


def lose_the_parent() -> None:
    """As it looks to a worker whose parent ended before the worker could ask to be told."""
    os.getppid = lambda: 1
    time.sleep(60)


def threads_seen() -> tuple[int, str | None, str | None]:
    import polars as pl

    return pl.thread_pool_size(), os.environ.get("OMP_NUM_THREADS"), os.environ.get("POLARS_MAX_THREADS")


def pid() -> int:
    time.sleep(0.05)
    return os.getpid()


def write(folder: Path, text: str) -> None:
    (folder / "text").write_text(text, encoding="utf-8")


@BACKENDS
def test_results_come_in_the_order_of_the_jobs(settings: Settings) -> None:
    jobs = [Job(str(n), double, (n,)) for n in range(7)]
    assert run_jobs("double", jobs, settings) == list(range(0, 14, 2))
    assert run_jobs("nothing", [], settings) == []


@BACKENDS
def test_an_error_of_ours_arrives_as_itself(settings: Settings) -> None:
    jobs = [Job("fine", double, (1,)), Job("bad", fail_as_ours)]
    with pytest.raises(DataError) as caught:
        run_jobs("stage", jobs, settings)
    assert str(caught.value) == "a bad row\nExpected: a good one\nTo do: mend it"
    assert any("'bad'" in note and "fail_as_ours" in note for note in caught.value.__notes__)


@BACKENDS
@pytest.mark.parametrize(
    ("fail", "name"), [(fail_as_python, "ValueError: no such"), (fail_unpicklably, "Local: from")]
)
def test_any_other_error_names_the_task_and_keeps_the_traceback(
    settings: Settings, fail: Callable[[], None], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [Job("fine", double, (1,)), Job("bad", fail)]
    with pytest.raises(TaskError, match=f"'bad' failed with {name}") as caught:
        run_jobs("stage", jobs, settings)
    assert any("test_tasks.py" in note for note in caught.value.__notes__)
    assert "made" not in capsys.readouterr().err
    assert run_jobs("after it", THREE, settings) == [0, 2, 4]


@pytest.mark.parametrize("fail", [die, lose_the_parent])
def test_a_worker_that_dies_or_ends_itself_is_a_message_and_the_next_stage_works(
    fail: Callable[[], None],
) -> None:
    with pytest.raises(
        TaskError, match=r"A worker process died in task '[ab]', among others and again alone"
    ):
        run_jobs("stage", [Job(name, fail) for name in "ab"], PROCESSES)
    assert run_jobs("after it", THREE, PROCESSES) == [0, 2, 4]


def test_the_tasks_of_a_worker_that_was_killed_are_tried_once_more_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [*THREE, *(Job(f.__name__, f, (tmp_path,)) for f in (keep_busy, die_once, keep_busy)), *THREE]
    assert run_jobs("stage", jobs, PROCESSES) == [0, 2, 4, "kept", False, "kept", 0, 2, 4]
    assert "tried once more" in caplog.text


def test_workers_are_other_processes_with_capped_threads() -> None:
    seen = run_jobs("threads", [Job(str(n), threads_seen) for n in range(2)], PROCESSES)
    assert seen == [(1, "1", "1")] * 2
    assert os.getpid() not in run_jobs("pids", [Job(str(n), pid) for n in range(4)], PROCESSES)


def test_libraries_that_a_job_in_this_process_loads_are_capped_too() -> None:
    script = (
        "from engine import Job, Settings, run_jobs\n"
        "import os, sys, threadpoolctl\n"
        "def blas():\n"
        "    assert 'numpy' not in sys.modules\n"
        "    import numpy\n"
        "    return {pool['num_threads'] for pool in threadpoolctl.threadpool_info()}\n"
        "assert run_jobs('x', [Job('x', blas)], Settings(threads=1)) == [{1}]\n"
        "assert os.environ.get('OMP_NUM_THREADS') == '4'\n"
        "assert 'MKL_NUM_THREADS' not in os.environ\n"
    )
    answer = python("-c", script, OMP_NUM_THREADS="4", MKL_NUM_THREADS=None)
    assert answer.returncode == 0, answer.stderr


def test_inline_and_single_jobs_stay_in_this_process() -> None:
    assert run_jobs("one", [Job("one", pid)], PROCESSES) == [os.getpid()]
    assert set(run_jobs("two", [Job(str(n), pid) for n in range(2)], INLINE)) == {os.getpid()}


def test_jobs_run_from_a_thread_leave_workers_that_the_next_stage_can_do_without() -> None:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.extend(run_jobs("in a thread", THREE, PROCESSES)))
    thread.start()
    thread.join()
    assert results == [0, 2, 4]
    time.sleep(0.2)
    assert run_jobs("after it", THREE, PROCESSES) == [0, 2, 4]


@BACKENDS
def test_tasks_in_the_store_are_found_and_the_others_made(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "store")
    tasks = [Task(Recipe("k", f"n{n}", {"n": n}), write, (f"text {n}",)) for n in range(4)]
    store.make(tasks[2].recipe, lambda folder: write(folder, "was there"))
    folders = run_tasks("features [w7]", tasks, store, settings)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "features [w7]: 3 made, 1 from the store" in printed.err
    texts = [(folder / "text").read_text(encoding="utf-8") for folder in folders]
    assert texts == ["text 0", "text 1", "was there", "text 3"]
    assert folders == [store.find(task.recipe) for task in tasks]
    assert run_tasks("again", tasks, store, settings) == folders


PARENT = """
import os, sys, time
from pathlib import Path
from engine import Job, Settings, run_jobs

def sleep(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(120)

if __name__ == "__main__":
    run_jobs("sleep", [Job(str(n), sleep, (sys.argv[1],)) for n in range(2)], Settings(threads=2))
"""


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_their_parent_even_when_it_alone_is_killed(tmp_path: Path) -> None:
    script, pids = tmp_path / "parent.py", tmp_path / "pids"
    pids.mkdir()
    script.write_text(PARENT, encoding="utf-8")
    command = [sys.executable, str(script), str(pids)]
    parent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    wait_until(lambda: len(list(pids.iterdir())) == 2, seconds=60, otherwise="the workers did not start")
    workers = [int(p.name) for p in pids.iterdir()]
    assert all(map(is_alive, workers))
    parent.kill()
    parent.wait()
    wait_until(
        lambda: not any(map(is_alive, workers)), seconds=5, otherwise="the workers outlived their parent"
    )


EDITED = """
import sys
from pathlib import Path
from engine import Job, Settings, run_jobs
import work

if __name__ == "__main__":
    Path(work.__file__).touch()
    run_jobs("stage", [Job("a", work.fine), Job("b", work.fine)], Settings(threads=2))
"""


def test_code_edited_after_the_run_started_is_refused_by_workers(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "engine", tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "work.py").write_text("def fine():\n    return 1\n", encoding="utf-8")
    (tmp_path / "run.py").write_text(EDITED, encoding="utf-8")
    answer = python(tmp_path / "run.py", path=tmp_path)
    assert answer.returncode == 1
    assert "work.py was edited after this run had started" in answer.stderr
