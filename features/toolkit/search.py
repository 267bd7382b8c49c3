"""Search for what a net with one hidden layer scores highest, among many users and items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.toolkit.gaussian import Floats

if TYPE_CHECKING:
    from torch import Tensor

_USERS, _ITEMS = 16, 128  # of a tile: with 70 units it takes 0.6 MB and so stays in a core's cache
_BLOCK = 2**16  # items whose scores are held for each of those users


def hidden_scores(left: Tensor, right: Tensor, weights: Tensor) -> Tensor:
    """Give ``weights . relu(left + right)`` over the last axis, Float32; a pair's bits do not depend on its place."""
    return (left + right).relu_().mul_(weights).sum(-1)


def highest_scores(
    users: Floats, items: Floats, weights: Floats, k: int
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Find the ``k`` items that each user scores highest, ``weights . relu(user + item)``; all of them are scored.

    Parameters
    ----------
    users, items
        What each adds to the hidden units: Float32 (n_users, units), (n_items, units).
    weights
        Of the hidden units: Float32 (units,).

    Returns
    -------
    tuple
        Positions of the items, Int64 (n_users, min(k, n_items)), the best first and of equal ones the earlier; and
        their scores, Float32 of the same shape, bit for bit those of ``hidden_scores``.
    """
    import torch

    left, right, of_units = (torch.from_numpy(x) for x in (users, items, weights))
    k = min(k, len(items))
    places = np.zeros((len(users), k), dtype=np.int64)
    scores = np.zeros((len(users), k), dtype=np.float32)
    for first in range(0, len(users) if k else 0, _USERS):
        some = left[first : first + _USERS, None]
        best = [(places[0, :0], scores[0, :0])] * len(some)
        for begin in range(0, len(items), _BLOCK):
            block = right[begin : begin + _BLOCK]
            tiles = [hidden_scores(some, tile[None], of_units) for tile in torch.split(block, _ITEMS)]
            found = torch.cat(tiles, dim=1)
            least = found.topk(min(k, len(block)), dim=1).values[:, -1].numpy()
            best = [_better(*pair, begin, k) for pair in zip(best, found.numpy(), least, strict=True)]
        for at, (place, score) in enumerate(best, start=first):
            places[at], scores[at] = place, score
    return places, scores


def _better(
    best: tuple[npt.NDArray[np.int64], Floats], found: Floats, least: np.float32, begin: int, k: int
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Put a block's scores that are at least ``least`` behind the best ones before it, and keep the ``k`` highest."""
    at = np.flatnonzero(found >= least)
    place, score = np.append(best[0], at + begin), np.append(best[1], found[at])
    order = np.argsort(-score, kind="stable")[:k]
    return place[order], score[order]
