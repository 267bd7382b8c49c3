"""Ways to weigh how often two entities go together, and how cells of a matrix meet a user's list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Values = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]

SMOOTHING = 5.0  # pairs that are added to the observed and to the expected number
K1, B = 1.2, 0.75  # of BM25


def salton_cosine(together: Values, of_one: Values, of_other: Values) -> Values:
    """Salton's cosine of two entities, ``n_ij / sqrt(n_i n_j)`` (Deshpande and Karypis 2004, section 4.1).

    >>> float(salton_cosine(np.array([2.0]), np.array([4.0]), np.array([16.0]))[0])
    0.25
    """
    weighed: Values = together / np.sqrt(of_one * of_other)
    return weighed


def log_lift(together: Values, of_one: Values, of_other: Values, total: float) -> Values:
    """Log of the observed over the expected number of pairs, ``n_i n_j / n``, both with ``SMOOTHING`` more.

    Lift is the interest of Brin, Motwani, Ullman and Tsur (1997); its log is the pointwise mutual information of
    Church and Hanks (1990), which without smoothing is highest for what is seen once.

    >>> float(log_lift(np.array([15.0]), np.array([10.0]), np.array([10.0]), 20.0)[0].round(4))
    0.6931
    """
    lift: Values = np.log((together + SMOOTHING) / (of_one * of_other / total + SMOOTHING))
    return lift


def bm25(
    together: Values, of_one: Values, mean_of_one: float, n_partners: Positions, n_entities: int
) -> Values:
    """BM25 of one entity, taken as a document, for the other, taken as a word (Robertson and Zaragoza 2009).

    ``idf_j n_ij (k1 + 1) / (n_ij + k1 (1 - b + b n_i / mean))`` with ``idf_j = ln(1 + (N - m_j + 1/2) / (m_j + 1/2))``,
    m_j (``n_partners``) of N entities going together with j.

    >>> float(bm25(np.array([1.0]), np.array([3.0]), 3.0, np.array([1]), 2)[0].round(4))
    0.6931
    """
    rarity = np.log1p((n_entities - n_partners + 0.5) / (n_partners + 0.5))
    weighed: Values = rarity * together * (K1 + 1) / (together + K1 * (1 - B + B * of_one / mean_of_one))
    return weighed


@dataclass(frozen=True)
class Meetings:
    """Where cells of a matrix and users' lists have an entity in common, one pair of entity and user after the other.

    ``pair`` (n_meetings,), ascending, is the position of the pair; ``cell`` that in the matrix; ``entry`` that in the
    lists' data. Within a pair they are in the order of the entities.
    """

    pair: Positions
    cell: Positions
    entry: Positions


def meetings(keys: Positions, rows: Positions, lists: csr_matrix, users: Positions) -> Meetings:
    """Find the entities of a user's list that have a cell in a row of the matrix, for each pair of them (n_pairs,).

    Parameters
    ----------
    keys
        Ascending ``row * n_entities + column`` of the matrix's cells (n_cells,).
    rows, users
        Row of the matrix and row of the lists of each pair (n_pairs,).
    lists
        Sparse (n_users, n_entities), columns sorted and without repetitions.
    """
    pair, entry = entries(lists, users)
    wanted = rows[pair] * lists.shape[1] + lists.indices[entry]
    cell = np.searchsorted(keys, wanted)
    is_there = keys[np.minimum(cell, len(keys) - 1)] == wanted if len(keys) else np.zeros(len(wanted), bool)
    return Meetings(pair[is_there], cell[is_there], entry[is_there])


def entries(lists: csr_matrix, users: Positions) -> tuple[Positions, Positions]:
    """Lay out the lists of users (n_pairs,): the position of the pair, ascending, and that in the lists' data."""
    n_entries = np.diff(lists.indptr)[users].astype(np.int64)
    first = np.cumsum(n_entries) - n_entries
    pair = np.repeat(np.arange(len(users)), n_entries)
    return pair, np.arange(len(pair)) + np.repeat(lists.indptr[users] - first, n_entries)
