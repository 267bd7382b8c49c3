"""What a bundle is asked with: columns, their place in one matrix a kind, and what stands for null."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import polars as pl

from models.graphs.errors import ExportError
from models.ranking import derived_parts

Kind = Literal["float32", "float64", "int64", "text"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NO_WHOLE_NUMBER = -(2**63)  # stands for null in the matrix of whole numbers
NO_TEXT = "\x01"  # stands for null in the matrix of texts; in the others it is NaN


@dataclass(frozen=True)
class Input:
    """One column of a request: its name, its dtype in Polars' words, and its place in the matrix of its kind.

    ``length``: None for one value a pair. Otherwise it is an array of so many values, one for the whole request, such
    as what a user did last: it takes as many columns of the matrix, whose first row is read.
    """

    name: str
    dtype: str
    kind: Kind
    position: int
    length: int | None = None

    @property
    def width(self) -> int:
        """Columns of the matrix that it takes."""
        return 1 if self.length is None else self.length


@dataclass(frozen=True)
class Inputs:
    """Every column that some graph of a bundle reads."""

    columns: tuple[Input, ...]

    @classmethod
    def of(cls, names: Iterable[str], schema: Mapping[str, pl.DataType]) -> Inputs:
        """Give columns their places, in the order of their names."""
        made, width = [], dict.fromkeys(KINDS, 0)
        for name in sorted(set(names)):
            kind = kind_of_dtype(name, schema[name])
            inner, length = of_one_value(schema[name])
            dtype = "Enum" if isinstance(inner, pl.Enum) else str(inner)
            made.append(Input(name, dtype, kind, width[kind], length))
            width[kind] += made[-1].width
        return cls(tuple(made))

    def width(self, kind: Kind) -> int:
        """Number of columns of a matrix."""
        return sum(i.width for i in self.columns if i.kind == kind)

    def positions(self, names: Iterable[str]) -> list[int]:
        """Places of columns in the matrices of their kinds; of an array those of all its values."""
        where = {i.name: range(i.position, i.position + i.width) for i in self.columns}
        return [place for name in names for place in where[name]]


def with_places(schema: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """Dtypes of columns, and of each number of a vector: a vector that differs from pair to pair is read as these."""
    found = dict(schema)
    for name, dtype in schema.items():
        inner, length = of_one_value(dtype)
        if length is not None and inner.is_float():
            found |= {f"{name}[{i}]": inner for i in range(length)}
    return found


def values_of(pairs: pl.DataFrame, name: str) -> pl.Series:
    """Give a column of pairs, or a number of each pair's vector: ``content[7]``."""
    base, _, place = derived_parts(name)
    if name in pairs.columns or place is None:
        return pairs[name]
    return pairs[base].arr.get(place, null_on_oob=True).alias(name)


def kind_of_dtype(name: str, dtype: pl.DataType) -> Kind:
    """Matrix that a column, or an array's values, lies in. Raises ExportError for a dtype that has none."""
    inner, _ = of_one_value(dtype)
    if inner == pl.Float32:
        return "float32"
    if inner == pl.Float64:
        return "float64"
    if inner.is_integer() or inner == pl.Boolean:
        return "int64"
    if isinstance(inner, pl.Enum | pl.Categorical) or inner == pl.String:
        return "text"
    raise ExportError(
        f"the column {name!r} is {dtype}, which a request cannot carry",
        expected="numbers, Boolean, texts or an Enum, or an array of one of these",
    )


def of_one_value(dtype: pl.DataType) -> tuple[pl.DataType, int | None]:
    """Dtype of one value, and the length of an array; None for what is no array."""
    if isinstance(dtype, pl.Array) and len(dtype.shape) == 1:
        return cast("pl.DataType", dtype.inner), dtype.size
    return dtype, None
