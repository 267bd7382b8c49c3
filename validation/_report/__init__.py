"""The report of a stored cross-validation: its numbers, laid out for the terminal and as an offline page."""

from validation._report.audit import AuditReport, read_audit_report
from validation._report.bundle import CvBundle
from validation._report.facts import column_alarms, compared, training_alarms
from validation._report.html import report_html
from validation._report.page import (
    Chart,
    color_of,
    colors_of,
    finish_chart,
    number_of,
    number_text,
    render_page,
)
from validation._report.prerank import prerank_sentences
from validation._report.report import Report, alarms_of, build_report
from validation._report.terminal import show_report

__all__ = [
    "AuditReport",
    "Chart",
    "CvBundle",
    "Report",
    "alarms_of",
    "build_report",
    "color_of",
    "colors_of",
    "column_alarms",
    "compared",
    "finish_chart",
    "number_of",
    "number_text",
    "prerank_sentences",
    "read_audit_report",
    "render_page",
    "report_html",
    "show_report",
    "training_alarms",
]
