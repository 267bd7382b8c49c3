"""Many small Gaussian posteriors at once: packed second moments, and states that drift from step to step.

A batch holds one posterior a key. Each is solved by itself, so a value does not depend on what else is in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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


def factor(matrices: torch.Tensor) -> torch.Tensor:
    """Lower Cholesky factors of symmetric positive definite matrices (..., d, d).

    One that rounding has left with a direction of no or of negative precision is given a little there.
    """
    import torch

    lower: torch.Tensor
    lower, failed = torch.linalg.cholesky_ex(matrices)
    if failed.any():
        values, axes = torch.linalg.eigh(matrices[failed > 0].double())
        values = values.maximum(1e-5 * values[..., -1:])
        lower[failed > 0] = torch.linalg.cholesky((axes * values[..., None, :]) @ axes.mT).float()
    return lower


def inverse(matrices: torch.Tensor) -> torch.Tensor:
    """Invert symmetric positive definite matrices (..., d, d), those without precision as ``factor`` takes them."""
    import torch

    return torch.cholesky_inverse(factor(matrices))


def product(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Multiply each matrix (..., d, d) by its vector (..., d)."""
    return (matrices @ vectors[..., None])[..., 0]


@dataclass(frozen=True)
class Path:
    """Posterior of states over steps: means (steps, n, d), covariances (steps, n, d, d), and one step ahead."""

    mean: torch.Tensor
    covariance: torch.Tensor
    next_mean: torch.Tensor
    next_covariance: torch.Tensor


@dataclass(frozen=True)
class _Filtered:
    """Each step's state before and after its observations, and the one after the last step.

    ``evidence``: log density of all observations, up to a number that the prior does not change.
    """

    expected: list[torch.Tensor]
    ahead: list[torch.Tensor]
    ahead_inverse: list[torch.Tensor]
    mean: list[torch.Tensor]
    covariance: list[torch.Tensor]
    evidence: float


def smoothed_path(
    precision: torch.Tensor, information: torch.Tensor, memory: torch.Tensor, variance: torch.Tensor
) -> Path:
    """Smooth states that forget: ``x_t = memory x_(t-1) + e_t``, with mean 0 and ``variance`` (d,) at every step.

    Kalman filter forwards, Rauch-Tung-Striebel smoother backwards (1965). ``precision`` (steps, n, d, d) and
    ``information`` (steps, n, d) are those of the observations of a step: the log-likelihood is
    ``information' x - x' precision x / 2``.
    """
    import torch

    found = _filtered(precision, information, memory, variance)
    means, covariances = found.mean, found.covariance
    for t in range(len(means) - 2, -1, -1):
        gain = (covariances[t] * memory) @ found.ahead_inverse[t + 1]
        means[t] = means[t] + product(gain, means[t + 1] - found.expected[t + 1])
        covariances[t] = covariances[t] + gain @ (covariances[t + 1] - found.ahead[t + 1]) @ gain.mT
    return Path(torch.stack(means), torch.stack(covariances), found.expected[-1], found.ahead[-1])


def likelier_memory(
    precision: torch.Tensor,
    information: torch.Tensor,
    memory: torch.Tensor,
    variance: torch.Tensor,
    reach: torch.Tensor,
) -> torch.Tensor:
    """Move the memory in the direction of ``reach`` (d,), in log odds, to where the evidence for it is largest.

    One step: to the top of the parabola through three points ``reach`` apart, and at most 1.5 times as far. Steps of
    EM (Dempster, Laird & Rubin 1977) are short where observations are noisy. The rest is that of ``smoothed_path``.
    """
    import torch

    odds = torch.logit(memory)
    below, here, above = (
        _filtered(precision, information, torch.sigmoid(odds + by * reach), variance).evidence
        for by in (-1, 0, 1)
    )
    bend, slope = below - 2 * here + above, (above - below) / 2
    steps = -slope / bend if bend < -abs(slope) / 1.5 else 1.5 * float(np.sign(slope))
    return torch.sigmoid(odds + steps * reach)


def _filtered(
    precision: torch.Tensor, information: torch.Tensor, memory: torch.Tensor, variance: torch.Tensor
) -> _Filtered:
    import torch

    n_steps, n, d = information.shape
    lower = torch.diag(variance.sqrt()).expand(n, d, d)
    found = _Filtered(
        [torch.zeros(n, d)], [lower**2], [torch.diag(1 / variance).expand(n, d, d)], [], [], 0.0
    )
    evidence = torch.zeros(n, dtype=torch.float64)
    for t in range(n_steps):
        x, ahead_inverse = found.expected[t], found.ahead_inverse[t]
        evidence -= _half_log_determinant(lower)
        said = product(ahead_inverse, x)
        evidence -= (said * x).sum(1) / 2
        said, lower = said + information[t], factor(ahead_inverse + precision[t])
        covariance = torch.cholesky_inverse(lower)
        mean = product(covariance, said)
        evidence += (said * mean).sum(1) / 2 - _half_log_determinant(lower)
        ahead = memory[:, None] * covariance * memory + torch.diag((1 - memory**2) * variance)
        lower = factor(ahead)
        found.mean.append(mean)
        found.covariance.append(covariance)
        found.expected.append(memory * mean)
        found.ahead.append(ahead)
        found.ahead_inverse.append(torch.cholesky_inverse(lower))
    return replace(found, evidence=float(evidence.sum()))


def _half_log_determinant(lower: torch.Tensor) -> torch.Tensor:
    """Half the log determinant of matrices (n, d, d), of their Cholesky factors: Float64 (n,)."""
    return lower.diagonal(dim1=1, dim2=2).double().log().sum(1)
