"""Texts as numbers: the words of each, hashed."""

from __future__ import annotations

import polars as pl

from features.toolkit.positions import Sparse


def hashed_words(texts: pl.DataFrame, n_hashes: int, *, longest: int = 1, as_mean: bool = False) -> Sparse:
    """Hash the words of each row's texts, which are taken as one (scikit-learn's ``HashingVectorizer``).

    Float64 (n, n_hashes), CSR; null texts have no words. Rows are of length one, with signs drawn by the words, so
    that products of those which share a hash by chance cancel out; ``as_mean``: they are shares that sum to one.
    ``longest``: words in a row that are taken as one beside the single ones.
    """
    import scipy.sparse
    from sklearn.feature_extraction.text import HashingVectorizer

    whole = texts.select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True)).to_series()
    hashed = HashingVectorizer(
        n_features=n_hashes,
        ngram_range=(1, longest),
        token_pattern=r"(?u)\b\w+\b",
        norm="l1" if as_mean else "l2",
        alternate_sign=not as_mean,
    )
    return scipy.sparse.csr_matrix(hashed.transform(whole.fill_null("").to_list()))
