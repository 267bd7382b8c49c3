"""What looks like a leak: training losses that are too good, and the audit that the store has, escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path

import polars as pl
import pytest

from engine import Recipe, Store
from tests.validation.conftest import EVIL, Rebuilt, RunReport
from validation import CvBundle, training_alarms
from validation._report import AuditReport, read_audit_report, report_html

Losses = Mapping[str, tuple[str, tuple[float | None, ...]]]


def fits(losses: Losses) -> pl.DataFrame:
    rows = [
        (model, f"fold{n}", 1.0, 10, "hold-out", value, loss)
        for model, (loss, values) in losses.items()
        for n, value in enumerate(values, 1)
    ]
    columns = ["model", "fold", "seconds", "iterations", "stopped_by", "training_loss", "loss"]
    return pl.DataFrame(rows, schema=columns, orient="row")


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        ({"catboost": ("RMSE", (0.50, 0.04, 0.49))}, ["catboost in fold2"]),  # one fold against the other two
        ({"catboost": ("RMSE", (0.50, 0.26, 0.49))}, []),  # not below half
        ({"catboost": ("RMSE", (0.50, 0.04))}, []),  # of two, no one can tell which is odd
        ({"catboost": ("RMSE", (0.04, 0.04, 0.04))}, []),  # all alike: what the audit is for
        (
            {"catboost": ("RMSE", (0.04, 0.05)), "als": ("RMSE", (0.5, 0.5)), "trees": ("RMSE", (0.5, 0.51))},
            ["catboost in fold1", "catboost in fold2"],
        ),
        ({"catboost": ("RMSE", (0.5, 0.5, 0.5)), "als": ("logit", (0.01, 0.01, 0.01))}, []),  # other losses
        ({"catboost": ("RMSE", (None, None, 0.1))}, []),
        ({"catboost": ("RMSE", (0.0, 0.0, 0.0))}, []),
        ({"mine": ("likelihood", (-0.9, -0.9, -0.9))}, []),  # half of it is more, not less
    ],
)
def test_who_is_far_below_its_siblings_is_named(losses: Losses, named: list[str], bundle: CvBundle) -> None:
    found = training_alarms(replace(bundle, fits=fits(losses)))
    assert [text.partition(" is ")[0] for text in found] == [f"The training loss of {n}" for n in named]


def test_the_report_shows_it_with_the_feature_that_the_fit_rests_on(
    bundle: CvBundle, rebuilt: Rebuilt, run_report: RunReport, tmp_path: Path
) -> None:
    odd = fits({"catboost": ("RMSE", (0.5, 0.04, 0.5))})
    (alarm,) = rebuilt(fits=odd).alarms
    top = bundle.importance.filter((pl.col("model") == "catboost") & (pl.col("fold") == "fold2"))
    assert top.sort("importance", descending=True)["feature"][0] in alarm
    printed, page = run_report(replace(bundle, fits=odd), tmp_path)
    assert "Alarm: The training loss of catboost in fold2 is 0.0400 (RMSE)" in " ".join(printed.split())
    assert "<strong>Alarm:</strong>" in page.read_text(encoding="utf-8")


def finding(column: str, check: str, severity: str = "defect") -> dict[str, str]:
    return {
        "column": column,
        "place": "rates.py:7",
        "check": check,
        "window": "w5-5-6",
        "evidence": f"pair 7: {EVIL} became 3",
        "todo": "read only the history",
        "severity": severity,
    }


def write_audit(folder: Path, *findings: dict[str, str]) -> None:
    about = {
        "fingerprint": "f" * 32,
        "features": 3,
        "log rows": 40_000,
        "pairs": 900,
        "values from": "the small log",
        "test told from train": 0.91,
        "train windows told apart": None,
    }
    text = json.dumps({"findings": findings, "about": about})
    (folder / "audit.json").write_text(text, encoding="utf-8")


@pytest.fixture
def audit(tmp_path: Path) -> AuditReport:
    write_audit(
        tmp_path,
        finding(EVIL, "future truncated"),
        finding(EVIL, "labels of the window flipped"),
        finding("n_likes", "near-duplicate", "warning"),
        finding("n_shares", "near-duplicate", "warning"),
        finding("n_shares", "constant", "warning"),
    )
    found = read_audit_report(tmp_path)
    assert found is not None
    return found


def test_one_row_a_feature_with_all_its_checks(audit: AuditReport) -> None:
    (defect,) = audit.defects
    assert (defect.feature, defect.check) == (EVIL, "future truncated")
    assert defect.others == ("labels of the window flipped",)
    assert list(audit.warnings) == ["near-duplicate", "constant"]
    assert sum(map(len, audit.warnings.values())) == 3


def test_page_shows_the_audit_and_escapes_it(audit: AuditReport, rebuilt: Rebuilt) -> None:
    page = report_html(rebuilt(audit=audit))
    section = page[page.index('<section id="audit"') : page.index('<section id="fits"')]
    assert EVIL not in page
    assert escape(EVIL, quote=False)[:20] in section.replace("&#34;", '"').replace("&#39;", "'")
    checks = ("also: labels of the window flipped", "2 warnings: near-duplicate")
    for text in ("1 defect", "rates.py:7 w5-5-6", "0.910", *checks):
        assert text in section
    assert section.count("<caption") == section.count("<table") == 3


def test_defects_stand_beside_the_scores(audit: AuditReport, rebuilt: Rebuilt) -> None:
    report = rebuilt(audit=audit)
    assert any("1 feature that cannot be trusted" in text for text in report.alarms)
    assert not any("of other data" in text for text in report.caveats)
    other = rebuilt(audit=replace(audit, facts={**audit.facts, "fingerprint": "0" * 32}))
    assert other.alarms == ()
    assert any("of other data" in text for text in other.caveats)
    assert not any("audit" in text for text in rebuilt().caveats)


def test_report_reads_the_audit_that_the_store_points_to(
    bundle: CvBundle, run_report: RunReport, tmp_path: Path
) -> None:
    store, recipe = Store(tmp_path / "store"), Recipe("audit", "cinema: audit", {})
    findings = (finding("n_likes", "future truncated"), finding("n_shares", "constant", "warning"))
    store.put(recipe, lambda folder: write_audit(folder, *findings))
    store.point("audit", recipe)
    printed, path = run_report(bundle, tmp_path)
    assert "future truncated" in printed
    assert "1, such as n_shares" in printed
    assert "rates.py:7" in path.read_text(encoding="utf-8")


def test_without_an_audit_the_page_says_so(rebuilt: Rebuilt) -> None:
    assert "The features were not audited" in report_html(rebuilt())
    assert read_audit_report(None) is None
