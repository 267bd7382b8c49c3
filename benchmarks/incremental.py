"""What does one more cost on a warm store? ``python -m benchmarks.incremental`` (10 million simulated rows).

The store holds 240 aggregate columns (15 aggregates by 4 keys and 4 lookbacks) of the planned windows. Then, in turns:

- *one more*: a new aggregate by one key (``--keys``: each in its turn), and the plain Polars query for it in the same
  windows: rows before the cutoff, only the keys of the window's pairs, one group-by, one value a pair. The query reads
  files that were joined with the items beforehand and stores nothing; ours joins, and stores what it computes.
- *one edited*: the same name with another constant. Nothing else may be computed again.
- *one more partition*: the log grows by a file (the data are simulated in ``--parts`` files, of which the last is held
  back at first). The columns of the test window, which now ends later, are computed anew. Compared with a pass over the
  new rows, which is the same columns of a log of these only, and the merge: what it takes to read and merge the
  partial states of the earlier partitions where all of them are in the store.

Every new or edited feature has a constant that no earlier round had, so that nothing is found in the store. Prints the
medians and their ratio; fails if values of ours and of the plain query differ, or more was computed than one column.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks._cached import simulated, with_folders
from benchmarks._figures import keep
from benchmarks._incremental_partition import one_more_partition
from benchmarks._incremental_rounds import Rounds, Warm, one_edited, one_more, warmed
from engine import out

WANTED = 1.3  # at most, times what a plain query takes


def main() -> int:
    """Measure, print, keep the figures; exit code 1 if a value is wrong."""
    asked = arguments()
    data = asked.data or simulated(asked.cache / "data", asked.rows, parts=asked.parts)
    rounds: dict[str, Rounds] = {}
    with tempfile.TemporaryDirectory(dir=asked.scratch) as temporary:
        folder = Path(temporary)
        warm = warmed(data, folder, asked.threads)
        out.print(
            f"{warm.n_rows:,} rows, {len(warm.windows)} windows, {len(warm.names)} columns: "
            f"the store was filled in {warm.seconds:.1f} s",
            highlight=False,
        )
        for key in asked.keys:
            rounds[f"one more, {key}"] = one_more(warm, key, asked.repeats)
        rounds[f"one edited, {asked.keys[0]}"] = one_edited(warm, asked.keys[0], asked.repeats)
        if not asked.without_partition:
            rounds["one more partition"] = one_more_partition(data, folder, asked.threads, asked.repeats)
    lines = [f"{name}: {one.in_words(WANTED)}" for name, one in rounds.items()]
    out.print("\n".join(lines), highlight=False)
    problems = [problem for one in rounds.values() for problem in one.problems]
    out.print("\n".join(problems) or "All values agree.", highlight=False)
    figures = {name: one.figures() for name, one in rounds.items()}
    keep("incremental", about(warm) | {"findings": lines, "rounds": figures}, asked.out)
    return 1 if problems else 0


def about(warm: Warm) -> dict[str, object]:
    """How large the warm store is."""
    return {
        "rows": warm.n_rows,
        "windows": len(warm.windows),
        "columns": len(warm.names),
        "filled_in_seconds": warm.seconds,
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="folder of vk2024 files; the log in several for the last part"
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="simulated rows, without --data")
    parser.add_argument("--parts", type=int, default=10, help="files of the simulated log")
    parser.add_argument(
        "--keys", nargs="+", default=["user_id", "item_id", "source_id", "user_id_x_source_id"]
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without-partition", action="store_true", help="leave out the log that grows")
    return with_folders(parser).parse_args()


if __name__ == "__main__":
    sys.exit(main())
