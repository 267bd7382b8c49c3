"""What is wrong with a declaration that no data set could make right: told while its file is imported."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import get_args

import polars as pl

from features._declare.registry import Column, Declaration, Scope

_METHODS = ("start", "learn", "transform", "save", "load")  # of a learner
MOST, MOST_LETTERS = 2**31, 80  # of a count; of a name: it becomes part of the names of columns


def problems(declaration: Declaration) -> Iterator[tuple[str, str]]:
    """Tell what is wrong with what a decorator was given: what it has, and what was expected."""
    options, columns = declaration.options, declaration.options.get("columns", {}).values()
    keys = [options.get("key", ("any",)), *(key for key, _ in options.get("grid", ()))]
    if not declaration.names or not keys[0] or any(len({*key}) < len(key) for key in keys):
        names = ", ".join(declaration.names)
        yield f"the columns {names or 'none'}", "at least one, by keys that name each column once"
    if len(set(declaration.names)) < len(declaration.names):
        yield (
            f"the columns {', '.join(declaration.names)}",
            "each of them once: a key or a lookback is named twice",
        )
    scope, fill, model_input = options.get("scope", "row"), options["fill"], options["model_input"]
    if not isinstance(scope, str) or scope not in get_args(Scope):
        yield f"the scope {scope!r}", "one of " + ", ".join(get_args(Scope))
    if not (fill is None or isinstance(fill, str) or (isinstance(fill, Real) and math.isfinite(fill))):
        yield f"fill={fill!r}", "a finite number, a text, or None, which leaves null"
    if not isinstance(model_input, bool):
        yield f"model_input={model_input!r}", "True or False"
    yield from _name_problems(declaration)
    if options.get("where") is not None and not _takes(options["where"], 1):
        yield f"the where={options['where']!r}", "a function of the log, such as lambda log: log.like"
    for kind, given in (("aggregate", ["the log"]), ("table", ["the history", "the window"])):
        if declaration.kind == kind and not _takes(declaration.body, len(given)):
            yield (
                f"the parameters {inspect.signature(declaration.body)}",
                f"a function of {' and '.join(given)}",
            )
    for word in ("uses_ids", "uses_time"):
        if not isinstance(options.get(word, False), bool):
            yield f"{word}={options[word]!r}", "True or False"
    own = options.get("dtype")
    for column in [Column(pl.Float32 if own is None else own, range=options.get("range")), *columns]:
        dtype, span = column.dtype, column.range
        is_class = isinstance(dtype, type) and issubclass(dtype, pl.DataType) and not dtype.is_nested()
        is_one = is_class and dtype != pl.Enum if isinstance(dtype, type) else isinstance(dtype, pl.DataType)
        is_made = own is None and inspect.isfunction(dtype) and _takes(dtype, 1)  # of the log's columns
        if not is_made and (not is_one or dtype == pl.Object or (own is not None and dtype.is_nested())):
            yield f"the dtype {dtype!r}", "a dtype of Polars, such as pl.Float32 or pl.Enum(['a', 'b'])"
        if not isinstance(column.meaning, str):
            yield f"the meaning {column.meaning!r}", "a text; Column(dtype, meaning, range)"
        is_pair = isinstance(span, tuple | list) and len(span) == 2
        ends = [end for end in span or () if end is not None] if is_pair else [""]
        is_fit = all(isinstance(end, float | int) and end == end for end in ends) and ends == sorted(ends)
        if span is not None and not is_fit:
            yield f"the range {span!r}", "two numbers, the lower bound first; None for an open end"
    if declaration.kind == "streamed":
        yield from _learner_problems(declaration)


def _name_problems(declaration: Declaration) -> Iterator[tuple[str, str]]:
    """Tell which names cannot be of columns or variants, and which arguments of variants the class does not take."""
    options, variants = declaration.options, declaration.options.get("variants") or {}
    for name in (*options.get("columns", ()), *variants):
        if not 0 < len(name) <= MOST_LETTERS or not name.isprintable():
            yield f"the name {name!r}", f"a text of 1 to {MOST_LETTERS} letters"
    for name, arguments in variants.items():
        if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
            yield (
                f"the variant {name!r} = {arguments!r}",
                "arguments of the class by name, such as {'length': 5}",
            )
            continue
        try:
            signature = inspect.signature(declaration.body)
            given = dict.fromkeys({"log"} & signature.parameters.keys())
            signature.bind(**{**given, **arguments})
        except TypeError as error:
            yield (
                f"the variant {name!r} with {', '.join(arguments)} ({error})",
                "arguments that the class takes",
            )


def _learner_problems(declaration: Declaration) -> Iterator[tuple[str, str]]:
    """Tell what is wrong with a class that is to be streamed, and with its counts."""
    options = declaration.options
    for option, least in (("step", 1), ("refine", 0)):
        number = options[option]
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number < MOST:
            yield f"{option}={number!r}", f"a whole number, {least} or more and below {MOST}"
    needed = [*_METHODS, *(["sweep"] if options["refine"] else [])]
    if lacking := [name for name in needed if not callable(getattr(declaration.body, name, None))]:
        since = ", since refine is above 0" if options["refine"] else ""
        yield f"no method {', '.join(lacking)}", f"a class with {', '.join(needed)}{since}"


def _takes(function: object, n: int) -> bool:
    """Tell whether it is a function that can be called with so many arguments."""
    try:
        return callable(function) and bool(inspect.signature(function).bind(*range(n)))
    except (TypeError, ValueError):
        return False
