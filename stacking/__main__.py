"""``python -m stacking``: cross-validate, and look at the blends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from engine import as_typed, console, out, room_app, run_room, settings_of
from stacking import Plan, make_plan, run_cv
from stacking._fits import Done
from stacking._worth import (
    By,
    Cost,
    ablation_facts,
    ablation_markdown,
    ablation_table,
    base_costs,
    check_writable,
    folds_table,
    gain_facts,
    gain_words,
    patterns_of,
    plan_ablation,
    plan_gain,
    plan_selection,
    run_base,
    selection_cost,
    selection_facts,
    selection_remarks,
    steps_table,
    words_of,
    write_config,
)
from validation import CvBundle, column_alarms, compared, number_text, prerank_sentences, training_alarms

app = room_app("Out-of-fold predictions of every model, and their blends.")


@app.command()
def cv(ctx: typer.Context) -> None:
    """Cross-validate every model and blend; only what is not in the store is computed."""
    bundle = run_cv(make_plan(settings_of(ctx)))
    out.print(_cv_table(bundle))
    for text in prerank_sentences(bundle):
        out.print(Text(text))
    for alarm in (*training_alarms(bundle), *column_alarms(bundle)):
        out.print(Text(f"Alarm: {alarm}", style="red"))
    out.print(_chosen(bundle))
    out.print(f"Next: {as_typed('-m validation report')}")


@app.command()
def blends(ctx: typer.Context) -> None:
    """Compare the models and blends with the best of them."""
    bundle = run_cv(make_plan(settings_of(ctx)))
    out.print(_blends_table(bundle))
    out.print(_chosen(bundle))


Model = Annotated[str | None, typer.Option(help="The model to judge by; without it, the first catboost.")]
Seeds = Annotated[int, typer.Option(min=1, help="Seeds of each fit; the mean of their values counts.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")]


@app.command()
def gain(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A column, a feature, a family, or a pattern of columns.")],
    model: Model = None,
    seeds: Seeds = 3,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Tell what a feature adds to a model: refits with it and without it on every fold, paired over users."""
    plan = make_plan(settings_of(ctx))
    asked = plan_gain(plan, name, model=model, n_seeds=seeds)
    if not dry_run:
        _base(asked.plan, asked.model)
    _say(asked.costs())
    if dry_run:
        return
    measured = asked.run()
    if as_json:
        typer.echo(json.dumps(gain_facts(asked, measured), indent=1))
        return
    out.print(folds_table(asked, measured))
    out.print(gain_words(asked, measured))


