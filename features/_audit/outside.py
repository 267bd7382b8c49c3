"""Watch what features open, ask and run by themselves: what comes from outside is the same in every altered world."""

from __future__ import annotations

import builtins
import linecache
import os
import re
import sys
import sysconfig
import tempfile
import threading
import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from importlib.machinery import all_suffixes
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl

from features._declare import FEATURE_EVENT

_READ = "samewise.read"  # raised for readers that are native code, which open files where Python sees nothing of it
_VARIABLE = "samewise.variable"  # for environment variables, of which Python raises nothing
_QUERY = "samewise.query"  # for SQL of Polars, which may name files
_FACT = "samewise.fact"  # for what the system says of files and of itself, neither
_FILES = {"open", "os.listdir", "os.scandir", "sqlite3.connect", _READ, _FACT}
_EVENTS = {
    "open": "opens",
    _READ: "reads",
    _QUERY: "reads files by",
    _VARIABLE: "takes the environment variable",
    _FACT: "asks the system about",
    "os.listdir": "lists",
    "os.scandir": "lists",
    "sqlite3.connect": "opens",
    "subprocess.Popen": "runs",
    "os.system": "runs",
    "os.exec": "runs",
    "os.posix_spawn": "runs",
    "os.spawn": "runs",
    "os.fork": "forks a process",
    "socket.connect": "connects to",
    "socket.sendto": "sends to",
    "socket.bind": "listens at",
    "socket.getaddrinfo": "looks up",
    "socket.gethostbyname": "looks up",
    "socket.gethostname": "asks for the name of this machine",
    "ctypes.dlopen": "loads",
}  # fmt: skip
_TOLD = "samewise_told"
_SYSTEM = ("/proc", "/sys", "/dev/null", "/dev/urandom", "/dev/random")
_ABOUT_THE_MACHINE = ("threadpoolctl", f"{os.sep}platform.py")
_TRACEBACK = f"{os.sep}traceback.py"  # reads lines of the code that runs, as torch has it do
_JOBLIB = f"{os.sep}joblib{os.sep}"  # asks about the machine, too, but opens files for whoever calls it
_DIRECTLY = {
    "ctypes.dlopen": ("ctypes",),
    _FACT: (
        "<frozen os",
        "<frozen genericpath",
        "<frozen posixpath",
        "<frozen ntpath",
        "genericpath.py",
        "pathlib.py",
    ),
    _VARIABLE: ("<frozen os", "<frozen _coll", "os.py", "_collections_abc.py"),
}
"""What libraries may do when they are called: by event, the libraries by which a user's code does it itself."""
_NATIVE = {
    "safetensors": "safe_open",
    "safetensors.numpy": "safe_open",
    "safetensors.torch": "safe_open",
    "torch": "from_file",
    "torch.jit": "load",
    "catboost.core": "Pool._read _CatBoostBase._load_model",
}
"""Readers of other libraries that open files in native code, by module."""
_ROOT = Path(__file__).resolve().parents[2]
_AUDIT = str(Path(__file__).parent) + os.sep
_ROOMS = ("engine", "competitions", "validation", "features", "models", "stacking", "submissions")


@dataclass(frozen=True)
class Access:
    """Something from outside that a feature took: which feature, where in the code, and what in words.

    ``feature`` is empty where it was done by a file while it was imported. ``file`` and ``line``: of the code.
    """

    feature: str
    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line} {self.what}"


