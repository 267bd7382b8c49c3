"""A stack as a bundle of ONNX graphs: written, with cases that it must answer, and checked."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from stacking._export.bundle import Bundle, export_bundle
    from stacking._export.check import check_bundle, read_bundle

__all__ = ["Bundle", "check_bundle", "export_bundle", "read_bundle"]

lazy_face(__name__)
