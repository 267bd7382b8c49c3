"""Compiled code of the running process, and the syntax tree that it came from."""

from __future__ import annotations

import ast
import dis
from types import CodeType

from engine._code.source import SourceFile
from engine._store import Json


def tree_of(code: CodeType, file: SourceFile) -> ast.AST | None:
    """The syntax tree of loaded code.

    None if it is not clear (two lambdas on one line), or if the file was edited since it was loaded: then what it
    says now is not what runs.
    """
    place = (code.co_qualname, code.co_firstlineno)
    trees, codes = file.functions.get(place, []), file.codes.get(place, [])
    is_clear = len(trees) == len(codes) == 1 and bytecode(codes[0]) == bytecode(code)
    return trees[0] if is_clear else None


def bytecode(code: CodeType) -> Json:
    """What a code object does, without names of files and numbers of lines."""
    return [
        code.co_code.hex(),
        [*code.co_names],
        [*code.co_varnames],
        [*code.co_freevars],
        [_constant(c) for c in code.co_consts],
    ]


def _constant(value: object) -> Json:
    if isinstance(value, CodeType):
        return bytecode(value)
    if isinstance(value, frozenset):  # its order differs between processes
        return ["frozenset", *sorted(repr(v) for v in value)]
    return repr(value)


def globals_read(code: CodeType) -> set[str]:
    """Global names that code, and the functions defined in it, read."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= globals_read(constant)
    return names
