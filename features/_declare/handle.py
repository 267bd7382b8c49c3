"""What a decorator returns: a handle of the feature, which names its columns and still is the function or class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from engine import did_you_mean
from features._declare.errors import FeatureError
from features._declare.lookback import Lookback, as_lookback
from features._declare.registry import Declaration, Key

Body = TypeVar("Body", bound=Callable[..., Any])


def as_key(key: str | Feature[Any] | Sequence[str | Feature[Any]]) -> Key:
    """Read one key as it may be written: a name, or several for a cross. Anything else is a FeatureError."""
    names = (key,) if isinstance(key, str | Feature) else key
    if not isinstance(names, list | tuple) or not all(isinstance(name, str | Feature) for name in names):
        raise FeatureError(
            f"{key!r} is neither a name nor a tuple of names.",
            todo="name columns; a lookback is chosen by feature.over(key, lookback=...)",
        )
    return tuple(str(name) for name in names)


@dataclass(frozen=True, eq=False)
class Feature(Generic[Body]):
    """A declared feature: calls go to the function or class, subscripts name its columns.

    ``like_rate["user_id", "source_id"]`` is the column by that key, in ``each=`` and as the default of a parameter.
    What does not exist is a FeatureError that names what does.
    """

    declaration: Declaration

    def __repr__(self) -> str:
        return f"<feature {self.declaration.name}>"

    @property
    def __wrapped__(self) -> Body:
        """The decorated function or class."""
        body: Body = self.declaration.body  # type: ignore[assignment]
        return body

    @property
    def __name__(self) -> str:
        return str(self.declaration.body.__name__)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.declaration.body.__doc__

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function, or make an instance of the class."""
        return self.declaration.body(*arguments, **named)

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        """Let a class derive from a fitted or streamed feature."""
        del bases
        return (self.declaration.body,) if isinstance(self.declaration.body, type) else ()

    def __getitem__(self, key: Any) -> Any:
        """Name the column by a key of an aggregate, of what a per-pair feature is bound to, or of an output.

        Of several lookbacks it is that of all of the history; others are chosen by ``over``. The result is a text; its
        type is open so that it may be the default of a parameter that is annotated as an expression.
        """
        names = as_key(key)
        match self.declaration.kind:
            case "aggregate":
                return self._over(names, None)
            case "per_pair":
                return self._known(self.declaration.pair_name(names))
            case _:
                return self.column("_x_".join(names))

    def over(self, *key: str, lookback: str | Lookback | None = None) -> Any:
        """Name the column of an aggregate by a key, over a lookback."""
        return self._over(as_key(key), as_lookback(lookback))

    def column(self, output: str, *, variant: str = "") -> Any:
        """Name a column of a table, fitted or streamed feature; ``variant``: which of its variants, if it has some."""
        return self._known(self.declaration.output_name(output, variant))

    def _over(self, key: Key, lookback: Lookback | None) -> str:
        """Find the column by a key; without a lookback it is everything, or the only one that there is."""
        lookbacks = [of for known, of in self.declaration.options.get("grid", ()) if known == key]
        if lookback is None and len(lookbacks) == 1:
            return self.declaration.grid_name(key, lookbacks[0])
        return self._known(self.declaration.grid_name(key, lookback or as_lookback(None)))

    def _known(self, name: str) -> str:
        names = self.declaration.names
        if name not in names:
            raise FeatureError(
                f"{self.declaration} has no column {name!r}.{did_you_mean(name, names)}",
                expected="one of " + ", ".join(names),
                todo="subscripts are keys; a lookback is chosen by feature.over(key, lookback=...)",
            )
        return name

    def __str__(self) -> str:
        """Name the only column; raises FeatureError if there are several."""
        if len(self.declaration.names) != 1:
            raise FeatureError(
                f"{self.declaration} has several columns.",
                expected="a subscript that says which: " + ", ".join(self.declaration.names),
            )
        return self.declaration.names[0]


def column_of(feature: object, output: str, *, variant: str = "") -> Any:
    """Name a column of a fitted or streamed feature: type checkers do not see that its class became a ``Feature``."""
    if not isinstance(feature, Feature):
        raise FeatureError(
            f"{feature!r} is no feature.", expected="what a decorator such as @fitted returned"
        )
    return feature.column(output, variant=variant)
