"""How far back an aggregate looks from the cutoff."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

from features._declare.errors import FeatureError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MICROSECONDS = 1_000_000


@dataclass(frozen=True, order=True)
class Lookback:
    """A span before the cutoff.

    ``all``: everything. ``span``: ``size`` microseconds (time clock only). ``horizon``: ``size`` lengths of the
    window's targets (any clock). ``last``: the last ``size`` rows of the key (any clock).
    """

    kind: Literal["all", "span", "horizon", "last"] = "all"
    size: int = 0
    text: str = ""

    @property
    def suffix(self) -> str:
        """End of the column's name: ``""``, ``"__7d"``, ``"__h2"`` or ``"__last20"``."""
        return f"__{self.text}" if self.text else ""


EVERYTHING = Lookback()


def horizon(n: int) -> Lookback:
    """Look back ``n`` horizons: ``clock >= cutoff - n * (until - start)``.

    >>> horizon(2).suffix
    '__h2'
    """
    return Lookback("horizon", _positive(n), f"h{n}")


def last_n(n: int) -> Lookback:
    """Look back over the last ``n`` rows of the key, ties on the clock broken by row number.

    >>> last_n(20).suffix
    '__last20'
    """
    return Lookback("last", _positive(n), f"last{n}")


def as_lookback(value: str | Lookback | None) -> Lookback:
    """Read a lookback as written in a declaration: a duration such as ``"7d"``, a Lookback, or None for all.

    >>> as_lookback("7d").size
    604800000000
    """
    if value is None:
        return EVERYTHING
    if isinstance(value, Lookback):
        return value
    match = re.fullmatch(r"(\d+)([smhdw])", value) if isinstance(value, str) else None
    if not match:
        raise FeatureError(
            f"{value!r} is not a lookback.",
            expected="a duration such as '12h', '7d' or '4w', horizon(n), last_n(n) or None for everything",
        )
    return Lookback("span", _positive(int(match[1])) * _UNITS[match[2]] * MICROSECONDS, value)


def _positive(n: int) -> int:
    if not isinstance(n, Integral) or isinstance(n, bool) or not 1 <= n < 2**31:
        raise FeatureError(f"{n!r} is not the size of a lookback.", expected="a whole number, at least 1")
    return int(n)
