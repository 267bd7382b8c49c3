"""``make submit``: from the log to a checked file, each stage measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from competitions import Competition, pointer_to
from engine import ConfigError, Settings, Store, console, measure_stage
from features import compute_features, joint_warnings
from stacking import final_scores, make_plan, read_final_weights, run_cv
from submissions._compare import previous_best
from submissions._cv import CvBasis, chosen_oof, cv_scores
from submissions._gate import Gate, scored_pairs
from submissions._manifest import ALARM, Manifest, RunFacts, Stage
from submissions._runs import Runs, about_run
from validation import CvBundle, alarms_of, compared, prerank_sentences, read_audit_report


def make_submission(settings: Settings) -> Manifest:
    """Run everything that is not in the store, pass the gate, and publish a new run.

    Settings, data set, catalogue, folds and models are read once, into the plan that every stage gets.
    Raises GateError if the gate refuses the file, ConfigError for the settings of a quick look; whatever fails, no
    half-made run is left.
    """
    _refuse_samples(settings)
    stages: list[Stage] = []
    with _stage("data", stages):
        plan = make_plan(settings)
        dataset = plan.dataset
    with _stage("features", stages):
        compute_features(plan.catalogue, plan.folds.windows, plan.all_columns, plan.store, settings)
    with _stage("cross-validation", stages):
        bundle = run_cv(plan)
    with _stage("final scores", stages):
        scores = final_scores(plan, bundle)
        weights = read_final_weights(plan, bundle)
    runs, c = Runs.of(settings), dataset.competition
    with _stage("what tells test from train", stages):
        names = [n for n in plan.all_columns if plan.catalogue.columns[n].is_model_input]
        told = joint_warnings(plan.catalogue, plan.folds, names, plan.store, plan.keys)
    with _stage("comparison with the best run", stages):
        gate = Gate.of(dataset)
        table = scored_pairs(gate, scores)
        agreement = previous_best(runs, gate, CvBasis.of(settings, dataset), table)
    facts = RunFacts(
        **about_run(settings, dataset, gate),
        chosen=bundle.chosen,
        cv=cv_scores(bundle, c.metric, c.user),
        weights=weights.get(bundle.chosen, {}),
        features=fingerprints(plan.keys),
        stages=tuple(stages),
        remarks=(
            *_why_chosen(bundle),
            *prerank_sentences(bundle),
            *agreement.facts,
            *map(str, agreement.warnings),
            *(f"{ALARM}{alarm}" for alarm in (*_alarms(bundle, plan.store, c, settings.data), *told)),
        ),
    )
    return runs.publish(gate, table, chosen_oof(bundle, c.user, c.item), facts)


def _refuse_samples(settings: Settings) -> None:
    """A sample lacks test pairs: a leaderboard would refuse the file, or score what is not in it as zero."""
    shares = {"users": settings.sample.users, "pairs": settings.sample.pairs}
    set_to = [f"sample.{name} = {share:g}" for name, share in shares.items() if share < 1]
    if set_to:
        raise ConfigError(
            f"With {' and '.join(set_to)} only some of the test pairs get a score: that is no submission.",
            expected="sample.users = 1.0 and sample.pairs = 1.0",
            todo="leave the samples to `stacking cv` and `validation report`; drop --sample-users and --sample-pairs "
            "here, and look for [sample] in config.toml",
        )


def fingerprints(keys: Mapping[str, str]) -> dict[str, str]:
    """Fold the keys ``column @ window`` of a column over the windows into one digest of 16 hex digits.

    >>> list(fingerprints({"age @ w1-1-2": "ab", "age @ w2-2-3": "cd"}))
    ['age']
    """
    by_column: dict[str, list[str]] = {}
    for name, key in sorted(keys.items()):
        by_column.setdefault(name.rpartition(" @ ")[0], []).append(f"{name} {key}")
    return {column: blake3("\n".join(parts).encode()).hexdigest()[:16] for column, parts in by_column.items()}


def _why_chosen(bundle: CvBundle) -> tuple[str, ...]:
    reason = bundle.about.get("chosen_because")
    why = (f"{bundle.chosen} was chosen: {reason}",) if isinstance(reason, str) else ()
    return (*why, *compared(bundle))


def _alarms(bundle: CvBundle, store: Store, c: Competition, data: Path) -> tuple[str, ...]:
    """Say what looks like a leak, and which features the last audit of these data found at fault."""
    return alarms_of(bundle, read_audit_report(store.pointed(pointer_to("audit", c.name, data))))


@contextmanager
def _stage(name: str, stages: list[Stage]) -> Iterator[None]:
    """Say what begins, measure it, and note what it cost."""
    console.print(name, style="bold")
    with measure_stage() as cost:
        yield
    stages.append(Stage.of(name, cost))
