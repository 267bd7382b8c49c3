"""A stack as a bundle of ONNX graphs: written, with cases that it must answer, and checked."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from stacking._export.blends import score_graph
    from stacking._export.bundle import export_bundle
    from stacking._export.check import Bundle, check_bundle, read_bundle

__all__ = ["Bundle", "check_bundle", "export_bundle", "read_bundle", "score_graph"]

lazy_face(__name__)
