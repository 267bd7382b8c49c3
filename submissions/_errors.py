"""Errors of the submissions room."""

from __future__ import annotations

from engine import SamewiseError


class SubmissionError(SamewiseError):
    """A run cannot be found, read, compared or blended."""


class GateError(SubmissionError):
    """The gate refused a submission."""
