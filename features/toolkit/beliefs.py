"""What is believed of users, items and sources: Gaussians, from priors and from what rows say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

from features.toolkit.designs import Regression
from features.toolkit.gaussian import Floats, Packing, inverse, product
from features.toolkit.positions import Values

if TYPE_CHECKING:
    import torch

FACTORS = 16
SPREAD = 0.25  # standard deviation that the users' tastes are brought to
_RUN = 4_096
_PACKING = Packing(FACTORS + 1)
Designs: TypeAlias = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class Cells:
    """Rows of the log as cells of a matrix: those of one key side by side, and the other key of each.

    They are summed in runs of at most ``_RUN`` rows, and then the runs: one long sum would be rounded too often.
    ``first``: the first run of each key.
    """

    order: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]
    first: npt.NDArray[np.intp]
    other: npt.NDArray[np.int32]
    n_others: int

    @classmethod
    def of(
        cls, key: npt.NDArray[np.int32], n_keys: int, other: npt.NDArray[np.int32], n_others: int
    ) -> Cells:
        order = np.argsort(key, kind="stable")
        counts = np.bincount(key, minlength=n_keys)
        runs = np.maximum(-(-counts // _RUN), 1)
        first = np.cumsum(runs) - runs
        within = (np.arange(runs.sum()) - np.repeat(first, runs)) * _RUN
        starts = np.repeat(np.cumsum(counts) - counts, runs) + within
        return cls(order, np.append(starts, len(key)), first, other[order], n_others)

    def sums(self, weights: Floats | None, of_others: Floats) -> Floats:
        """Sum the rows' vectors of the other key, times their weights: (n_keys, width)."""
        data = np.ones(len(self.order), np.float32) if weights is None else weights[self.order]
        shape = len(self.ends) - 1, self.n_others
        summed: Floats = scipy.sparse.csr_matrix((data, self.other, self.ends), shape=shape) @ of_others
        return summed if len(self.first) == len(summed) else np.add.reduceat(summed, self.first, axis=0)


@dataclass(frozen=True)
class Beliefs:
    """Posterior means (n, d) and covariances (n, d, d) of ``n`` entities: ``FACTORS`` tastes and an offset."""

    mean: Floats
    covariance: Floats

    def turned(self, by: Floats) -> Beliefs:
        """Express them in other coordinates."""
        return Beliefs(self.mean @ by.T, np.asarray(by @ self.covariance @ by.T, np.float32))

    def above(self, others: Beliefs) -> Beliefs:
        """Put beliefs about other entities below these."""
        mean, covariance = np.vstack([self.mean, others.mean]), [self.covariance, others.covariance]
        return Beliefs(mean, np.concatenate(covariance))

    def __getitem__(self, at: npt.NDArray[np.intp] | slice) -> Beliefs:
        return Beliefs(self.mean[at], self.covariance[at])

    def __setitem__(self, at: npt.NDArray[np.intp], others: Beliefs) -> None:
        self.mean[at], self.covariance[at] = others.mean, others.covariance


class Priors:
    """What users, sources and items are expected to be before a row: by what is known of them, and variances around it.

    ``user``, ``source``, ``item`` (n, d): expected means (of an item, beside its source). ``n_apart``: the last columns
    of the designs of items and sources, which have a pull of their own.
    """

    def __init__(self, designs: Designs, n_apart: int = 0) -> None:
        d, self.n_apart = FACTORS + 1, n_apart
        of_user, of_source, of_item = (x.shape[1] for x in designs)
        self.of_user = Regression([of_user], d)
        self.of_source, self.of_item = (Regression([n - n_apart, n_apart], d) for n in (of_source, of_item))
        self.user, self.source, self.item = (np.zeros((len(design), d), np.float32) for design in designs)
        tastes = np.arange(d) < FACTORS
        self.user_variance = np.where(tastes, SPREAD**2, 0.2).astype(np.float32)
        self.source_variance = np.where(tastes, 0.1, 0.05).astype(np.float32)
        self.item_variance = np.where(tastes, 0.03, 0.04).astype(np.float32)

    def learn_users(self, designs: Designs, level: Floats, square: Floats) -> None:
        """Learn from the users' mean levels, and the mean square of what they deviate by."""
        self.user_variance = floored(square)
        self.user = self.of_user.fit(designs[0], level, self.user_variance)

    def learn_items(self, designs: Designs, found: Found) -> tuple[Floats, Floats]:
        """Learn what attributes say of sources and items; return the second moments of what is left: (d, d) each."""
        of_source = second_moment(found.sources, self.source)
        of_item = second_moment(found.own, self.item)
        self.source_variance, self.item_variance = floored(np.diag(of_source)), floored(np.diag(of_item))
        self.source = self.of_source.fit(designs[1], found.sources.mean, self.source_variance)
        self.item = self.of_item.fit(designs[2], found.own.mean, self.item_variance)
        return of_source, of_item

    def turn(self, of_user: Values, of_item: Values, moments: tuple[Floats, Floats]) -> None:
        """Express all in other coordinates."""
        for regression, by in ((self.of_user, of_user), (self.of_source, of_item), (self.of_item, of_item)):
            regression.turn(by)
        self.user_variance[:FACTORS] = SPREAD**2
        self.source_variance, self.item_variance = (
            floored(np.diag(of_item @ moment @ of_item.T)) for moment in moments
        )
        by_user, by_item = of_user.astype(np.float32), of_item.astype(np.float32)
        self.user, self.source, self.item = (
            mean @ by.T for mean, by in ((self.user, by_user), (self.source, by_item), (self.item, by_item))
        )

    def unseen_users(self, design: Floats) -> Beliefs:
        """Say what attributes tell of users without a row: a row of the design matrix each."""
        mean = self.of_user.of(design)
        return Beliefs(mean, np.broadcast_to(np.diag(self.user_variance), (len(mean), *2 * mean.shape[1:])))

    def beside_source(self, whole: Floats, of_source: Floats) -> Floats:
        """Give the designs of unseen items beside those of their sources, a row each: apart, they are their source."""
        own = whole - of_source
        own[:, own.shape[1] - self.n_apart :] = 0.0
        return own

    def unseen_items(
        self, sources: Beliefs, source: npt.NDArray[np.intp], own: Floats, whole: Floats
    ) -> tuple[Beliefs, Floats]:
        """Say what source and attributes tell of items without a row; return their sources' means as well.

        ``source``: positions in ``sources``, their number for an unseen one. ``own``: how the items' designs differ
        from their sources', ``whole`` the designs; a row an item.
        """
        is_new = source == len(sources.mean)
        known = sources[np.where(is_new, 0, source)]
        mean, covariance = known.mean.copy(), known.covariance.copy()
        mean[is_new] = self.of_source.of(whole[is_new])
        covariance[is_new] = np.diag(self.source_variance)
        items = mean + np.where(is_new[:, None], np.float32(0.0), self.of_item.of(own))
        return Beliefs(items, covariance + np.diag(self.item_variance)), mean


