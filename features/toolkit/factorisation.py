"""A Bayesian factorisation of a log in closed form: users drift, items lean on their source.

Of row r, in which user u meets item i at step t (the history is cut into steps of as many rows each)::

    y_r = b_ut + c_i + f(age of i) + p_ut . q_i + e_r,                  e_r ~ N(0, s2)
    x_ut = [p_ut, b_ut] = m_u + d_ut,   d_ut = memory d_u(t-1) + news,  d_ut ~ N(0, diag(v_user))
    [q_i, c_i] = g_s(i) + W' w_i + N(0, diag(v_item)),   g_s = W'' w_s + N(0, diag(v_source))

``m_u`` is a regression on the user's attributes, ``w`` are the item's attributes and content (``w_s`` their mean over
the source, ``w_i`` what differs from it). The posterior is approximated by one Gaussian of each user's path and one of
each item and its source, found in turn with the covariances of the other side (variational Bayes: Lim & Teh 2007,
Paquet & Koenigstein 2013; messages as in Matchbox, Stern, Herbrich & Graepel 2009); variances and noise by EM, memory
by the evidence of some users' rows. Tastes are turned after each sweep so that the users' are spherical, which speeds
it up (Luttinen & Ilin 2010).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy

from features.toolkit.beliefs import (
    FACTORS,
    SPREAD,
    Beliefs,
    Cells,
    Designs,
    Found,
    Priors,
    found_items,
    messages,
    tensor,
)
from features.toolkit.gaussian import Floats, Path, likelier_memory, product, smoothed_path
from features.toolkit.positions import Values

if TYPE_CHECKING:
    import torch

SEED = 20_261_129
# Ages as shares of the history; an item that is there in the first ``UNKNOWN`` of it may be of any age.
AGES = (1 / 192, 1 / 96, 1 / 64, 1 / 48, 1 / 36, 1 / 24, 1 / 18, 1 / 12, 1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2)
UNKNOWN = 1 / 96
USERS_ASKED = 400  # whose rows the memory is learned from; of a small log's, every second one
MOVES, BETWEEN = 6, 4  # of the memory: in a sweep each at first, and then after so many sweeps each
_ROWS, _CHUNK = 500_000, 50_000  # of the log that are looked at one by one, and at a time


class Factorisation:
    """The model of this file, by positions of users, items and sources: see there.

    Parameters
    ----------
    user, item, step
        Int32 (n_rows,), in the order of the log.
    y
        Float32 (n_rows,): the observations of appeal.
    source_of
        Int (n_items,): the source of each item.
    designs
        Of users (n_users, ...), of sources (n_sources, ...) and of what items differ by from them (n_items, ...).
    n_apart
        The last columns of the items' and sources' designs, which earn their weight apart from the others.

    Attributes
    ----------
    users
        Beliefs about the users' states at the step after the last; ``user_level`` (n_users, d) their means over all.
    items, sources
        Beliefs about items and sources.
    of_age
        Float32 (n_bins,): what the age of an item adds; see ``bins_of``.
    noise, memory
        Variance of an observation, and what is left of a user's deviation a step later: (d,).
    """

    def __init__(
        self,
        user: npt.NDArray[np.int32],
        item: npt.NDArray[np.int32],
        step: npt.NDArray[np.int32],
        y: Floats,
        source_of: npt.NDArray[np.intp],
        designs: Designs,
        unit: int | None = None,
        n_apart: int = 0,
    ) -> None:
        self.user, self.item, self.y, self.source_of = user, item, y, source_of
        self.n_rows, self.unit = len(y), unit or len(y)
        self.n_users, self.n_sources, self.n_items = map(len, designs)
        self.n_steps, d = int(step.max()) + 1, FACTORS + 1
        self._state = step * np.int32(self.n_users) + user
        n_states = self.n_steps * self.n_users
        self._by_state = Cells.of(self._state, n_states, item, self.n_items)
        self._by_item = Cells.of(item, self.n_items, self._state, n_states)
        self.priors, self.designs = Priors(designs, n_apart), designs
        self._reach, self._is_settled = 1.6, False  # of the search for the memory, in log odds
        self._n_settled = 0  # sweeps that could learn it
        self.memory = np.where(np.arange(d) < FACTORS, 0.85, 0.97).astype(np.float32)
        self.noise = max(float(y.var()) * 0.6, 1e-3)
        self.first = np.full(self.n_items, len(y))
        np.minimum.at(self.first, item, np.arange(len(y)))
        self.age_bin = bins_of(self.first[item], np.arange(len(y)), self.unit)
        self.of_age = np.zeros(len(AGES) + 2, np.float32)
        start = starting_vectors(user, item, y, source_of)
        self.items = Beliefs(start, np.zeros((self.n_items, d, d), np.float32))

    def sweep(self) -> None:
        """Find the users' paths given the items, the items given the paths, then all that is learned of both."""
        y = self.y - self.of_age[self.age_bin]
        path = self._smooth_users(y)
        states = Beliefs(*_flat(path.mean + tensor(self.priors.user), path.covariance))
        found = self._find_items(y, states)
        self._learn_noise(y, states, found)
        self._learn_users(path)
        spread = self.priors.learn_items(self.designs, found)
        self._learn_ages(states, found.items)
        self._turn(path, found, spread)
        self._is_settled = True

    def observe(self, y: Floats) -> float:
        """Take other observations of the same rows, brought to the spread of those before; return by what factor.

        The items are those of the old ones then, for a sweep: too little is known to learn the memory from.
        """
        factor = float(self.y.std() / max(y.std(), 1e-6))
        self.y, self._is_settled = y * np.float32(factor), False
        return factor

    def _smooth_users(self, y: Floats) -> Path:
        """Smooth the users' deviations from their priors, given the items."""
        said = messages(self._by_state, y, self.items, self.noise)
        shape = (self.n_steps, self.n_users, FACTORS + 1)
        precision = tensor(said.covariance).reshape(*shape, FACTORS + 1)
        information = tensor(said.mean).reshape(shape)
        information = information - product(precision, tensor(self.priors.user))
        if self.n_steps > 1 and self._is_due():
            some = slice(None, None, max(self.n_users // USERS_ASKED, 2))
            self._learn_memory(precision[:, some], information[:, some])
        return smoothed_path(precision, information, tensor(self.memory), tensor(self.priors.user_variance))

    def _is_due(self) -> bool:
        """Tell whether this sweep learns the memory: half of a sweep's time in a small log, and soon found."""
        self._n_settled += self._is_settled
        after = self._n_settled - MOVES
        return self._is_settled and (after <= 0 or after % BETWEEN == 0)

    def _learn_memory(self, precision: torch.Tensor, information: torch.Tensor) -> None:
        """Move the memory of tastes, and then that of offsets, to where what some users did is likelier."""
        import torch

        variance, tastes = tensor(self.priors.user_variance), torch.arange(FACTORS + 1) < FACTORS
        for moved in (tastes, ~tastes):
            memory = tensor(self.memory)
            found = likelier_memory(precision, information, memory, variance, moved * self._reach)
            self.memory = found.clamp(0.01, 0.999).numpy()
        self._reach = max(self._reach / 2, 0.2)

    def _find_items(self, y: Floats, states: Beliefs) -> Found:
        return found_items(messages(self._by_item, y, states, self.noise), self.source_of, self.priors)

    def _learn_noise(self, y: Floats, states: Beliefs, found: Found) -> None:
        """Take the mean of ``E (y - x.z)^2`` over the rows, out of what was summed already."""
        mean, said = found.items.mean, found.said
        square = tensor(found.items.covariance) + tensor(mean[:, :, None] * mean[:, None, :])
        fit = float((tensor(said.covariance).double() * square).sum())
        fit -= 2 * float((tensor(said.mean).double() * tensor(mean)).sum())
        offset = states.mean[:, FACTORS].astype(np.float64)
        square_of_offset = offset**2 + states.covariance[:, FACTORS, FACTORS]
        exact = y.astype(np.float64)
        own = (exact**2).sum() - 2 * np.bincount(self._state, exact, len(offset)) @ offset
        own += np.bincount(self._state, minlength=len(offset)) @ square_of_offset
        self.noise = max((self.noise * fit + float(own)) / len(y), 1e-6)

    def _learn_users(self, path: Path) -> None:
        """Learn the variance of the users' deviations, and what their attributes say of their level."""
        square = (path.mean**2 + path.covariance.diagonal(dim1=2, dim2=3)).mean(dim=1)
        self.user_level = path.mean.mean(dim=0).numpy() + self.priors.user
        self.priors.learn_users(self.designs, self.user_level, square.mean(dim=0).numpy())

    def _learn_ages(self, states: Beliefs, items: Beliefs) -> None:
        """Learn the effect of ages on rows at equal distances: ``appeal`` is which they are and what is expected."""
        rows = slice(None, None, max(len(self.y) // _ROWS, 1))
        appeal = appeal_of(states.mean, self._state[rows], items.mean, self.item[rows])
        self.appeal = rows, appeal
        self.ages = rest_by_age(self.age_bin[rows], self.y[rows] - appeal)
        self.of_age = effect_of(self.ages)

    def _turn(self, path: Path, found: Found, moments: tuple[Floats, Floats]) -> None:
        """Turn the tastes so that users' are spherical and sources' uncorrelated: every product stays as it is."""
        k = FACTORS
        tastes = path.mean[:, :, :k].reshape(-1, k).double()
        of_users = tastes.T @ tastes / len(tastes) + path.covariance[:, :, :k, :k].mean(dim=(0, 1))
        lower = np.linalg.cholesky(of_users.numpy() + 1e-9 * np.eye(k))
        _, axes = np.linalg.eigh(lower.T @ moments[0][:k, :k] @ lower)
        turn = axes[:, ::-1].T @ np.linalg.inv(lower) * SPREAD
        of_user, of_item = np.eye(k + 1), np.eye(k + 1)
        of_user[:k, :k], of_item[:k, :k] = turn, np.linalg.inv(turn).T
        self.priors.turn(of_user, of_item, moments)
        by_user, by_item = of_user.astype(np.float32), of_item.astype(np.float32)
        self.user_level = self.user_level @ by_user.T
        self.items, self.sources = found.items.turned(by_item), found.sources.turned(by_item)
        self.said = found.said.turned(by_user)
        ahead = Beliefs(path.next_mean.numpy(), path.next_covariance.numpy()).turned(by_user)
        self.users = Beliefs(ahead.mean + self.priors.user, ahead.covariance)


def appeal_of(
    states: Floats, state: npt.NDArray[np.int32], items: Floats, item: npt.NDArray[np.int32]
) -> Floats:
    """Give the expected appeal of rows, without ages."""
    found = np.empty(len(state), np.float32)
    for start in range(0, len(found), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        x, q = states[state[chunk]], items[item[chunk]]
        found[chunk] = (x[:, :FACTORS] * q[:, :FACTORS]).sum(axis=1) + x[:, FACTORS] + q[:, FACTORS]
    return found


def bins_of(first: npt.NDArray[np.intp], at: npt.NDArray[np.intp] | int, unit: int) -> npt.NDArray[np.intp]:
    """Give the bin of the age at row ``at`` of an item whose first row is ``first``: 0 where it is unknown.

    ``unit``: the number of rows that ages are shares of.
    """
    bins = np.searchsorted(np.array(AGES) * unit, at - first, side="right") + 1
    return np.where(first < UNKNOWN * unit, 0, bins)


def rest_by_age(bins: npt.NDArray[np.intp], rest: Floats) -> Values:
    """Sum what is left of rows by the bin of their age, and count them: (2, n_bins)."""
    n_bins = len(AGES) + 2
    return np.array([np.bincount(bins, rest, n_bins), np.bincount(bins, minlength=n_bins)])


def effect_of(ages: Values) -> Floats:
    """Take for the effect of an age what is left of its rows on average, against those of unknown age."""
    mean = ages[0] / (ages[1] + 50.0)
    effect: Floats = (mean - mean[0]).astype(np.float32)
    return effect


def starting_vectors(
    user: npt.NDArray[np.int32], item: npt.NDArray[np.int32], y: Floats, source_of: npt.NDArray[np.intp]
) -> Floats:
    """Start items at singular vectors of what users make of sources beyond offsets (Halko, Martinsson, Tropp 2011).

    Of items themselves where there are few sources. Float32 (n_items, FACTORS + 1), the last the items' offsets.
    """
    from sklearn.utils.extmath import randomized_svd

    n_users, n_items = int(user.max()) + 1, len(source_of)
    vectors = np.zeros((n_items, FACTORS + 1), np.float32)
    vectors[:, :FACTORS] = np.random.default_rng(SEED).normal(0.0, 0.02, (n_items, FACTORS))
    rest = y - y.mean(dtype=np.float64)
    vectors[:, FACTORS] = np.bincount(item, rest, n_items) / (np.bincount(item, minlength=n_items) + 15.0)
    rest -= vectors[item, FACTORS]
    rest -= (np.bincount(user, rest, n_users) / (np.bincount(user, minlength=n_users) + 5.0))[user]
    entity = source_of if len(np.unique(source_of)) > FACTORS else np.arange(n_items)
    column, n_columns = entity[item], int(entity.max()) + 1
    of_user, of_column = (1 / np.sqrt(np.bincount(key) + 20.0) for key in (user, column))
    cells = scipy.sparse.csr_matrix(
        ((rest * of_user[user] * of_column[column]).astype(np.float32), (user, column)),
        shape=(n_users, n_columns),
    )
    n_factors = min(FACTORS, *cells.shape)
    _, singular, right = randomized_svd(cells, n_factors, n_iter=5, random_state=SEED)
    found = right.T * singular * np.append(of_column, np.ones(n_columns - len(of_column)))[:, None]
    found *= 0.3 / np.maximum(np.sqrt((found**2).mean(axis=0)), 1e-9)
    vectors[:, :n_factors] += found[entity]
    return vectors


def _flat(mean: torch.Tensor, covariance: torch.Tensor) -> tuple[Floats, Floats]:
    """Put the steps of all users below each other."""
    d = mean.shape[-1]
    return mean.reshape(-1, d).numpy(), covariance.reshape(-1, d, d).numpy()
