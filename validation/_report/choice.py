"""Why the chosen model or blend was chosen, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from validation._report.bundle import CvBundle


def choice_reason(bundle: CvBundle) -> str:
    """Say why ``bundle.chosen`` was chosen: the reason that the stack gave, and the learned blends' differences.

    The differences (to the baseline blend, larger is better, 95 % interval) are the ones the stack decided by.
    """
    because = bundle.about.get("chosen_because")
    if not because and len((*bundle.models, *bundle.blends)) == 1:
        return f"{bundle.chosen} is the only model."
    sentence = f"{bundle.chosen}: {because}." if because else f"{bundle.chosen}: the stack gave no reason."
    differences = bundle.about.get("differences_to_baseline")
    if not isinstance(differences, Mapping) or not differences or not bundle.blends:
        return sentence
    gaps = "; ".join(f"{name} {_in_words(found)}" for name, found in differences.items())
    return f"{sentence} Difference to {bundle.blends[0]}: {gaps}."


def _in_words(found: Mapping[str, float]) -> str:
    text = f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
    return text.replace("-", "−")