@dataclass(frozen=True)
class Found:
    """What is found of items: whole, their sources, what they are beside them; and what rows ``said``.

    ``said`` has no beliefs but messages: information in place of means, precisions in place of covariances.
    """

    items: Beliefs
    sources: Beliefs
    own: Beliefs
    said: Beliefs


def messages(cells: Cells, y: Floats, other: Beliefs, noise: float) -> Beliefs:
    """Sum what the rows say of a key, given the other side: information (n, d) and precision (n, d, d)."""
    z = other.mean.copy()
    z[:, FACTORS] = 1.0
    moments = _PACKING.packed(other.covariance)
    moments[:, _PACKING.row == FACTORS] = 0.0
    moments += _PACKING.outer(z)
    offset = z * other.mean[:, FACTORS:]
    offset[:, :FACTORS] += other.covariance[:, :FACTORS, FACTORS]
    summed = cells.sums(None, np.hstack([moments, offset]))
    size = _PACKING.size
    information = cells.sums(y, z) - summed[:, size:]
    precision = _PACKING.full(summed[:, :size]) / noise
    return Beliefs(information / np.float32(noise), precision.numpy())


def found_items(said: Beliefs, source_of: npt.NDArray[np.intp], priors: Priors) -> Found:
    """Find items and sources together, given what rows say; items are summed out for their sources."""
    import torch

    precision, information, source = tensor(said.covariance), tensor(said.mean), tensor(source_of)
    prior, pull = tensor(priors.item), 1 / tensor(priors.item_variance)
    n_sources, d = priors.source.shape
    alone = inverse(precision + torch.diag(pull))
    said_of_source = torch.zeros(n_sources, d).index_add_(
        0, source, pull * product(alone, information - product(precision, prior))
    )
    of_source = torch.zeros(n_sources, d, d)
    of_source.index_add_(0, source, torch.diag(pull) - pull[:, None] * alone * pull)
    pull_of_source = 1 / tensor(priors.source_variance)
    covariance = inverse(of_source + torch.diag(pull_of_source))
    mean = product(covariance, said_of_source + tensor(priors.source) * pull_of_source)
    gain = alone * pull
    items = product(alone, information + (mean[source] + prior) * pull)
    items_covariance = alone + gain @ covariance[source] @ gain.mT
    # Of what an item is beside its source.
    beside = gain - torch.eye(d)
    own_covariance = alone + beside @ covariance[source] @ beside.mT
    return Found(
        Beliefs(items.numpy(), items_covariance.numpy()),
        Beliefs(mean.numpy(), covariance.numpy()),
        Beliefs((items - mean[source]).numpy(), own_covariance.numpy()),
        said,
    )


def second_moment(beliefs: Beliefs, prior: Floats) -> Floats:
    """Mean of ``E (x - prior)(x - prior)'``: Float64 (d, d)."""
    rest = (beliefs.mean - prior).astype(np.float64)
    moment: Floats = rest.T @ rest / len(rest) + beliefs.covariance.mean(axis=0, dtype=np.float64)
    return moment


def floored(variance: npt.NDArray[np.floating]) -> Floats:
    """Keep variances above nothing, so that every precision is finite."""
    floored: Floats = np.maximum(variance, 1e-6).astype(np.float32)
    return floored


def tensor(array: npt.NDArray[np.generic]) -> torch.Tensor:
    """Take an array as a tensor, without a copy."""
    import torch

    return torch.from_numpy(array)
