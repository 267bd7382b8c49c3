"""Faces import what they export when it is asked for, and nobody can tell but by the clock."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from joblib.externals.loky import get_reusable_executor

from engine import Job, Settings, code_digest, run_jobs
from tests.processes import python

Writer = Callable[[dict[str, str]], ModuleType]

FACE = '''"""A face."""
from typing import TYPE_CHECKING
from engine import lazy_face

if TYPE_CHECKING:
    from package.heavy import LIMIT, Frame, first as earliest
    from package.mean import mean
    from package import plain

__all__ = ["LIMIT", "Frame", "earliest", "mean", "plain"]
lazy_face(__name__)
'''
PACKAGE = {
    "package/__init__.py": FACE,
    "package/heavy.py": "LIMIT = 3\nclass Frame:\n    pass\ndef first(x):\n    return x[0]\n",
    "package/mean.py": "from package.deep import total\ndef mean(x):\n    return total(x) / len(x)\n",
    "package/deep.py": "def total(x):\n    return sum(x)\n",
    "package/plain.py": "NAME = 'plain'\n",
}
USER = """
import package as other
from package import LIMIT, mean
def by_name(x):
    return mean(x) + LIMIT
def by_chain(x):
    return other.mean(x) + other.LIMIT
def local(x):
    from package import mean
    return mean(x)
"""


@pytest.fixture
def package(repository: Writer) -> Any:
    """The package, of which nothing has been asked yet."""
    return repository(PACKAGE)


def loaded() -> set[str]:
    return {name.removeprefix("package.") for name in sys.modules if name.startswith("package.")}


def test_a_name_is_imported_when_it_is_asked_for(package: Any) -> None:
    assert loaded() == set()
    assert package.LIMIT == 3
    assert loaded() == {"heavy"}
    from package import Frame, earliest  # type: ignore[import-not-found]  # written by the fixture

    assert Frame is sys.modules["package.heavy"].Frame
    assert earliest([5, 6]) == 5
    assert vars(package)["earliest"] is earliest
    assert loaded() == {"heavy"}


def test_a_star_import_and_dir_give_everything(package: Any) -> None:
    assert set(package.__all__) <= set(dir(package))
    assert loaded() == set()
    names: dict[str, Any] = {}
    exec("from package import *", names)
    assert names["mean"]([1, 3]) == 2
    assert names["plain"].NAME == "plain"


def test_an_unknown_name_is_refused_in_the_usual_words(package: Any) -> None:
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'medium'"):
        package.medium  # noqa: B018 (asking is the test)
    with pytest.raises(ImportError, match="cannot import name 'medium' from 'package'"):
        exec("from package import medium", {})
    assert not hasattr(package, "medium")


def test_an_export_wins_over_the_submodule_of_its_name(package: Any) -> None:
    assert package.mean is import_module("package.mean").mean
    assert package.plain is sys.modules["package.plain"]


def test_submodules_imported_before_the_face_is_done_do_not_hide_exports(repository: Writer) -> None:
    early = FACE.replace("__all__", "from package.deep import total\nimport package.mean\n__all__", 1)
    assert repository({**PACKAGE, "package/__init__.py": early}).mean([2, 4]) == 3


@pytest.mark.parametrize(
    ("old", "new", "name"), [('"mean", ', "", "mean"), ('"mean"', '"mean", "mode"', "mode")]
)
def test_a_list_of_names_that_the_imports_do_not_give_is_refused(
    repository: Writer, old: str, new: str, name: str
) -> None:
    assert FACE.count(old) == 1
    with pytest.raises(ImportError, match=f"'package' and its __all__ differ: {name}$"):
        repository({**PACKAGE, "package/__init__.py": FACE.replace(old, new)})


def test_an_export_that_its_module_does_not_have_is_an_import_error(repository: Writer) -> None:
    repository({**PACKAGE, "package/heavy.py": "LIMIT = 3\n"})
    with pytest.raises(ImportError, match=r"'Frame' from 'package\.heavy'"):
        exec("from package import Frame", {})


def test_threads_that_ask_at_once_get_the_same(repository: Writer) -> None:
    slow = "import time\ntime.sleep(0.2)\n" + PACKAGE["package/heavy.py"]
    package = repository({**PACKAGE, "package/heavy.py": slow})
    with ThreadPoolExecutor(8) as pool:
        assert len({id(frame) for frame in pool.map(lambda _: package.Frame, range(8))}) == 1


def limit_of(package: Any) -> int:
    return int(package.LIMIT)


def test_faces_and_what_they_export_travel_to_workers(
    package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pickle.loads(pickle.dumps(package)) is package  # noqa: S301 (our own bytes)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    get_reusable_executor().shutdown()  # workers of an earlier test do not have the path
    jobs = [Job("limit", limit_of, (package,)), Job("mean", package.mean, ([1, 2, 3],))]
    assert run_jobs("travel", jobs, Settings(threads=2)) == [3, 2]


@pytest.mark.parametrize("name", ["by_chain", "local"])
def test_the_digest_does_not_depend_on_what_was_asked_for(
    repository: Writer, tmp_path: Path, name: str
) -> None:
    unasked = USER.replace("from package import LIMIT, mean\n", "", 1)
    function = getattr(repository({"user.py": unasked, **PACKAGE}), name)
    assert loaded() == set()
    before = code_digest(function, tmp_path)
    assert [getattr(sys.modules["package"], export) for export in sys.modules["package"].__all__]
    assert code_digest(function, tmp_path) == before


@pytest.mark.parametrize("name", ["by_name", "by_chain", "local"])
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("package/deep.py", "sum(x)", "max(x)"), ("package/heavy.py", "LIMIT = 3", "LIMIT = 4")],
)
def test_an_edit_behind_a_face_changes_the_digest(
    repository: Writer, tmp_path: Path, name: str, file: str, old: str, new: str
) -> None:
    files = {"user.py": USER, **PACKAGE}
    before = code_digest(getattr(repository(files), name), tmp_path)
    after = code_digest(getattr(repository({**files, file: files[file].replace(old, new)}), name), tmp_path)
    assert before != after


def test_a_face_hides_no_name_from_the_type_checker(package: Any, tmp_path: Path) -> None:
    """A module with a declared ``__getattr__`` would let every misspelt import pass."""
    (tmp_path / "typo.py").write_text("from package import LIMIT, meen\n", encoding="utf-8")
    options = ["--cache-dir", tmp_path / "cache", "--follow-imports=silent", "--ignore-missing-imports"]
    answer = python("-m", "mypy", *options, "typo.py", cwd=tmp_path, path=tmp_path)
    assert 'has no attribute "meen"' in answer.stdout
    assert "LIMIT" not in answer.stdout
