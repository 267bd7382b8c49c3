"""One ONNX graph in the making: nodes, constants, and the columns that it reads of the pairs of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from models.graphs.errors import ExportError
from models.graphs.inputs import KINDS, NO_TEXT, NO_WHOLE_NUMBER, Inputs, Kind, kind_of_dtype

if TYPE_CHECKING:
    import onnx

Tensor = str  # the name of a tensor of the graph

OPSET, ML_OPSET, IR_VERSION = 18, 5, 9
_FLOAT, _INT64, _STRING, _DOUBLE = 1, 7, 8, 11  # TensorProto.DataType
_TYPES: Mapping[Kind, int] = {"float32": _FLOAT, "float64": _DOUBLE, "int64": _INT64, "text": _STRING}


@dataclass
class Graph:
    """Builds a graph whose pairs are those of one request, so one ranking group: n_pairs is the first axis of all.

    A graph reads matrices (n_pairs, width), one a kind of column, and, of a blend, the scores of models. Where a column
    lies in its matrix is filled in last, by ``proto``, when every graph of the bundle has said what it reads.

    Attributes
    ----------
    schema
        Dtype of every column that may be read.
    item
        Column that tells how many pairs there are, for a graph that reads no other.
    made
        Columns that the graph makes itself, Float32 (n_pairs,), by the names under which they are read.
    """

    schema: Mapping[str, pl.DataType]
    item: str
    made: dict[str, Tensor] = field(default_factory=dict)
    _nodes: list[onnx.NodeProto] = field(default_factory=list)
    _constants: dict[Tensor, npt.NDArray[Any]] = field(default_factory=dict)
    _places: dict[Tensor, tuple[str, ...]] = field(default_factory=dict)
    _read: dict[str, Kind] = field(default_factory=dict)
    _scores: dict[str, Tensor] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that are read."""
        return tuple(sorted(self._read))

    @property
    def scores(self) -> tuple[str, ...]:
        """Models whose scores are read."""
        return tuple(self._scores)

    def add(
        self, op: str, *inputs: Tensor, n_outputs: int = 1, domain: str = "", **attributes: Any
    ) -> Tensor:
        """Add a node; the name of its first output, the others have ``_1``, ``_2`` ... behind it."""
        from onnx import helper

        first = f"t{len(self._nodes)}"
        outputs = [first, *(f"{first}_{i}" for i in range(1, n_outputs))]
        self._nodes.append(helper.make_node(op, list(inputs), outputs, domain=domain, **attributes))
        return first

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike) -> Tensor:
        """Add a constant."""
        name = f"c{len(self._constants) + len(self._places)}"
        self._constants[name] = np.asarray(values, dtype=dtype)
        return name

    def f64(self, value: float) -> Tensor:
        """Add a Float64 number."""
        return self.constant(value, np.float64)

    def cast(self, x: Tensor, dtype: npt.DTypeLike) -> Tensor:
        """Cast to Float32, Float64 or Int64."""
        to = {"float32": _FLOAT, "float64": _DOUBLE, "int64": _INT64}[np.dtype(dtype).name]
        return self.add("Cast", x, to=to)

    def numbers(self, names: Sequence[str], dtype: type[np.float32] | type[np.float64]) -> Tensor:
        """Columns side by side, (n_pairs, n_columns), NaN = null."""
        parts: list[Tensor] = []
        order: list[str] = []
        for kind in KINDS:
            some = [name for name in names if name not in self.made and self._kind(name) == kind]
            if some:
                parts.append(self.as_numbers(self._taken(kind, some), kind, dtype))
                order += some
        for name in (name for name in names if name in self.made):
            column = self.add("Unsqueeze", self.made[name], self.constant([1], np.int64))
            parts.append(column if dtype is np.float32 else self.cast(column, dtype))
            order.append(name)
        matrix = parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)
        if order == list(names):
            return matrix
        where = [order.index(name) for name in names]
        return self.add("Gather", matrix, self.constant(where, np.int64), axis=1)

    def number(self, name: str, dtype: type[np.float32] | type[np.float64]) -> Tensor:
        """One column, (n_pairs,), NaN = null."""
        return self.squeezed(self.numbers([name], dtype))

    def coded(self, name: str, values: pl.Series, null: int = 0) -> Tensor:
        """Place of each value of a column among ``values``, from 1; 0 for every other one, ``null`` for null. Int64."""
        kind = self._kind(name)
        asked = self.squeezed(self._taken(kind, [name]))
        return self.codes_of(asked, kind, values, null)

    def codes_of(self, asked: Tensor, kind: Kind, values: pl.Series, null: int = 0) -> Tensor:
        """Place of each value among ``values``, as ``coded`` gives it."""
        from onnx import numpy_helper

        is_text = kind == "text"
        known = values.cast(pl.String if is_text else pl.Int64, strict=False)
        if known.null_count() or (known == (NO_TEXT if is_text else NO_WHOLE_NUMBER)).any():
            raise ExportError(
                f"it knows a value that a request cannot carry: beyond 64 bits with a sign, or {NO_TEXT!r}",
                expected=f"whole numbers above {NO_WHOLE_NUMBER} and below {2**63}, or other texts",
            )
        codes = np.arange(1, len(known) + 1, dtype=np.int64)
        keys = np.array(
            [*known, NO_TEXT if is_text else NO_WHOLE_NUMBER], dtype=object if is_text else np.int64
        )
        return self.add(
            "LabelEncoder",
            asked if kind in ("text", "int64") else self.cast(asked, np.int64),
            domain="ai.onnx.ml",
            keys_tensor=numpy_helper.from_array(keys, "keys"),
            values_tensor=numpy_helper.from_array(np.append(codes, null), "values"),
            default_tensor=numpy_helper.from_array(np.zeros(1, dtype=np.int64), "default"),
        )

    def array(self, name: str) -> tuple[Tensor, Kind]:
        """Values of a request's array, (length,), and their kind: numbers as they are."""
        kind = self._kind(name)
        first = self.add(
            "Slice", self._taken(kind, [name]), *(self.constant([i], np.int64) for i in (0, 1, 0))
        )
        return self.add("Squeeze", first, self.constant([0], np.int64)), kind

    def is_null(self, x: Tensor, kind: Kind) -> Tensor:
        """Tell which values are null."""
        if kind in ("float32", "float64"):
            return self.add("IsNaN", x)
        is_text = kind == "text"
        null = self.constant(NO_TEXT if is_text else NO_WHOLE_NUMBER, object if is_text else np.int64)
        return self.add("Equal", x, null)

    def as_numbers(self, x: Tensor, kind: Kind, dtype: type[np.float32] | type[np.float64]) -> Tensor:
        """Whole numbers or floats as floats, NaN = null."""
        if kind == "int64":
            return self.add("Where", self.is_null(x, kind), self.constant(np.nan, dtype), self.cast(x, dtype))
        return x if kind == np.dtype(dtype).name else self.cast(x, dtype)

    def score(self, model: str) -> Tensor:
        """Scores of a model, Float64 (n_pairs,): an input of the graph of a blend."""
        return self._scores.setdefault(model, f"score_{model}")

    def squeezed(self, x: Tensor) -> Tensor:
        """(n_pairs, 1) -> (n_pairs,)."""
        return self.add("Squeeze", x, self.constant([1], np.int64))

    def filled(self, value: float) -> Tensor:
        """One Float64 value for each pair, (n_pairs,)."""
        return self.add("Expand", self.f64(value), self.n_pairs())

    def n_pairs(self) -> Tensor:
        """Number of pairs, Int64 (1,)."""
        if not self._read and not self._scores:
            self._read[self.item] = self._kind(self.item)
        source = next(iter(self._scores.values())) if self._scores else next(iter(self._read.values()))
        return self.add("Shape", source, start=0, end=1)

    def proto(self, name: str, inputs: Inputs, scores: Tensor) -> onnx.ModelProto:
        """Finish: fill in where the columns lie, and name the result ``score``."""
        from onnx import helper, numpy_helper

        places = {t: np.array(inputs.positions(names), np.int64) for t, names in self._places.items()}
        kinds = [kind for kind in KINDS if kind in self._read.values()]
        given = [helper.make_tensor_value_info(k, _TYPES[k], ["n_pairs", inputs.width(k)]) for k in kinds]
        given += [helper.make_tensor_value_info(t, _DOUBLE, ["n_pairs"]) for t in self._scores.values()]
        nodes = [*self._nodes, helper.make_node("Identity", [scores], ["score"])]
        result = helper.make_tensor_value_info("score", _DOUBLE, ["n_pairs"])
        constants = [numpy_helper.from_array(v, t) for t, v in (self._constants | places).items()]
        graph = helper.make_graph(nodes, name, given, [result], constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="samewise")

    def _kind(self, name: str) -> Kind:
        return kind_of_dtype(name, self.schema[name])

    def _taken(self, kind: Kind, names: Sequence[str]) -> Tensor:
        """Columns of one kind, (n_pairs, n_columns)."""
        place = f"c{len(self._constants) + len(self._places)}"
        self._places[place] = tuple(names)
        self._read.update(dict.fromkeys(names, kind))
        return self.add("Gather", kind, place, axis=1)
