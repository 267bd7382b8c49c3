"""featuretools in the aggregates benchmark, run by the Python of its own environment (pandas < 3).

    python benchmarks/_featuretools_child.py JOB.json RESULT.json [ROWS]

Imports nothing of this repository. The clock (a row number) becomes seconds after an epoch, since featuretools cuts by
time; timed is the computation of the feature matrices and their join with the pairs, not the building of the entity
set. With ``ROWS`` one pair in ``ONE_IN`` of each table is kept there as Parquet.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

KEYS = (("user_id",), ("item_id",), ("source_id",), ("user_id", "source_id"))
OUTCOMES = ("like", "dislike", "share", "bookmarks", "timespent")
EPOCH = "2000-01-01"
ONE_IN = 97  # as in _aggregates_run: pairs whose rows are kept


def main() -> None:
    """Compute every (key, cutoff, lookback) and write seconds, memory and sums."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rows = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    warnings.simplefilter("ignore")  # pandas announces changes to featuretools a hundred times
    pandas, featuretools = importlib.import_module("pandas"), importlib.import_module("featuretools")
    log = pandas.read_parquet(Path(job["inputs"], "joined"))
    entities = entity_set(pandas, featuretools, log)
    pairs = {
        cutoff: pairs_of(pandas, Path(job["inputs"], "pairs", f"{cutoff}.parquet"))
        for cutoff in job["cutoffs"]
    }
    sums, began, before = {}, time.perf_counter(), sum(os.times()[:2])
    for key in KEYS:
        features = defined(featuretools, entities, key)
        for cutoff in job["cutoffs"]:
            for lookback in job["lookbacks"]:
                span = None if lookback is None else featuretools.Timedelta(lookback * job["horizon"], "s")
                matrix = featuretools.calculate_feature_matrix(
                    list(features.values()),
                    entities,
                    cutoff_time=pandas.Timestamp(EPOCH) + pandas.Timedelta(cutoff, "s"),
                    training_window=span,
                    include_cutoff_time=False,
                )
                matrix.columns = list(features)
                matrix = matrix[matrix["n"] > 0]
                values = pairs[cutoff].merge(matrix, how="left", left_on="_x_".join(key), right_index=True)
                values = values[["pair_id", *features]]
                name = f"{'_x_'.join(key)}-{cutoff}-{lookback or 'all'}"
                sums[name] = {"rows": len(values), **{k: float(values[k].sum()) for k in features}}
                if rows is not None:
                    some = values[values["pair_id"] % ONE_IN == 0].sort_values("pair_id")
                    some.to_parquet(rows / f"{name}.parquet", index=False)
    figures = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": sum(os.times()[:2]) - before,
        "peak_mib": peak_mib(),
        "sums": sums,
    }
    Path(sys.argv[2]).write_text(json.dumps(figures), encoding="utf-8")


def entity_set(pandas: Any, featuretools: Any, log: Any) -> Any:
    """Make the log a child of one table per key; flags become numbers, which featuretools can sum."""
    log = log.astype(dict.fromkeys((*OUTCOMES, "duration", "clock"), "float64"))
    log["at"] = pandas.Timestamp(EPOCH) + pandas.to_timedelta(log["clock"], unit="s")
    log["row"] = range(len(log))
    log["user_id_x_source_id"] = packed(log)
    entities = featuretools.EntitySet()
    entities.add_dataframe(dataframe_name="log", dataframe=log, index="row", time_index="at")
    for key in KEYS:
        name = "_x_".join(key)
        parents = pandas.DataFrame({name: log[name].unique()})
        entities.add_dataframe(dataframe_name=f"of_{name}", dataframe=parents, index=name)
        entities.add_relationship(f"of_{name}", name, "log", name)
    return entities


def pairs_of(pandas: Any, file: Path) -> Any:
    """Read the pairs of a window, with a column for each key."""
    pairs = pandas.read_parquet(file)
    return pairs.assign(user_id_x_source_id=packed(pairs))


def packed(rows: Any) -> Any:
    """Give user and source as one number."""
    return rows["user_id"].astype("int64") * 2**32 + rows["source_id"]


def defined(featuretools: Any, entities: Any, key: tuple[str, ...]) -> dict[str, Any]:
    """Define the 15 aggregates of a key, by name."""
    primitives = importlib.import_module("featuretools.primitives")
    parent = f"of_{'_x_'.join(key)}"

    def of(column: str, primitive: Any) -> Any:
        return featuretools.Feature(
            entities["log"].ww[column], parent_dataframe_name=parent, primitive=primitive
        )

    features = {"n": of("row", primitives.Count)}
    for name in OUTCOMES:
        features[f"{name}_sum"] = of(name, primitives.Sum)
    features["last_clock"], features["first_clock"] = of("clock", primitives.Max), of("clock", primitives.Min)
    for name in OUTCOMES:
        features[f"{name}_mean"] = of(name, primitives.Mean)
    features["timespent_std"] = of("timespent", primitives.Std)
    features["watch_share"] = featuretools.Feature(
        [features["timespent_sum"], of("duration", primitives.Sum)], primitive=primitives.DivideNumeric
    )
    return features


def peak_mib() -> float:
    """Peak resident memory of this process in MiB; 0.0 where there is no /proc."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


if __name__ == "__main__":
    main()
