"""What the gate says about a submission: refusals, warnings, facts."""

from __future__ import annotations

from dataclasses import dataclass

from submissions._errors import GateError

_TODO = {
    "unreadable file": "write it again, as a table of one line a row",
    "empty file": "write the scores of the given pairs into it",
    "wrong columns": "write the expected columns in that order, with a header line",
    "wrong dtype": "write ids as they were given, and plain numbers as scores",
    "uneven rows": "write as many fields in every row as in the header, in quotes what holds a separator",
    "null keys": "name the pair in every row",
    "missing rows": "score every given pair",
    "extra rows": "drop rows that are of no given pair",
    "wrong order": "sort the rows as the given pairs are",
    "null scores": "give every pair a score",
    "not-a-number scores": "look where the model's scores become NaN, such as 0 / 0",
    "infinite scores": "look where the model's scores become infinite, such as 1 / 0",
    "constant scores": "submit scores that tell the pairs of a user apart; a model that gives the same to all of them "
    "reads columns that are equal or null there, or had no labels to learn from",
}
"""What to do about a refusal, by rule, where a finding says nothing more exact."""


@dataclass(frozen=True)
class Finding:
    """One thing that the gate found.

    ``rule`` is a short stable name ("missing keys"), ``found`` a sentence, ``example`` one row that shows it,
    ``todo`` what to do about it.
    """

    rule: str
    found: str
    example: str = ""
    todo: str = ""

    def __str__(self) -> str:
        example = f" E.g. {self.example}." if self.example else ""
        todo = self.todo or _TODO.get(self.rule, "")
        todo = f" To do: {todo}." if todo else ""
        return f"{self.rule}: {self.found}{example}{todo}"


@dataclass(frozen=True)
class Verdict:
    """All findings on one submission. ``warnings`` and ``facts`` do not stop it, ``refusals`` do."""

    refusals: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def is_accepted(self) -> bool:
        """Whether nothing was refused."""
        return not self.refusals

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.refusals + other.refusals, self.warnings + other.warnings, self.facts + other.facts
        )

    def require(self, what: str) -> None:
        """Raise GateError with every refusal, if there is one. ``what`` names the submission."""
        if self.refusals:
            n = len(self.refusals)
            reasons = "\n".join(f"  - {finding}" for finding in self.refusals)
            raise GateError(f"The gate refuses {what} for {n} reason{'s' * (n > 1)}:\n{reasons}")