@dataclass
class Watch:
    """What is seen while a world is computed. ``folder``: its own, which features may use by ``tempfile``."""

    folder: Path
    feature: str = ""
    seen: dict[tuple[str, str, int], Access] = field(default_factory=dict)
    is_noting: bool = False

    def note(self, event: str, args: tuple[Any, ...], frame: FrameType | None) -> None:
        """Take down an event, if it is of a feature and of something outside."""
        target = args[0] if args else None
        caller = _caller(frame, event, target)
        if caller is None or (event in _FILES and self._is_harmless(target)):
            return
        if event == _QUERY and not re.search(r"\bread_\w+\s*\(", str(target)):
            return
        function = caller.f_code.co_qualname
        said = f" {os.fsdecode(target)!r}" if isinstance(target, str | bytes | os.PathLike) else ""
        what = f"({'at the top' if function == '<module>' else function}) {_EVENTS[event]}{said}"
        access = Access(self.feature, caller.f_code.co_filename, caller.f_lineno, what)
        self.seen.setdefault((access.feature, access.file, access.line), access)

    def _is_harmless(self, target: object) -> bool:
        """Tell whether it is a file of this world's own folder, of Python and its libraries, code, or no file."""
        if isinstance(target, list | tuple):
            return all(self._is_harmless(one) for one in target)
        if not isinstance(target, str | bytes | os.PathLike) or target == ":memory:":
            return target is not None
        path = os.path.realpath(os.fsdecode(target))
        within = (os.path.realpath(self.folder), *_libraries(), *_SYSTEM, *zoneinfo.TZPATH)
        is_code = path.endswith(".py") and any(
            getattr(m, "__file__", "") == path for m in [*sys.modules.values()]
        )
        return is_code or any(path == one or path.startswith(f"{one}{os.sep}") for one in within)


