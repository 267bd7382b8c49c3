"""What ends an export, and what it needs."""

from __future__ import annotations

from importlib import util
from pathlib import Path

from engine import SamewiseError


class ExportError(SamewiseError):
    """A run, or a model of it, cannot be exported; or a bundle is not what was exported."""


def require(*libraries: str) -> None:
    """Raise ExportError unless these libraries are installed."""
    missing = [name for name in libraries if util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f"An export needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            expected="onnx and onnxruntime: the extra `export` of pyproject.toml",
            todo=".venv/bin/pip install onnx onnxruntime",
        )


def runtime_library() -> Path:
    """Where onnxruntime's C library lies, which its wheel holds. Raises ExportError if there is none."""
    require("onnxruntime")
    found = util.find_spec("onnxruntime")
    folders = [] if found is None else [Path(p) / "capi" for p in found.submodule_search_locations or ()]
    files = sorted(
        file
        for folder in folders
        for pattern in ("libonnxruntime.so*", "libonnxruntime.*dylib", "onnxruntime.dll")
        for file in folder.glob(pattern)
    )
    if not files:
        raise ExportError(
            "This onnxruntime has no C library beside it.", todo="name one after -lib of the server"
        )
    return files[0]
