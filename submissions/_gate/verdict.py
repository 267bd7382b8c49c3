"""What the gate says about a submission: refusals, warnings, facts."""

from __future__ import annotations

from dataclasses import dataclass

from submissions._errors import GateError


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
        todo = f" To do: {self.todo}." if self.todo else ""
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
