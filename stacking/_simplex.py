"""Search over non-negative weights with sum one, for objectives that have no gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]
Units = tuple[int, ...]


@dataclass
class Simplex:
    """Points of the simplex as whole units, and what the objective was there.

    A rank metric is a step function of the weights, so a finer grid finds noise rather than gain. On a grid the
    search also meets the same points again, and those are free.
    """

    objective: Callable[[Weights], float]
    n_units: int
    budget: int
    seen: dict[Units, float] = field(default_factory=dict)

    def value(self, units: Units) -> float:
        """Objective at a point, computed once."""
        if units not in self.seen:
            self.seen[units] = self.objective(np.array(units, dtype=np.float64) / self.n_units)
        return self.seen[units]

    @property
    def is_spent(self) -> bool:
        """Whether the budget of evaluations is used up."""
        return len(self.seen) >= self.budget

    def climb(self, start: Units, rng: np.random.Generator) -> Units:
        """Move weight from one model to another as long as it helps, in smaller and smaller steps."""
        best = start
        step = max(1, self.n_units // 4)
        while step and not self.is_spent:
            better = next((p for p in _moves(best, step, rng) if self._beats(p, best)), None)
            if better is None:
                step //= 2
            else:
                best = better
        return best

    def _beats(self, point: Units, best: Units) -> bool:
        return (not self.is_spent or point in self.seen) and self.value(point) > self.value(best)


def maximise(
    objective: Callable[[Weights], float],
    n_weights: int,
    *,
    seed: int,
    n_restarts: int = 4,
    n_units: int = 40,
    budget: int = 400,
) -> Weights:
    """Find weights (n_weights,), non-negative with sum one, at which ``objective`` is largest.

    Hill climbing on the grid of ``1 / n_units``: from equal weights, from each single one, and from ``n_restarts``
    Dirichlet draws, with at most ``budget`` evaluations in all (beside the starts). Of points with the same value
    the one nearest to equal weights is taken. Repeats exactly for the same seed.
    """
    rng = np.random.default_rng(seed)
    equal = np.full(n_weights, 1 / n_weights)
    singles = [np.eye(n_weights)[i] for i in range(n_weights)]
    draws = [rng.dirichlet(np.ones(n_weights)) for _ in range(n_restarts)]
    starts = list(dict.fromkeys(_to_units(w, n_units) for w in (equal, *singles, *draws)))
    search = Simplex(objective, n_units, budget + len(starts))
    # The most promising start climbs first: a small budget is then spent where it pays.
    for start in sorted(starts, key=search.value, reverse=True):
        search.climb(start, rng)
    middle = equal * n_units

    def rank(units: Units) -> tuple[float, float]:
        return search.seen[units], -float(np.abs(np.array(units) - middle).sum())

    return np.array(max(search.seen, key=rank), dtype=np.float64) / n_units


def _moves(point: Units, step: int, rng: np.random.Generator) -> Iterator[Units]:
    """Neighbours of a point: up to ``step`` units taken from one weight and given to another, in random order."""
    n = len(point)
    for pick in rng.permutation(n * n):
        giver, taker = divmod(int(pick), n)
        moved = min(step, point[giver])
        if giver != taker and moved:
            units = list(point)
            units[giver] -= moved
            units[taker] += moved
            yield tuple(units)


def _to_units(weights: Weights, n_units: int) -> Units:
    """Round weights to whole units that sum to ``n_units``: the largest remainders are rounded up."""
    exact = weights * n_units
    units = np.floor(exact).astype(int)
    order = np.argsort(units - exact, kind="stable")
    units[order[: n_units - int(units.sum())]] += 1
    return tuple(int(u) for u in units)
