"""``python -m models``: the models of config.toml, what can be set, starts of nets, and a run as ONNX graphs."""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from engine import ConfigError, Settings, did_you_mean, out, room_app, run_room, settings_of, write_atomically
from models import Parameter, Ranker, build_models, graphs, model_kinds, parameters_of

app = room_app("Rankers: one file a kind, one [models.NAME] table in config.toml a model.")


@app.command("list")
def list_models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the kinds of models, and under which names config.toml uses them."""
    settings = settings_of(context)
    rows = [_row(name, settings) for name in model_kinds()]
    if as_json:
        out.print_json(json.dumps(rows))
        return
    table = Table("kind", "meaning", "in config.toml as", header_style="dim")
    for row in rows:
        table.add_row(
            Text(row["kind"], style="bold"), Text(row["meaning"]), Text("\n".join(row["models"]) or "-")
        )
    out.print(table)


@app.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A kind, or a model of config.toml.")],
) -> None:
    """Show the parameters of a kind or of a configured model: default, what is allowed, meaning."""
    settings = settings_of(context)
    kind_name, values = _kind_and_values(name, settings)
    kind = model_kinds()[kind_name]
    out.print(
        Text(name, style="bold") + Text("" if name == kind_name else f" (kind {kind_name})", style="not bold")
    )
    out.print(Text(_meaning_of(kind)))
    table = Table("parameter", "value", "allowed", "meaning", header_style="dim")
    for parameter in parameters_of(kind):
        table.add_row(*_cells(parameter, values))
    out.print(table)


@app.command("compare-starts")
def compare_starts(
    context: typer.Context,
    model: Annotated[
        str, typer.Option(help="A net of config.toml, on or off, or a kind of net.")
    ] = "two_towers",
    starts: Annotated[
        str,
        typer.Option(
            help="Families of vectors, by commas; orthogonal (in other nets than two towers: random) = none. Others "
            "are compared with the first. Without it: that one, als, svd, taste, entities."
        ),
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each, from the config's on.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare what the tables of a net start at: mean and spread over seeds; also on a page. Fits many nets."""
    from models import _starting

    settings = settings_of(context)
    names = [name.strip() for name in starts.split(",") if name.strip()]
    trial = _starting.plan_trial(settings, model, names, seeds)
    competition = trial.dataset.competition
    found = _starting.compare(
        _starting.run_trial(trial), competition.metric, model=model, title=competition.title
    )
    if as_json:
        out.print_json(json.dumps(asdict(found), default=str))
    else:
        out.print(_starting.comparison_table(found))
    path = settings.reports / competition.name / "starts.html"
    write_atomically(path, _starting.comparison_html(found))
    out.print(Text(f"Page: {path}"))


@app.command()
def export(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, the start of its name, or 'latest'.")],
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder, or an empty one.")],
    without: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Leave a model or blend out; may be repeated.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write the last window's columns by key, as Parquet files."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of an older bundle.")
    ] = False,
) -> None:
    """Write a run as one bundle of ONNX graphs, which a server without Python reads, and check its scores."""
    graphs.require("onnx", "onnxruntime")
    # Runs are a thing of the rooms above, which are asked for by name.
    exported = import_module("submissions").export_run(
        settings_of(context), run, folder, without=without or [], features=features, replace=replace
    )
    out.print(Text(exported.words))
    out.print(Text(f"Next: make serve BUNDLE={folder}"))


@app.command("check")
def check_exported(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A bundle that `export` wrote.")],
) -> None:
    """Let a bundle answer its golden cases with onnxruntime. Exit code 1 if it is damaged or gives other scores."""
    out.print(Text(import_module("stacking").check_bundle(folder).words))


@app.command()
def library() -> None:
    """Print where onnxruntime's C library lies, which a server without Python opens."""
    typer.echo(graphs.runtime_library())


def _row(name: str, settings: Settings) -> dict[str, Any]:
    models = [model for model, table in settings.models.items() if table.get("kind", model) == name]
    return {"kind": name, "meaning": _meaning_of(model_kinds()[name]), "models": models}


def _meaning_of(kind: type[Ranker]) -> str:
    """First line of the kind's docstring."""
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _kind_and_values(name: str, settings: Settings) -> tuple[str, dict[str, object]]:
    """Kind of a configured model with its values, or the kind of that name with its defaults."""
    if name in settings.models:
        table = dict(settings.models[name])
        ranker = build_models({name: {**table, "enabled": True}})[name]
        kind = str(table.get("kind", name))
        return kind, {p.name: getattr(ranker, p.name) for p in parameters_of(type(ranker))}
    if name in model_kinds():
        return name, {}
    known = [*settings.models, *model_kinds()]
    raise ConfigError(
        f"There is no model and no kind of model {name!r}." + did_you_mean(name, known),
        expected="one of " + ", ".join(dict.fromkeys(known)),
        todo="`python -m models list` shows them",
    )


def _cells(parameter: Parameter, values: dict[str, object]) -> tuple[Text, ...]:
    value = values.get(parameter.name, parameter.default)
    is_changed = value != parameter.default
    shown = Text(_shown(value), style="bold" if is_changed else "")
    if is_changed:
        shown.append(f" (default {_shown(parameter.default)})", style="not bold dim")
    return Text(parameter.name, style="bold"), shown, Text(parameter.allowed), Text(parameter.meaning)


def _shown(value: object) -> str:
    return "none" if value is None else json.dumps(value, default=str)


if __name__ == "__main__":
    run_room(app)
