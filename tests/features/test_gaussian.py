"""Many small Gaussian posteriors at once: against dense conditioning in NumPy, and what rounding leaves of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from features.toolkit import Packing, inverse, likelier_memory, smoothed_path

STEPS, N, D = 5, 4, 3
MEMORY, VARIANCE = torch.tensor([0.9, 0.5, 0.0]), torch.tensor([0.5, 2.0, 1.0])


def observed(n_steps: int = STEPS) -> tuple[torch.Tensor, torch.Tensor]:
    """Precision and information of each step and key; the first key is not seen in the second step."""
    rng = np.random.default_rng(1)
    rows = rng.normal(
        size=(n_steps, N, 2, D)
    )  # two rows a step, so that no step alone tells of all coordinates
    rows[1:2, 0] = 0.0
    precision = rows.swapaxes(-1, -2) @ rows
    information = (rows * rng.normal(size=(n_steps, N, 2, 1))).sum(axis=2)
    return torch.tensor(precision, dtype=torch.float32), torch.tensor(information, dtype=torch.float32)


def prior_of(n: int, memory: torch.Tensor) -> npt.NDArray[np.float64]:
    """Covariance of all coordinates at all steps."""
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    prior = np.zeros((n, D, n, D))
    for i in range(D):
        prior[:, i, :, i] = float(memory[i]) ** apart * float(VARIANCE[i])
    return prior


def dense(
    precision: torch.Tensor, information: torch.Tensor, key: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Condition the joint Gaussian of all steps, and of one after them, on what was seen of a key."""
    n = len(precision) + 1
    prior = prior_of(n, MEMORY)
    seen = np.zeros((n, D, n, D))
    for t in range(n - 1):
        seen[t, :, t, :] = precision[t, key]
    said = np.vstack([information[:, key], np.zeros(D)]).ravel()
    joint = np.linalg.inv(prior.reshape(n * D, -1)) + seen.reshape(n * D, -1)
    covariance = np.asarray(np.linalg.inv(joint), np.float64)
    return (covariance @ said).reshape(n, D), covariance.reshape(n, D, n, D)


def smoothed(n_steps: int) -> Any:
    return smoothed_path(*observed(n_steps), MEMORY, VARIANCE)


@pytest.mark.parametrize("n_steps", [1, STEPS])
@pytest.mark.parametrize("key", range(N))
def test_a_path_is_the_joint_gaussian_of_its_steps(n_steps: int, key: int) -> None:
    path = smoothed(n_steps)
    mean, covariance = dense(*observed(n_steps), key)
    np.testing.assert_allclose(path.mean[:, key], mean[:-1], atol=2e-5)
    np.testing.assert_allclose(path.next_mean[key], mean[-1], atol=2e-5)
    np.testing.assert_allclose(path.next_covariance[key], covariance[-1, :, -1], atol=2e-5)
    for t in range(n_steps):
        np.testing.assert_allclose(path.covariance[t, key], covariance[t, :, t], atol=2e-5)


def test_a_key_alone_has_the_path_that_it_has_among_others() -> None:
    path, (precision, information) = smoothed(STEPS), observed()
    for key in range(N):
        alone = smoothed_path(precision[:, [key]], information[:, [key]], MEMORY, VARIANCE)
        for found, among in ((alone.mean, path.mean), (alone.covariance, path.covariance)):
            assert torch.equal(found[:, 0], among[:, key])


def log_density(
    rows: npt.NDArray[np.float64], values: npt.NDArray[np.float64], memory: torch.Tensor
) -> float:
    """Of what was seen with noise 1 of all keys: rows (steps, keys, D), values (steps, keys)."""
    n_steps, n, _ = rows.shape
    prior, total = prior_of(n_steps, memory), 0.0
    for key in range(n):
        seen = np.einsum("ti,tisj,sj->ts", rows[:, key], prior, rows[:, key]) + np.eye(n_steps)
        _, log_determinant = np.linalg.slogdet(seen)
        total -= (log_determinant + values[:, key] @ np.linalg.solve(seen, values[:, key])) / 2
    return total


@pytest.mark.parametrize("start", [0.2, 0.8, 0.98])
def test_the_memory_goes_to_where_what_was_seen_is_likeliest(start: float) -> None:
    rng, n, n_steps, planted = np.random.default_rng(3), 150, 8, torch.tensor([0.8, 0.8, 0.3])
    spread = np.linalg.cholesky(
        prior_of(n_steps, planted).reshape(n_steps * D, -1) + 1e-9 * np.eye(n_steps * D)
    )
    states = (rng.normal(size=(n, n_steps * D)) @ spread.T).reshape(n, n_steps, D).swapaxes(0, 1)
    rows = 3 * rng.normal(size=(n_steps, n, D))
    values = (rows * states).sum(axis=2) + rng.normal(size=(n_steps, n))
    precision = torch.tensor(rows[..., :, None] * rows[..., None, :], dtype=torch.float32)
    information = torch.tensor(rows * values[..., None], dtype=torch.float32)
    memory, both = torch.tensor([start, start, 0.3]), torch.tensor([1.0, 1.0, 0.0])
    for reach in (1.6, 1.6, 0.8, 0.4, 0.2, 0.1):
        memory = likelier_memory(precision, information, memory, VARIANCE, reach * both)
    assert memory[0] == memory[1]
    assert memory[2] == pytest.approx(0.3)
    best = log_density(rows, values, memory)
    for by in (-0.1, 0.1):
        assert log_density(rows, values, torch.sigmoid(torch.logit(memory) + by * both)) < best


def test_packed_matrices_come_back() -> None:
    rng = np.random.default_rng(2)
    packing, vectors = Packing(D), rng.normal(size=(7, D)).astype(np.float32)
    outer = vectors[:, :, None] * vectors[:, None, :]
    assert packing.size == D * (D + 1) // 2
    np.testing.assert_array_equal(packing.outer(vectors), packing.packed(outer))
    np.testing.assert_array_equal(packing.full(packing.packed(outer)).numpy(), outer)
    assert packing.full(packing.packed(outer[:0])).shape == (0, D, D)


def test_an_inverse_is_that_of_numpy() -> None:
    precision = observed()[0] + torch.eye(D)
    np.testing.assert_allclose(inverse(precision), np.linalg.inv(precision), atol=1e-5)


def test_what_rounding_left_without_precision_is_inverted_and_changes_no_other() -> None:
    good = observed()[0][0] + torch.eye(D)
    bad = torch.tensor([[1e6, 1e6, 0.0], [1e6, 1e6 - 4, 0.0], [0.0, 0.0, 1.0]])  # of no positive matrix
    found = inverse(torch.cat([good, bad[None]]))
    assert torch.equal(found[:N], inverse(good))
    assert torch.isfinite(found).all()
    assert (torch.linalg.eigvalsh(found[N].double()) > 0).all()
