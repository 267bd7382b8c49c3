"""What tests of the gate share: how a file is written, and how a refusal is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from submissions import Verdict

Write = Callable[[str | bytes], Path]


def refused(verdict: Verdict, rule: str, *words: str) -> None:
    """Assert that there is one refusal, of this rule, whose text holds the words."""
    assert [finding.rule for finding in verdict.refusals] == [rule]
    for word in words:
        assert word in str(verdict.refusals[0])