@app.command()
def ablate(
    ctx: typer.Context,
    by: Annotated[By, typer.Option(help="What is left out at a time.")] = "family",
    only: Annotated[str | None, typer.Option(help="Look at this feature, family or pattern only.")] = None,
    model: Model = None,
    refit: Annotated[bool, typer.Option("--refit", help="Also train again without each of them.")] = False,
    shuffle: Annotated[bool, typer.Option(help="Shuffle the columns within the eval windows.")] = True,
    repeats: Annotated[int, typer.Option(min=1, help="Permutations of each.")] = 5,
    seeds: Seeds = 1,
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Show what a model loses without each family or feature. What was done once is in the store."""
    plan = make_plan(settings_of(ctx))
    ablation = plan_ablation(
        plan,
        by=by,
        model=model,
        only=only,
        shuffles=shuffle,
        refits=refit or not shuffle,
        n_repeats=repeats,
        n_seeds=seeds,
    )
    base = [] if dry_run else _base(plan, ablation.model)
    _say(ablation.costs())
    if dry_run:
        return
    found = ablation.run(base)
    if as_json:
        typer.echo(json.dumps(ablation_facts(ablation, found), indent=1))
    elif as_markdown:
        typer.echo(ablation_markdown(ablation, found))
    else:
        out.print(ablation_table(ablation, found))


@app.command("select")
def select_features(
    ctx: typer.Context,
    out_file: Annotated[Path, typer.Option("--out", help="The config file to write.")] = Path(
        "config.selected.toml"
    ),
    budget: Annotated[
        float, typer.Option(min=0, help="Minutes after which no further step is begun.")
    ] = 30.0,
    model: Model = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Propose a subset of the features, chosen on train windows only, and write it as a config file of its own."""
    plan = make_plan(settings_of(ctx))
    selection = plan_selection(plan, model=model, budget=budget, say=lambda text: console.print(text))
    console.print(f"Chosen on {words_of(selection)}; no eval window is looked at.")
    first, most = selection_cost(selection)
    _say([first])
    console.print(
        f"The search forward takes {most} fits at most, the one backward a few of each feature: several times as "
        f"long, up to {budget:g} min and the step that is then under way."
    )
    if dry_run:
        return
    check_writable(out_file)
    found = selection.run()
    features = patterns_of(plan.catalogue, plan.settings.features, found.columns)
    write_config(out_file, plan.settings, features, selection_remarks(selection, found))
    if as_json:
        typer.echo(json.dumps({**selection_facts(selection, found), "config": str(out_file)}, indent=1))
        return
    out.print(steps_table(selection, found))
    for remark in selection_remarks(selection, found):
        out.print(remark)
    out.print(f"Next: {as_typed(f'-m stacking --config {out_file} cv')}")


def _base(plan: Plan, model: str) -> list[Done]:
    """Make the model's own fits, whose time tells that of the others; say first what they are."""
    _say(base_costs(plan, model))
    return run_base(plan, model)


def _say(costs: Sequence[Cost]) -> None:
    for cost in costs:
        console.print(str(cost))


def _chosen(bundle: CvBundle) -> str:
    return " ".join([f"Chosen: {bundle.chosen}, since {bundle.about['chosen_because']}.", *compared(bundle)])


def _cv_table(bundle: CvBundle) -> Table:
    """The metric by model or blend and fold, and the mean; the chosen one is marked."""
    cv = bundle.about["cv"]
    folds = [f for f in bundle.about["folds"] if f != "final"]
    table = Table(title=Text(f"{bundle.about['competition']}: {bundle.about['metric']['name']}"))
    for heading in ("", *folds, "mean", "fit s", "iterations"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for name in (*bundle.models, *bundle.blends):
        values = [number_text(cv[name][f]) for f in (*folds, "mean")]
        is_chosen = name == bundle.chosen
        label = Text(f"{name} (chosen)" if is_chosen else name)
        table.add_row(label, *values, *_fit_facts(bundle, name), style="bold" if is_chosen else None)
    if best := bundle.about["best_column"]:
        values = [number_text(best["cv"][f]) for f in (*folds, "mean")]
        table.add_row(Text(f"best column: {best['column']}"), *values, "", "", style="dim")
    return table


def _fit_facts(bundle: CvBundle, model: str) -> tuple[str, str]:
    """Seconds of all fits of a model, and its iterations fold by fold."""
    rows = [r for r in bundle.fits.iter_rows(named=True) if r["model"] == model]
    if not rows:
        return "", ""
    counts = [str(r["iterations"]) for r in rows if r["iterations"] is not None]
    return f"{sum(r['seconds'] for r in rows):.1f}", " ".join(counts)


def _blends_table(bundle: CvBundle) -> Table:
    """Metric of each candidate, and its difference to the best with its standard error and interval."""
    differences, best = bundle.about["differences_to_best"], bundle.about["best"]
    table = Table(title=Text("Models, and blends scored on folds that they were not fitted on"))
    for heading in ("", "mean", f"difference to {best}", "standard error", "95 % interval"):
        table.add_column(Text(heading), justify="left" if heading == "" else "right")
    for name in (*bundle.models, *bundle.blends):
        d = differences.get(name)
        numbers = ("", "", "")
        if d:
            low, high = (number_text(d[end], "+.4f") for end in ("low", "high"))
            numbers = (number_text(d["mean"], "+.4f"), number_text(d["error"]), f"[{low}, {high}]")
        label = Text(f"{name} (chosen)" if name == bundle.chosen else name)
        table.add_row(label, number_text(bundle.about["cv"][name]["mean"]), *numbers)
    for name in bundle.about["not_scored"]:
        table.add_row(Text(name), "not scored", "", "", "")
    return table


if __name__ == "__main__":
    run_room(app)
