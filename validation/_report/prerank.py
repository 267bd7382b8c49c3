"""What a pre-ranker loses and saves, in sentences and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from validation._report.bundle import CvBundle
from validation._report.page import number_text


@dataclass(frozen=True)
class WindowRow:
    """Counts of one window. ``fitted_on``: on what its scores of the pre-ranker rest, in words."""

    window: str
    fitted_on: str
    pairs: int
    kept: int
    positives: int
    positives_cut: int

    @property
    def share_cut(self) -> float | None:
        """Share of the positives that is cut; None if there are none."""
        return self.positives_cut / self.positives if self.positives else None


def prerank_sentences(bundle: CvBundle) -> tuple[str, ...]:
    """Say what the pre-ranker keeps, what it loses and what it saves; nothing without one."""
    facts = bundle.about.get("prerank")
    if not facts:
        return ()
    return (_keeps(facts), _loses(facts), *_differs(bundle, facts), _takes(facts))


def prerank_rows(bundle: CvBundle) -> tuple[WindowRow, ...]:
    """The windows of the folds, earliest first; none without a pre-ranker."""
    facts = bundle.about.get("prerank") or {"windows": ()}
    return tuple(
        WindowRow(
            window=f"{row['window']}{' (eval)' if row['is_eval'] else ''}",
            fitted_on=_fitted_on(row["fitted_on"]),
            pairs=row["pairs"],
            kept=row["kept"],
            positives=row["positives"],
            positives_cut=row["positives"] - row["positives_kept"],
        )
        for row in facts["windows"]
    )


def _fitted_on(windows: list[str] | None) -> str:
    return "the other users of the window" if windows is None else ", ".join(windows)


def _keeps(facts: Mapping[str, Any]) -> str:
    pairs, kept = (sum(row[name] for row in facts["windows"]) for name in ("pairs", "kept"))
    share = kept / pairs if pairs else 1.0
    return (
        f"Pre-ranking by {facts['model']}, keep = {facts['keep']:g}: the other models see {kept:,} of the {pairs:,} "
        f"pairs of the folds' windows ({share:.0%})."
    )


def _loses(facts: Mapping[str, Any]) -> str:
    found, best = facts["eval"], facts["best_order"]
    n, cut = found["positives"], found["positives"] - found["positives_kept"]
    share = f"{cut / n:.1%} of the {n:,} positives of the eval windows are" if n else "no positive is"
    return (
        f"It loses: {share} cut; the best order behind it has {number_text(best['kept'])}, without it "
        f"{number_text(best['all'])}."
    )


def _differs(bundle: CvBundle, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The difference that it makes to each other model and blend; nothing where that is not known."""
    known = facts["without"]
    texts = [
        f"{name} {_with_error(known[name]['difference'])}"
        for name in (*bundle.models, *bundle.blends)
        if name in known and name != facts["model"]
    ]
    return (f"With it minus without it, with the standard error: {'; '.join(texts)}.",) if texts else ()


def _with_error(difference: Mapping[str, float | None]) -> str:
    mean, error = (math.nan if difference[n] is None else difference[n] for n in ("mean", "error"))
    return f"{number_text(mean, '+.4f')} ± {number_text(error)}".replace("-", "−")


def _takes(facts: Mapping[str, Any]) -> str:
    seconds = facts["seconds"]
    own = f"It takes {number_text(seconds['prerank'], '.1f')} s for fits and scores beside those of the folds"
    others = f"the fits of the other models take {number_text(seconds['others'], '.1f')} s"
    if seconds["others_without"] is None:
        return f"{own}; {others}. To know what it saves, cross-validate once with --set prerank=none."
    return f"{own}; {others} instead of {number_text(seconds['others_without'], '.1f')} s."
