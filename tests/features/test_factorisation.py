"""The Bayesian factorisation: against a joint Gaussian solved by hand, and on a log with planted tastes that drift."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from features.toolkit import FACTORS, Beliefs, Factorisation, Floats, bins_of

D = FACTORS + 1
UNKNOWN, N_AGES = 1 / 96, 13  # of the history; bounds of ages


@dataclass(frozen=True)
class Planted:
    """A log by positions; ``later`` (n_users, n_items): the appeal, by the users' tastes after the last step."""

    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    step: npt.NDArray[np.int32]
    y: Floats
    source_of: npt.NDArray[np.intp]
    designs: tuple[Floats, Floats, Floats]
    later: npt.NDArray[np.float64]

    def model(self, n_sweeps: int = 0, **changes: Any) -> Factorisation:
        args = {name: getattr(self, name) for name in ("user", "item", "step", "y", "source_of", "designs")}
        model = Factorisation(**{**args, **changes})
        for _ in range(n_sweeps):
            model.sweep()
        return model


def planted(
    n_users: int, n_items: int, n_sources: int, n_rows: int, n_steps: int = 8, memory: float = 0.75
) -> Planted:
    """Tastes of rank 3 that drift; items near their source, sources near what their content says."""
    rng = np.random.default_rng(9)
    content = rng.normal(size=(n_sources, 2))
    sources = content @ rng.normal(size=(2, 3)) * 0.5 + 0.5 * rng.normal(size=(n_sources, 3))
    source_of = np.arange(n_items) % n_sources
    items = sources[source_of] + 0.3 * rng.normal(size=(n_items, 3))
    offsets = 0.3 * rng.normal(size=n_items)
    age = rng.integers(20, 60, n_users)
    level = 0.4 * (age[:, None] - 40) / 12 * np.array([1.0, 0.0, 0.0])
    path = [0.7 * rng.normal(size=(n_users, 3))]
    for _ in range(n_steps):
        path.append(memory * path[-1] + 0.7 * np.sqrt(1 - memory**2) * rng.normal(size=(n_users, 3)))
    user, item = (rng.integers(0, n, n_rows).astype(np.int32) for n in (n_users, n_items))
    step = (np.arange(n_rows) * n_steps // n_rows).astype(np.int32)
    x = np.array(path)[step, user] + level[user]
    y = (x * items[item]).sum(axis=1) + offsets[item] + 0.8 * rng.normal(size=n_rows)
    designs = tuple(d.astype(np.float32) for d in ((age[:, None] - 40) / 12, content, np.zeros((n_items, 2))))
    later = (path[-1] + level) @ items.T + offsets
    return Planted(user, item, step, y.astype(np.float32), source_of, designs, later)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small() -> Planted:
    """So few that all items and sources are solved for at once; the last item has no row, the last source no item."""
    found = planted(7, 5, 3, 120, n_steps=3)
    assert set(found.item) == set(range(5))
    source_of = np.append(found.source_of, 1)
    of_user, *others = found.designs
    of_source, of_item = (np.vstack([d, d[:1] + 1]) for d in others)
    return replace(found, source_of=source_of, designs=(of_user, of_source, of_item))


@pytest.fixture(scope="module")
def large() -> Planted:
    return planted(100, 80, 16, 24_000)


def halfway(model: Factorisation) -> tuple[Any, Beliefs, Any, Floats]:
    """Stop within a sweep: the users' paths, states with what attributes say, what is found of items, and y."""
    y = model.y - model.of_age[model.age_bin]
    path = model._smooth_users(y)
    states = Beliefs(
        (path.mean.numpy() + model.priors.user).reshape(-1, D), path.covariance.numpy().reshape(-1, D, D)
    )
    return path, states, model._find_items(y, states), y


@pytest.mark.parametrize("n_sweeps", [0, 2])
def test_items_and_sources_are_the_joint_gaussian_given_the_users(small: Planted, n_sweeps: int) -> None:
    model = small.model(n_sweeps)
    _, states, found, y = halfway(model)
    n_sources, n_items = len(small.designs[1]), len(small.source_of)
    precision = np.zeros((n_sources + n_items, D, n_sources + n_items, D))
    said = np.zeros((n_sources + n_items, D))
    each = np.arange(D)
    for s in range(n_sources):
        precision[s, each, s, each] += 1 / model.priors.source_variance
        said[s] += model.priors.source[s] / model.priors.source_variance
    for i, s in enumerate(small.source_of):
        at, pull, shift = (
            n_sources + i,
            1 / model.priors.item_variance,
            model.priors.item[i] / model.priors.item_variance,
        )
        for one, other, sign in ((at, at, 1), (s, s, 1), (at, s, -1), (s, at, -1)):
            precision[one, each, other, each] += sign * pull
        said[at] += shift
        said[s] -= shift
    for u, i, t, seen in zip(small.user, small.item, small.step, y, strict=True):
        state = t * len(small.designs[0]) + u
        x, covariance = states.mean[state].astype(float), states.covariance[state].copy()
        offset, with_offset = x[-1], covariance[-1].copy()
        x[-1], covariance[-1], covariance[:, -1], with_offset[-1] = 1, 0, 0, 0
        at = n_sources + i
        precision[at, :, at] += (np.outer(x, x) + covariance) / model.noise
        said[at] += ((seen - offset) * x - with_offset) / model.noise
    size = (n_sources + n_items) * D
    covariance = np.linalg.inv(precision.reshape(size, size))
    mean = (covariance @ said.ravel()).reshape(-1, D)
    covariance = covariance.reshape(n_sources + n_items, D, -1, D)
    for s in range(n_sources):
        np.testing.assert_allclose(found.sources.mean[s], mean[s], atol=1e-4)
        np.testing.assert_allclose(found.sources.covariance[s], covariance[s, :, s], atol=1e-4)
    for i, s in enumerate(small.source_of):
        at = n_sources + i
        np.testing.assert_allclose(found.items.mean[i], mean[at], atol=1e-4)
        np.testing.assert_allclose(found.items.covariance[i], covariance[at, :, at], atol=1e-4)
        np.testing.assert_allclose(found.own.mean[i], mean[at] - mean[s], atol=1e-4)
        apart = covariance[at, :, at] - covariance[at, :, s] - covariance[s, :, at] + covariance[s, :, s]
        np.testing.assert_allclose(found.own.covariance[i], apart, atol=1e-4)
    last = found.items.mean[-1] - found.sources.mean[1]  # no row: its source and what its attributes say
    np.testing.assert_allclose(last, model.priors.item[-1], atol=1e-5)
    np.testing.assert_allclose(found.sources.mean[-1], model.priors.source[-1], atol=1e-5)  # and no item


def test_noise_is_the_expected_square_of_what_is_left(small: Planted) -> None:
    model = small.model(2)
    _, states, found, y = halfway(model)
    model._learn_noise(y, states, found)
    squares = []
    for u, i, t, seen in zip(small.user, small.item, small.step, y, strict=True):
        state = t * len(small.designs[0]) + u
        a, w = np.ones(D + 1), np.ones(D + 1)  # [p, b, 1] and [q, 1, c]
        a[:D], w[:-2], w[-1] = states.mean[state], found.items.mean[i][:-1], found.items.mean[i][-1]
        of_a, of_w = np.zeros((D + 1, D + 1)), np.zeros((D + 1, D + 1))
        of_a[:D, :D] = states.covariance[state]
        place = [*range(FACTORS), D]
        of_w[np.ix_(place, place)] = found.items.covariance[i]
        squares.append((seen - a @ w) ** 2 + w @ of_a @ w + a @ of_w @ a + np.trace(of_a @ of_w))
    assert model.noise == pytest.approx(np.mean(squares), rel=1e-4)


def test_a_turn_changes_no_product_and_no_prediction(large: Planted) -> None:
    model = large.model(2)
    path, states, found, _ = halfway(model)
    model._learn_users(path)
    spread = model.priors.learn_items(model.designs, found)
    users = path.next_mean.numpy() + model.priors.user
    k, (of_user, of_source, _) = FACTORS, large.designs

    def products(users: Floats, items: Floats) -> Floats:
        return users[:, :k] @ items[:, :k].T

    def predicted() -> Floats:
        return products(model.priors.of_user.of(of_user), model.priors.of_source.of(of_source))

    before = products(users, found.items.mean), products(users, found.sources.mean), predicted()
    level = model.user_level.copy()
    sizes = [
        np.trace(c @ d) for c, d in zip(path.next_covariance.numpy(), found.items.covariance, strict=False)
    ]
    model._turn(path, found, spread)
    after = (
        products(model.users.mean, model.items.mean),
        products(model.users.mean, model.sources.mean),
        predicted(),
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
    np.testing.assert_allclose(
        products(level, found.items.mean), products(model.user_level, model.items.mean), atol=2e-4
    )
    turned = [np.trace(c @ d) for c, d in zip(model.users.covariance, model.items.covariance, strict=False)]
    np.testing.assert_allclose(sizes, turned, rtol=1e-3)
    np.testing.assert_array_equal(model.items.mean[:, k], found.items.mean[:, k])  # offsets stay
    assert states.mean.shape == (len(of_user) * model.n_steps, D)


def recovered(model: Factorisation, truth: npt.NDArray[np.float64]) -> float:
    """Correlation with the planted appeal of what is expected of every user and item by now."""
    x, q = model.users.mean, model.items.mean
    found = x[:, :FACTORS] @ q[:, :FACTORS].T + q[:, FACTORS]
    return float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])


