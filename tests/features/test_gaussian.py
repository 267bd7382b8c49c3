"""Many small Gaussian posteriors at once: against dense conditioning in NumPy, and what rounding leaves of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from features.toolkit.gaussian import Packing, Path, inverse, product, smoothed_path

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


def dense(
    precision: torch.Tensor, information: torch.Tensor, key: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Condition the joint Gaussian of all steps, and of one after them, on what was seen of a key."""
    n = len(precision) + 1
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    prior = np.zeros((n, D, n, D))
    for i in range(D):
        prior[:, i, :, i] = float(MEMORY[i]) ** apart * float(VARIANCE[i])
    seen = np.zeros((n, D, n, D))
    for t in range(n - 1):
        seen[t, :, t, :] = precision[t, key]
    said = np.vstack([information[:, key], np.zeros(D)]).ravel()
    covariance = np.linalg.inv(np.linalg.inv(prior.reshape(n * D, -1)) + seen.reshape(n * D, -1))
    return (covariance @ said).reshape(n, D), covariance.reshape(n, D, n, D)


def smoothed(n_steps: int) -> Path:
    return smoothed_path(*observed(n_steps), MEMORY, VARIANCE)


@pytest.mark.parametrize("n_steps", [1, STEPS])
@pytest.mark.parametrize("key", range(N))
def test_a_path_is_the_joint_gaussian_of_its_steps(n_steps: int, key: int) -> None:
    path = smoothed(n_steps)
    mean, covariance = dense(*observed(n_steps), key)
    np.testing.assert_allclose(path.mean[:, key], mean[:-1], atol=2e-5)
    np.testing.assert_allclose(path.next_mean[key], mean[-1], atol=2e-5)
    np.testing.assert_allclose(path.next_covariance[key], covariance[-1, :, -1], atol=2e-5)
    assert path.lag.shape == (n_steps - 1, N, D)
    for t in range(n_steps):
        np.testing.assert_allclose(path.covariance[t, key], covariance[t, :, t], atol=2e-5)
    for t in range(n_steps - 1):
        lag = mean[t] * mean[t + 1] + np.diag(covariance[t, :, t + 1])
        np.testing.assert_allclose(path.lag[t, key], lag, atol=2e-5)


def test_a_key_alone_has_the_path_that_it_has_among_others() -> None:
    path, (precision, information) = smoothed(STEPS), observed()
    for key in range(N):
        alone = smoothed_path(precision[:, [key]], information[:, [key]], MEMORY, VARIANCE)
        for found, among in ((alone.mean, path.mean), (alone.covariance, path.covariance)):
            assert torch.equal(found[:, 0], among[:, key])


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
    vectors = observed()[1]
    np.testing.assert_allclose(
        product(precision, vectors), np.einsum("tnij,tnj->tni", precision, vectors), atol=1e-5
    )


def test_what_rounding_left_without_precision_is_inverted_and_changes_no_other() -> None:
    good = observed()[0][0] + torch.eye(D)
    bad = torch.tensor([[1e6, 1e6, 0.0], [1e6, 1e6 - 4, 0.0], [0.0, 0.0, 1.0]])  # of no positive matrix
    found = inverse(torch.cat([good, bad[None]]))
    assert torch.equal(found[:N], inverse(good))
    assert torch.isfinite(found).all()
    assert (torch.linalg.eigvalsh(found[N].double()) > 0).all()
