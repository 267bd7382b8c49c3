"""What two cross-validations must have in common for their values to be compared."""

from __future__ import annotations

import json
from dataclasses import dataclass

from competitions import Dataset, Metric
from engine import Settings
from submissions._manifest import Manifest, MetricFacts


@dataclass(frozen=True)
class CvBasis:
    """Competition, metric, data and folds of a cross-validation; ``metric`` and ``folds`` as JSON."""

    competition: str
    metric: str
    data_fingerprint: str
    folds: str

    @classmethod
    def of(cls, settings: Settings, dataset: Dataset) -> CvBasis:
        """The basis of what the settings would make now."""
        folds = settings.folds.model_dump(mode="json")
        c = dataset.competition
        return cls(c.name, metric_facts(c.metric).model_dump_json(), dataset.fingerprint, _canonical(folds))

    @classmethod
    def of_run(cls, manifest: Manifest) -> CvBasis:
        """The basis of a finished run."""
        folds = manifest.config.get("folds", {})
        metric = manifest.metric.model_dump_json()
        return cls(manifest.competition, metric, manifest.data_fingerprint, _canonical(folds))


def metric_facts(metric: Metric) -> MetricFacts:
    """The metric as manifests hold it."""
    return MetricFacts(
        name=metric.name, policy=dict(metric.policy), greater_is_better=metric.greater_is_better
    )


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)