def test_sweeps_bring_it_nearer_to_tastes_that_drift(large: Planted) -> None:
    popularity = np.bincount(large.item, large.y) / np.bincount(large.item)
    of_all = float(
        np.corrcoef(np.broadcast_to(popularity, large.later.shape).ravel(), large.later.ravel())[0, 1]
    )
    one, more = recovered(large.model(1), large.later), recovered(large.model(6), large.later)
    still = recovered(large.model(6, step=np.zeros_like(large.step)), large.later)
    assert more > one + 0.05
    assert more > of_all + 0.2
    assert more > still + 0.03


def test_it_learns_noise_and_who_leans_on_what(large: Planted) -> None:
    model = large.model(6)
    assert model.noise == pytest.approx(0.8**2, rel=0.1)
    # Users and sources without a row, by what is known of them: the appeal of those that have rows, roughly.
    of_user, of_source, _ = large.designs
    users = model.priors.unseen_users(of_user)
    nothing = np.zeros_like(of_source)
    unseen = np.full(len(of_source), model.n_sources)
    items, sources = model.priors.unseen_items(model.sources, unseen, nothing, of_source)
    np.testing.assert_array_equal(items.mean, sources)
    by_source = np.array([large.later[:, large.source_of == s].mean(axis=1) for s in range(len(of_source))]).T
    found = model.users.mean[:, :FACTORS] @ items.mean[:, :FACTORS].T
    assert np.corrcoef(found.ravel(), by_source.ravel())[0, 1] > 0.4
    found = users.mean[:, :FACTORS] @ model.items.mean[:, :FACTORS].T
    assert np.corrcoef(found.ravel(), large.later.ravel())[0, 1] > 0.15
    # An item without a row, of a source that is known: its source, and less sure than it.
    items, sources = model.priors.unseen_items(model.sources, np.arange(len(of_source)), nothing, of_source)
    np.testing.assert_array_equal(sources, model.sources.mean)
    np.testing.assert_array_equal(items.mean, sources)
    assert (np.trace(items.covariance - model.sources.covariance, axis1=1, axis2=2) > 0).all()


