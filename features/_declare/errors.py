"""Errors of the features room."""

from __future__ import annotations

from engine import SamewiseError


class FeatureError(SamewiseError):
    """A feature is declared wrongly, or failed, or gave back something other than it declared."""


class MissingColumnError(SamewiseError):
    """A feature asks for a column that the competition does not have. It becomes "not available here"."""
