"""What is each model worth, alone and in the blend? ``python -m benchmarks.models LOG... --folder DIR``.

    python -m benchmarks.models movielens --folder DIR --model sequence_net two_towers interact_rank
    python -m benchmarks.models vk2024_order:10000000:81 --folder DIR --model sequence_net

Runs the config with the models of ``--model`` beside its own (kinds with their defaults, or ``NAME={...}``), then once
more without each of them: only blends are made again. Tells of each model its metric on the eval windows (out of fold)
and on the test window, whose labels it reads; what it has more than CatBoost, and what the chosen scores have more
than those without it, both windows pooled, with 95 % intervals of the paired bootstrap over users; and the seconds of
its fits. ``vk2024_order`` is simulated with all effects of order.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks._cached import LOG_HELP, Log
from benchmarks._figures import keep
from benchmarks._paired import Compared, compared, joined
from benchmarks._stack import Stack, stack_of
from engine import ConfigError, Json, SamewiseError, console, did_you_mean, out

SEED = 1  # of the resamples


def main(words: Sequence[str] | None = None) -> None:
    """Run, print and keep the figures. ``words``: of the command line; None = the program's own."""
    asked = arguments(words)
    rows: list[dict[str, Json]] = []
    try:
        for text in dict.fromkeys(asked.logs):
            log = Log.of(text, asked.folder / "data")
            rows += worths(log, asked)
            out.print(as_table([row for row in rows if row["log"] == text], text, asked.against))
    except SamewiseError as error:
        raise SystemExit(f"Error: {error}") from error
    facts = {name: getattr(asked, name) for name in ("model", "both", "against")}
    keep("models", {**facts, "rows": rows}, asked.out)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help=LOG_HELP)
    parser.add_argument("--folder", type=Path, required=True, help="where data and stores are kept")
    parser.add_argument(
        "--model", nargs="+", action="extend", default=[], metavar="NAME",
        help="a kind beside the models of the config; or NAME={kind=...}",
    )  # fmt: skip
    parser.add_argument(
        "--both", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="settings"
    )
    parser.add_argument("--against", default="catboost", help="the model that the others are compared with")
    parser.add_argument("--out", type=Path, help="file of the figures")
    return parser.parse_args(words)


def worths(log: Log, asked: argparse.Namespace) -> list[dict[str, Json]]:
    """What each model is worth on a log: one row a model, and one of the chosen scores, if they are none of these."""
    names = [text.partition("=")[0] for text in asked.model]
    tables = [text if "=" in text else f'{text}={{kind="{text}"}}' for text in asked.model]
    settings = [*asked.both, *(f"models.{table}" for table in tables)]
    whole = told(log, asked, settings)
    if asked.against not in whole.models:
        raise ConfigError(
            f"No model is called {asked.against!r}.{did_you_mean(asked.against, whole.models)}",
            expected=f"--against as one of {', '.join(whole.models)}",
        )
    rows = []
    for name in dict.fromkeys([*whole.models, whole.chosen]):
        is_chosen = name == whole.chosen
        row: dict[str, Json] = {"log": log.text, "model": name, "is_chosen": is_chosen}
        row["seconds"] = whole.seconds.get(name)
        row |= alone(whole, name, asked.against)
        if name in names:
            less = told(log, asked, [*settings, f"models.{name}.enabled=false"])
            row |= in_blend(whole, less)
        rows.append(row)
    return rows


def told(log: Log, asked: argparse.Namespace, settings: Sequence[str]) -> Stack:
    """Run, and say what was chosen of which models."""
    stack = stack_of(log, asked.folder, settings)
    text = f"{log.text}: {', '.join(stack.models)}; chosen {stack.chosen}"
    console.print(text, highlight=False, markup=False)
    return stack


def alone(stack: Stack, name: str, against: str) -> dict[str, Json]:
    """Metric of a score on each part of the windows, and its lead over another one with both pooled."""
    scores = joined(stack.scores_of(name, "a"), stack.scores_of(against, "b"))
    found = compared(scores, stack.metric, "user", ["a"], ["b"], seed=SEED)
    return {**{row.part: row.a for row in found}, "lead": lead_of(found)}


def in_blend(whole: Stack, less: Stack) -> dict[str, Json]:
    """What the chosen scores have more than those of a stack without a model, all windows pooled."""
    scores = joined(whole.scores_of("score", "with"), less.scores_of("score", "without"))
    found = compared(scores, whole.metric, "user", ["with"], ["without"], seed=SEED)
    return {"blend": lead_of(found)}


def lead_of(found: Sequence[Compared]) -> list[Json]:
    """Mean and ends of the interval of the last part: all windows pooled."""
    lead = found[-1].lead
    return [lead.mean, lead.low, lead.high]


def as_table(rows: Sequence[dict[str, Json]], title: str, against: str) -> Table:
    """One line a model."""
    table = Table(title=f"{title} (95 % intervals over users)")
    for heading in ("model", "eval windows", "test", f"less {against}", "in the blend", "fits of folds, s"):
        table.add_column(heading)
    for row in rows:
        values = (number_text(row.get(part), ".4f") for part in ("eval windows", "test window"))
        leads = (interval_text(row.get(name)) for name in ("lead", "blend"))
        name = f"{row['model']} (chosen)" if row["is_chosen"] else str(row["model"])
        table.add_row(name, *values, *leads, number_text(row["seconds"], ",.0f"))
    return table


def interval_text(lead: Any) -> str:
    """Mean and interval; nothing for None."""
    return "" if lead is None else f"{lead[0]:+.4f} [{lead[1]:+.4f}, {lead[2]:+.4f}]"


def number_text(value: Any, form: str) -> str:
    """A number in this form; nothing for None."""
    return "" if value is None else format(value, form)


if __name__ == "__main__":
    main()
