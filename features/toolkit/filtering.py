"""The model of ``factorisation.py`` gone on with by chunks of the log, each once.

Users are filtered: what is believed of one forgets towards what their attributes say as rows go by, and takes in those
of a chunk (Kalman 1960). An item's posterior so far is its prior in the next chunk. Both are found in turn within a
chunk. What the rows of all chunks said of an item is added up, too, so that items and sources can be found together
again as in a sweep (``lean``), without the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from features.toolkit.beliefs import FACTORS, Beliefs, Cells, Priors, found_items, messages
from features.toolkit.factorisation import Factorisation, appeal_of, bins_of, effect_of, rest_by_age
from features.toolkit.gaussian import Floats, inverse, product
from features.toolkit.positions import Values

if TYPE_CHECKING:
    import torch

ROUNDS = 2  # within a chunk
LEAN_SHARE = 1 / 8  # of the rows, after which items and sources are found together again
Places = npt.NDArray[np.intp]


def _nobody() -> Beliefs:
    return Beliefs(np.zeros((0, FACTORS + 1), np.float32), np.zeros((0, *2 * (FACTORS + 1,)), np.float32))


def _nothing() -> npt.NDArray[Any]:
    return np.zeros(0)


@dataclass
class Filter:
    """State of the model after the last chunk, by positions of users, items and sources.

    Attributes
    ----------
    met, at
        Beliefs about users as of their last chunk, and the row at which it ended.
    items, sources, said
        Beliefs about them, and what rows said of items (``Found.said``).
    noise, memory, of_age
        As of ``Factorisation``; ``memory`` is what is left after ``step`` rows.
    n_rows, leaned
        Rows that were learned, and when ``lean`` was called.
    """

    priors: Priors = field(default_factory=lambda: Priors((np.zeros((0, 0), np.float32),) * 3))
    met: Beliefs = field(default_factory=_nobody)
    items: Beliefs = field(default_factory=_nobody)
    sources: Beliefs = field(default_factory=_nobody)
    said: Beliefs = field(default_factory=_nobody)
    at: Places = field(default_factory=_nothing)
    first: Places = field(default_factory=_nothing)
    source_of: Places = field(default_factory=_nothing)
    memory: Floats = field(default_factory=_nothing)
    ages: Values = field(default_factory=_nothing)
    noise: float = 0.0
    step: float = 0.0
    unit: int = 0
    n_rows: int = 0
    leaned: int = 0

    @classmethod
    def after(cls, model: Factorisation) -> Filter:
        """Begin with what sweeps over the first rows have found."""
        return cls(
            model.priors, _in_order(model.users), _in_order(model.items), _in_order(model.sources),
            _in_order(model.said),
            np.full(model.n_users, model.n_rows), model.first, model.source_of, model.memory, model.ages,
            model.noise, model.n_rows / model.n_steps, model.unit, model.n_rows, model.n_rows,
        )  # fmt: skip

    @property
    def of_age(self) -> Floats:
        """What the age of an item adds."""
        return effect_of(self.ages)

    @property
    def users(self) -> Beliefs:
        """Beliefs about all users a step after the last row."""
        return self._ahead(np.arange(len(self.at)), self.n_rows + self.step)

    def _ahead(self, users: Places, to: float) -> Beliefs:
        """Beliefs about some users at a row."""
        left = (self.memory ** ((to - self.at[users]) / self.step)[:, None]).astype(np.float32)
        prior, met, each = self.priors.user[users], self.met[users], np.arange(left.shape[1])
        covariance = left[:, :, None] * met.covariance * left[:, None, :]
        covariance[:, each, each] += (1 - left**2) * self.priors.user_variance
        return Beliefs(prior + left * (met.mean - prior), covariance)

    def meet(self, design: Floats, whole: Floats, of_source: Floats, source_of: Places) -> None:
        """Make room for new users, items and sources: designs of those, and of all sources; ``source_of`` all items."""
        priors, n_items, n_sources = self.priors, len(self.first), len(self.priors.source)
        users = priors.unseen_users(design)
        self.met, priors.user = self.met.above(users), np.vstack([priors.user, users.mean])
        self.at = np.append(self.at, np.full(len(design), self.n_rows))
        mean = priors.of_source.of(of_source[n_sources:])
        variance = np.broadcast_to(np.diag(priors.source_variance), (len(mean), *2 * mean.shape[1:]))
        self.sources, priors.source = (
            self.sources.above(Beliefs(mean, variance)),
            np.vstack([priors.source, mean]),
        )
        self.source_of = source_of
        own = priors.beside_source(whole, of_source[source_of[n_items:]])
        items, _ = priors.unseen_items(self.sources, source_of[n_items:], own, whole)
        self.items, priors.item = self.items.above(items), np.vstack([priors.item, priors.of_item.of(own)])
        self.said = self.said.above(Beliefs(0 * items.mean, 0 * items.covariance))
        self.first = np.append(self.first, np.full(len(whole), np.iinfo(np.int64).max))

    def follow(self, user: Places, item: Places, y: Floats) -> None:
        """Learn from the next chunk of rows: its users and items in turn, then ages; and ``lean`` when it is time."""
        import torch

        (users, user_of), (items, item_of) = _numbered(user), _numbered(item)
        at, first = self.n_rows + np.arange(len(y)), self.first[items]
        self.n_rows += len(y)
        np.minimum.at(first, item_of, at)
        bins = bins_of(first[item_of], at, self.unit)
        rest = y - effect_of(self.ages)[bins]
        by_user = Cells.of(user_of, len(users), item_of, len(items))
        by_item = Cells.of(item_of, len(items), user_of, len(users))
        expected, known = self._ahead(users, self.n_rows), self.items[items]
        of_user, of_item = (inverse(torch.from_numpy(beliefs.covariance)) for beliefs in (expected, known))
        found = known
        for _ in range(ROUNDS):
            states = _updated(expected, of_user, messages(by_user, rest, found, self.noise))
            said = messages(by_item, rest, states, self.noise)
            found = _updated(known, of_item, said)
        self.ages += rest_by_age(bins, y - appeal_of(states.mean, user_of, found.mean, item_of))
        self.met[users], self.at[users] = states, self.n_rows
        self.items[items], self.first[items] = found, first
        self.said.mean[items] += said.mean
        self.said.covariance[items] += said.covariance
        if self.n_rows - self.leaned >= LEAN_SHARE * self.n_rows:
            self.lean()

    def lean(self) -> None:
        """Find all items and sources together, of what was said of items so far."""
        found = found_items(self.said, self.source_of, self.priors)
        self.items, self.sources = _in_order(found.items), _in_order(found.sources)
        self.leaned = self.n_rows


def _in_order(beliefs: Beliefs) -> Beliefs:
    """Lay numbers out in memory as those that are loaded: their sums are rounded by it."""
    return Beliefs(np.array(beliefs.mean, order="C"), np.array(beliefs.covariance, order="C"))


def _numbered(keys: Places) -> tuple[Places, npt.NDArray[np.int32]]:
    """Give the keys there are, and the number among them of each."""
    found, number = np.unique(keys, return_inverse=True)
    return found, number.astype(np.int32)


def _updated(prior: Beliefs, precision: torch.Tensor, said: Beliefs) -> Beliefs:
    """Give the posterior of a prior (with its precisions) and of what rows said."""
    import torch

    covariance = inverse(precision + torch.from_numpy(said.covariance))
    information = product(precision, torch.from_numpy(prior.mean)) + torch.from_numpy(said.mean)
    return Beliefs(product(covariance, information).numpy(), covariance.numpy())


def arrays_of(state: object, path: str = "") -> dict[str, npt.NDArray[Any]]:
    """Give all arrays and numbers of an object, and of the objects in it, by their paths."""
    if isinstance(state, np.ndarray | float | int):
        return {path: np.asarray(state)}
    parts = ((f"{path}.{name}".lstrip("."), part) for name, part in vars(state).items())
    return {name: array for own, part in parts for name, array in arrays_of(part, own).items()}


def restore(state: object, arrays: Mapping[str, npt.NDArray[Any]], path: str = "") -> None:
    """Set what ``arrays_of`` gave in an object of the same form; KeyError if something lacks."""
    for name, part in vars(state).items():
        own = f"{path}.{name}".lstrip(".")
        if isinstance(part, np.ndarray | float | int):
            array = arrays[own]
            object.__setattr__(state, name, array if array.ndim else array.item())
        else:
            restore(part, arrays, own)