@pytest.mark.parametrize("memory", [0.3, 0.75, 0.99])
def test_it_learns_how_fast_users_drift(memory: float) -> None:
    model = planted(100, 80, 16, 24_000, memory=memory).model(6)
    assert model.memory[0] == pytest.approx(memory, abs=0.03)


def test_other_observations_keep_the_spread(large: Planted) -> None:
    model = large.model(1)
    model.observe(3 * large.y + 1)
    assert model.y.std() == pytest.approx(large.y.std())
    model.observe(np.zeros_like(large.y))
    assert not model.y.any()


def test_ages_are_bins_and_unknown_for_items_of_the_first_rows(large: Planted) -> None:
    n = len(large.y)
    first, start = np.array([0, int(UNKNOWN * n) - 1, n // 2, n // 2, n // 2, n]), n // 2
    at = np.array([n, n, start, start + n // 192, n, n])
    assert bins_of(first, at, n).tolist() == [0, 0, 1, 2, N_AGES + 1, 1]


def test_an_age_that_is_liked_is_learned(large: Planted) -> None:
    rng = np.random.default_rng(3)
    n = len(large.y)
    first = np.append(np.zeros(40, int), rng.integers(n // 8, n // 2, 40))  # half of the items come later
    shown = np.arange(n) >= first[large.item]
    item = np.where(shown, large.item, large.item % 40).astype(np.int32)
    fresh = (np.arange(n) - first[item] < n / 24) & (first[item] > 0)
    y = (rng.normal(size=n) + 1.0 * fresh).astype(np.float32)
    model = large.model(4, item=item, y=y)
    assert (model.of_age[1:7] > 0.35).all()  # younger than a 24th of the history
    assert np.abs(model.of_age[-4:]).max() < 0.25
    assert model.of_age[0] == 0


def test_a_million_rows_of_a_user_stay_finite() -> None:
    rng, n_one = np.random.default_rng(2), 1_000_000
    few = planted(20, 10, 4, 2000, n_steps=2)
    alone = np.full(n_one, 3, np.int32)
    model = few.model(
        5,
        user=np.append(few.user, alone), item=np.append(few.item, rng.integers(2, 5, n_one).astype(np.int32)),
        step=np.append(few.step, alone - 2), y=np.append(few.y, rng.normal(size=n_one).astype(np.float32)),
    )  # fmt: skip
    for beliefs in (model.users, model.items, model.sources):
        assert np.isfinite(beliefs.mean).all()
        assert np.isfinite(beliefs.covariance).all()
    assert model.noise == pytest.approx(1.0, rel=0.01)
    assert np.abs(model.users.mean[3]).max() < 0.5  # nothing is to be learned of what is drawn at random
