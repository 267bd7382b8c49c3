"""Many small Gaussian posteriors at once: packed second moments, and states that drift from step to step.

A batch holds one posterior a key. Each is solved by itself, so a value does not depend on what else is in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float32]


class Packing:
    """Symmetric matrices (n, d, d) as their lower triangles (n, d (d + 1) / 2), which sums of outer products take."""

    def __init__(self, d: int) -> None:
        self.row, self.column = np.tril_indices(d)
        self.size = len(self.row)
        place = np.empty((d, d), dtype=np.intp)
        place[self.row, self.column] = place[self.column, self.row] = np.arange(self.size)
        self._place, self._d = place.ravel(), d

    def packed(self, matrices: Floats) -> Floats:
        """Take the lower triangles."""
        return matrices[:, self.row, self.column]

    def outer(self, vectors: Floats) -> Floats:
        """Take the lower triangles of the vectors' products with themselves."""
        return vectors[:, self.row] * vectors[:, self.column]

    def full(self, packed: Floats) -> torch.Tensor:
        """Give the matrices back."""
        import torch

        return torch.from_numpy(packed[:, self._place].reshape(-1, self._d, self._d))


def inverse(matrices: torch.Tensor) -> torch.Tensor:
    """Invert symmetric positive definite matrices (..., d, d).

    One that rounding has left with a direction of no or of negative precision is given a little there.
    """
    import torch

    lower, failed = torch.linalg.cholesky_ex(matrices)
    if failed.any():
        values, axes = torch.linalg.eigh(matrices[failed > 0].double())
        values = values.maximum(1e-5 * values[..., -1:])
        lower[failed > 0] = torch.linalg.cholesky((axes * values[..., None, :]) @ axes.mT).float()
    return torch.cholesky_inverse(lower)


def product(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Multiply each matrix (..., d, d) by its vector (..., d)."""
    return (matrices @ vectors[..., None])[..., 0]


@dataclass(frozen=True)
class Path:
    """Posterior of states over steps: means (steps, n, d), covariances (steps, n, d, d), and one step ahead.

    ``lag`` (steps - 1, n, d): the expected product of each coordinate with itself a step later.
    """

    mean: torch.Tensor
    covariance: torch.Tensor
    lag: torch.Tensor
    next_mean: torch.Tensor
    next_covariance: torch.Tensor


def smoothed_path(
    precision: torch.Tensor, information: torch.Tensor, memory: torch.Tensor, variance: torch.Tensor
) -> Path:
    """Smooth states that forget: ``x_t = memory x_(t-1) + e_t``, with mean 0 and ``variance`` (d,) at every step.

    Kalman filter forwards, Rauch-Tung-Striebel smoother backwards (1965). ``precision`` (steps, n, d, d) and
    ``information`` (steps, n, d) are those of the observations of a step: the log-likelihood is
    ``information' x - x' precision x / 2``.
    """
    import torch

    n_steps, n, d = information.shape
    news = (1 - memory**2) * variance
    ahead, ahead_inverse = (torch.diag(v).expand(n, d, d) for v in (variance, 1 / variance))
    x = torch.zeros(n, d)
    means, covariances, expected, ahead_of, inverse_of = [], [], [], [], []
    for t in range(n_steps):
        expected.append(x)
        ahead_of.append(ahead)
        inverse_of.append(ahead_inverse)
        covariances.append(inverse(ahead_inverse + precision[t]))
        means.append(product(covariances[-1], product(ahead_inverse, x) + information[t]))
        x, ahead = memory * means[-1], memory[:, None] * covariances[-1] * memory
        ahead = ahead + torch.diag(news)
        ahead_inverse = inverse(ahead)
    lags = []
    for t in range(n_steps - 2, -1, -1):
        gain = (covariances[t] * memory) @ inverse_of[t + 1]
        means[t] = means[t] + product(gain, means[t + 1] - expected[t + 1])
        covariances[t] = covariances[t] + gain @ (covariances[t + 1] - ahead_of[t + 1]) @ gain.mT
        lags.append(means[t + 1] * means[t] + (covariances[t + 1] * gain).sum(2))
    lag = torch.stack(lags[::-1]) if lags else torch.zeros(0, n, d)
    return Path(torch.stack(means), torch.stack(covariances), lag, x, ahead)