@cache
def _watches() -> list[Watch]:
    """Watches of this process, the innermost last; with them comes the hook, once and for good.

    No constant: digests of code hold constants by their values, and would be others in every process.
    """
    watches: list[Watch] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if not watches or watches[-1].is_noting:  # what noting does is nobody's
            return
        watch = watches[-1]
        if event == FEATURE_EVENT:
            watch.feature = args[0]
        elif event in _EVENTS:
            watch.is_noting = True
            try:
                watch.note(event, args, sys._getframe(1))
            finally:
                watch.is_noting = False

    sys.addaudithook(hook)
    return watches


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch this process, whose temporary files lie in a folder of their own for the time of the block."""
    linecache.clearcache()
    temporary = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="world") as folder:
        watch = Watch(Path(folder))
        tempfile.tempdir = folder
        _watches().append(watch)
        try:
            with _calls_told(), _variables_told():
                yield watch
        finally:
            _watches().remove(watch)
            tempfile.tempdir = temporary


@contextmanager
def _calls_told() -> Iterator[None]:
    """Let native functions raise an event when they are called, also those of libraries yet to be imported."""
    before: list[tuple[Any, str, Any]] = []

    def tell(silent: Iterable[tuple[Any, str, str]]) -> None:
        for owner, name, event in silent:
            plain = vars(owner)[name]
            if not hasattr(plain, _TOLD):
                telling = _telling(getattr(owner, name), event)
                before.append((owner, name, plain))
                setattr(owner, name, staticmethod(telling) if isinstance(plain, classmethod) else telling)

    def importing(name: str, *args: Any, **named: Any) -> Any:
        module = plain_import(name, *args, **named)
        if name.partition(".")[0] in {one.partition(".")[0] for one in _NATIVE}:
            tell(_native())
        return module

    tell([*_silent(), *_native()])
    plain_import, builtins.__import__ = builtins.__import__, importing
    try:
        yield
    finally:
        builtins.__import__ = plain_import
        for owner, name, plain in before:
            setattr(owner, name, plain)


def _silent() -> Iterator[tuple[Any, str, str]]:
    """Readers wherever they can be taken from, what tells of files and of this machine, and ``spawn``."""
    for module in [m for name, m in sys.modules.items() if name == "polars" or name.startswith("polars.io")]:
        for name, value in vars(module).items():
            if name.startswith(("read_", "scan_")) and callable(value):
                yield module, name, _READ
    yield from ((owner, "deserialize", _READ) for owner in (pl.DataFrame, pl.LazyFrame))
    yield pl.SQLContext, "execute", _QUERY
    yield from ((os, name, _FACT) for name in ("stat", "lstat", "access", "uname") if hasattr(os, name))
    if "_posixsubprocess" in sys.modules:
        yield sys.modules["_posixsubprocess"], "fork_exec", "subprocess.Popen"


def _native() -> Iterator[tuple[Any, str, str]]:
    """Readers of other libraries, as far as these are imported: to the end, as torch looks at its own functions."""
    for name, readers in _NATIVE.items():
        module, root = sys.modules.get(name), sys.modules.get(name.partition(".")[0])
        is_ready = not any(
            getattr(getattr(m, "__spec__", None), "_initializing", False) for m in (module, root)
        )
        for inner, _, reader in (path.rpartition(".") for path in readers.split() if module and is_ready):
            owner = getattr(module, inner, None) if inner else module
            if owner is not None and reader in vars(owner):
                yield owner, reader, _READ


class _Told(os._Environ[str]):
    def __getitem__(self, key: str) -> str:
        sys.audit(_VARIABLE, key)
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        sys.audit(_VARIABLE, "*")
        return super().__iter__()


@contextmanager
def _variables_told() -> Iterator[None]:
    plain, tables = type(os.environ), [os.environ, *([os.environb] if os.supports_bytes_environ else [])]
    for table in tables:
        table.__class__ = _Told
    try:
        yield
    finally:
        for table in tables:
            table.__class__ = plain


def _telling(silent: Callable[..., Any], event: str) -> Callable[..., Any]:
    @wraps(silent)
    def telling(*args: Any, **named: Any) -> Any:
        given = [*args, *named.values()]
        said = (one for one in given if isinstance(one, str | bytes | os.PathLike))
        sys.audit(event, next(said, given[0] if given else None))
        return silent(*args, **named)

    setattr(telling, _TOLD, True)
    return telling


def _caller(frame: FrameType | None, event: str, target: object) -> FrameType | None:
    """Find the user's code that is behind an event; None if it is an audit's own or a library that is imported.

    What the house does for a feature that asks for it is the feature's. A thread that runs nothing but a library's code
    was started by what the main thread is at.
    """
    is_data = event == "open" and not os.fsdecode(_path(target)).endswith(tuple(all_suffixes()))
    while frame is not None:
        one, frame = frame, frame.f_back
        file, function = one.f_code.co_filename, one.f_code.co_name
        if file.startswith("<frozen importlib"):
            if not is_data:
                return None
        elif file == __file__ or is_house(file):
            if file.startswith(_AUDIT) and file != __file__:
                return None
        elif not is_library(file):
            return one
        elif (
            (event in _DIRECTLY and not any(name in file for name in _DIRECTLY[event]))
            or function == "_joinrealpath"
            or any(name in file for name in _ABOUT_THE_MACHINE)
            or file.endswith(_TRACEBACK)
            or (event != "open" and _JOBLIB in file)
        ):
            return None
    main = threading.main_thread().ident
    if main == threading.get_ident() or main is None:
        return None
    return _caller(sys._current_frames().get(main), event, target)


def _path(target: object) -> str | bytes | os.PathLike[str]:
    return target if isinstance(target, str | bytes | os.PathLike) else ""


@cache
def is_library(file: str) -> bool:
    """Tell whether a file of code belongs to Python or to an installed package."""
    return file.startswith("<frozen") or any(file.startswith(f"{one}{os.sep}") for one in _libraries())


@cache
def is_house(file: str) -> bool:
    """Tell whether a file of code is one that computes features, and not one that users write or add to."""
    try:
        room, *inner = Path(file).resolve().relative_to(_ROOT).parts
    except ValueError:
        return False
    if room not in _ROOMS or (room == "features" and inner[:1] == ["toolkit"]):
        return False
    return room not in ("features", "competitions") or any(name.startswith("_") for name in inner)


@cache
def _libraries() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = [sysconfig.get_path(name) for name in names]
    paths += [path for path in sys.path if path.endswith(".zip")]
    return tuple(dict.fromkeys([*paths, *(os.path.realpath(path) for path in paths)]))
