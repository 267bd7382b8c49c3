"""Which vectors should the tables of a net start at? Fits under several seeds, compared on one page."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from models._starting.compared import Comparison, Standing, compare
    from models._starting.fits import StartTrial, plan_trial, run_trial
    from models._starting.page import comparison_html, comparison_table

__all__ = [
    "Comparison",
    "Standing",
    "StartTrial",
    "compare",
    "comparison_html",
    "comparison_table",
    "plan_trial",
    "run_trial",
]

lazy_face(__name__)
