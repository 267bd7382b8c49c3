"""Tables of embeddings that grow by unseen ids and outgrow memory, trained by row-wise Adagrad."""

from typing import TYPE_CHECKING

from engine._lazy import lazy_face

if TYPE_CHECKING:
    from engine._embeddings.saved import load_tables, save_tables
    from engine._embeddings.table import EmbeddingTable
    from engine._embeddings.training import WorkingSet, bucket_order, working_sets

__all__ = ["EmbeddingTable", "WorkingSet", "bucket_order", "load_tables", "save_tables", "working_sets"]

lazy_face(__name__)
