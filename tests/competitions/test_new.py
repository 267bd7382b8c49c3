"""``python -m competitions new``: it tells tables and columns apart; what it writes takes the data in, untouched."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import Competition, Dataset, scan_file, simulate, take_in
from competitions.__main__ import app
from competitions._begin import begin_competition, competition_in
from competitions.simulator import LAYOUTS
from engine import ConfigError, DataError, Settings

ROOT = Path(__file__).parents[2]
N_ROWS = 20_000
DAY = 86_400_000_000
EXPECTED = {
    "lists": {
        "keys": ("session", "hotel", "chain"), "reactions": {"like": "clicked"}, "clock": ("time", "shown_at"),
        "metric": "mrr_at_k", "horizon": DAY, "outcomes": {"clicked"}, "derived": {"like"},
    },
    "clicks": {
        "keys": ("viewer", "document", "author"), "reactions": {"dislike": "hate"}, "clock": ("time", "time"),
        "metric": "user_auc", "horizon": DAY, "outcomes": {"click", "like", "hate"}, "derived": {"dislike"},
    },
    "ratings": {
        "keys": ("reader", "book", "author"), "reactions": {"rating": "stars"}, "clock": ("per_user", "rated_ms"),
        "metric": "user_auc", "horizon": 1, "outcomes": {"stars", "review"}, "derived": {"rating", "like", "dislike"},
    },
    "vk2024": {
        "keys": ("user_id", "item_id", "source_id"), "reactions": {}, "clock": ("row", None),
        "metric": "user_auc", "horizon": N_ROWS // 10,
        "outcomes": {"timespent", "like", "dislike", "share", "bookmarks"}, "derived": set(),
    },
    "movielens": {
        "keys": ("user_id", "item_id", "main_genre"), "reactions": {}, "clock": ("per_user", "timestamp"),
        "metric": "user_auc", "horizon": 1, "outcomes": {"rating"}, "derived": {"like", "dislike"},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder_of(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], Path]:
    """Give the folder of a competition's files; those of MovieLens out of the wheel."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / "files"
            if name == "movielens":
                request.getfixturevalue("movielens")  # downloaded, or skipped
                _unpack(next((ROOT / "data").glob("recbole-*.whl")), made[name])
            else:
                simulate(name, made[name], n_rows=N_ROWS, seed=1)
        return made[name]

    return folder


def _unpack(wheel: Path, folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for end in ("inter", "user", "item"):
            content = archive.read(f"recbole/dataset_example/ml-100k/ml-100k.{end}")
            (folder / f"ml-100k.{end}").write_bytes(content)


def taken_in(path: Path, data: Path, folder: Path) -> tuple[Competition, Dataset]:
    """Take the data in as the file says."""
    competition = competition_in(path)
    folder.mkdir()
    return competition, take_in(competition, competition.read(data), folder, fingerprint="new")


@pytest.mark.parametrize("name", EXPECTED)
def test_guesses(name: str, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    data, expected = folder_of(name), EXPECTED[name]
    path = begin_competition(f"my_{name}", data, folder=tmp_path)
    lines = path.read_text().splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 110
    c, dataset = taken_in(path, data, tmp_path / "taken")
    assert (c.user, c.item, c.source) == expected["keys"]
    assert c.reactions == expected["reactions"]
    assert (c.clock.kind, c.clock.column) == expected["clock"]
    assert c.metric.name == expected["metric"]
    assert c.horizon == expected["horizon"]
    assert set(c.outcomes) == expected["outcomes"]
    assert set(c.derived) == expected["derived"]
    for guess in ("    user=", "    outcomes=", "    relevance=", "    clock=", "    metric="):
        (line,) = [line for line in lines if line.startswith(guess)]
        assert "  # " in line
    assert dataset.log.select("relevance").collect()["relevance"].n_unique() > 1
    assert dataset.test_pairs.select(pl.len()).collect().item() > 100


def test_a_rating_is_cut_at_a_commented_threshold(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    data = folder_of("movielens")
    text = begin_competition("mine", data, folder=tmp_path).read_text()
    assert (
        'derived={"like": pl.col("rating") >= 4, "dislike": pl.col("rating") <= 2},  # thresholds: 55%, 17%'
        in text
    )
    _, dataset = taken_in(tmp_path / "mine.py", data, tmp_path / "taken")
    schema = dataset.history_schema
    assert schema["timestamp"] == pl.Datetime("us")
    assert isinstance(schema["genres"], pl.List)
    assert isinstance(schema["genres"].inner, pl.Enum)
    first = dataset.items.filter(pl.col("item_id") == 1).collect().row(0, named=True)
    assert first["genres"] == ["Animation", "Children's", "Comedy"]
    assert first["main_genre"] == "Animation"


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_files_are_formatted_as_the_house_formats(
    name: str, folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    begin_competition("mine", folder_of(name), folder=tmp_path)
    for command in (["check"], ["format", "--check"]):
        options = ["--config", str(ROOT / "pyproject.toml"), str(tmp_path / "mine.py")]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_formats_and_compression_do_not_matter(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    source, other = folder_of("clicks"), tmp_path / "files"
    other.mkdir()
    feed = pl.read_csv(source / "feed.tsv", separator="\t")
    half = feed.height // 2
    # Nine before ten: two files of one log, by the number in their names.
    for number, part in ((9, feed[:half]), (10, feed[half:])):
        part.lazy().sink_csv(other / f"feed_{number}.csv.zst", separator=";", compression="zstd")
    pl.read_csv(source / "next_day.tsv", separator="\t").lazy().sink_ndjson(
        other / "test.jsonl.gz", compression="gzip"
    )
    pl.read_ndjson(source / "documents.jsonl").write_parquet(other / "documents.parquet")
    (other / "README.md").write_text("what this is")
    (other / "about").mkdir()
    (other / "about" / "ReadMe first.txt").write_text("what this is\none, two, and three\n")
    said = []
    for number, data in enumerate((source, other)):
        path = begin_competition(f"mine_{number}", data, folder=tmp_path)
        c, dataset = taken_in(path, data, tmp_path / str(number))
        said.append((c.user, c.item, c.source, c.reactions, c.clock, c.horizon))
        assert dataset.log.select("document").collect()["document"].to_list() == feed["document"].to_list()
        assert dataset.history_schema["topic"] == pl.Enum(sorted(set(dataset.items.collect()["topic"])))
    assert said[0] == said[1]


def test_other_names_of_keys_and_columns_that_clash(tmp_path: Path) -> None:
    """The key of the items is called ``id`` there; a price is in both tables; ``score`` and ``row`` are taken names."""
    data = tmp_path / "files"
    data.mkdir()
    n = 600
    number = pl.int_range(n, eager=True)
    log = pl.DataFrame(
        {"uid": number // 6 + 1, "sku": number * 7 % 50, "price": number % 9 / 2, "row": number % 4,
         "bought": (number * 5 % 3 == 0).cast(pl.Int8), "score": number / n}
    )  # fmt: skip
    log.write_csv(data / "train.csv")
    log.drop("bought", "score").tail(30).write_csv(data / "test.csv")
    items = pl.DataFrame({"id": range(50), "price": [1.5] * 50, "brand": [k % 7 for k in range(50)]})
    items.write_csv(data / "products.csv")
    c, dataset = taken_in(begin_competition("shop", data, folder=tmp_path), data, tmp_path / "taken")
    assert (c.user, c.item, c.source) == ("uid", "sku", "brand")
    assert c.reactions == {"like": "bought"}
    assert set(c.outcomes) == {"bought", "score_"}
    assert {"price", "item_price", "row_"} <= set(dataset.history_schema)
    assert dataset.with_attributes(dataset.test_pairs).collect()["item_price"].to_list() == [1.5] * 30


def test_instants_and_levels_of_columns_with_other_names(tmp_path: Path) -> None:
    """``clock`` and ``time`` are taken names: of Samewise, and of the log. Texts that list levels are split."""
    data = tmp_path / "files"
    data.mkdir()
    number = pl.int_range(600, eager=True)
    log = pl.DataFrame(
        {"user": number // 6, "item": number * 7 % 50, "clock": 1_700_000_000 + number, "time": ["2024-01-01"] * 600,
         "click": number % 2}
    )  # fmt: skip
    log.write_csv(data / "log.csv")
    items = pl.DataFrame(
        {"item": range(50), "time": [f"2023-05-{1 + k % 9:02} 10:00:00" for k in range(50)],
         "tags": ["a|b" if k % 2 else "b" for k in range(50)], "words": ["one"] * 50}
    )  # fmt: skip
    items.write_parquet(data / "items.parquet")
    c, dataset = taken_in(begin_competition("mine", data, folder=tmp_path), data, tmp_path / "taken")
    schema = dataset.history_schema
    assert [schema[name] for name in ("time", "item_time")] == [pl.Datetime("us")] * 2
    assert schema["genres"] == pl.List(pl.Enum(["a", "b"]))
    first = dataset.items.collect().row(3, named=True)
    assert (first["item_time"].day, first["genres"], first["main_genre"]) == (4, ["a", "b"], "a")
    assert c.clock.column == "clock_"


def write_table(folder: Path, **columns: list[object]) -> Path:
    folder.mkdir()
    pl.DataFrame(columns).write_csv(folder / "log.csv")
    return folder


def test_keys_may_be_said(tmp_path: Path) -> None:
    rows = [[k % 30, k % 20, k % 2] for k in range(200)]
    columns = {name: [row[at] for row in rows] for at, name in enumerate(("a", "b", "like"))}
    data = write_table(tmp_path / "files", **columns)  # type: ignore[arg-type]
    path = begin_competition("mine", data, user="b", item="a", folder=tmp_path)
    assert (competition_in(path).user, competition_in(path).item) == ("b", "a")
    with pytest.raises(DataError, match="no column 'c'"):
        begin_competition("other", data, user="c", folder=tmp_path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user": [1, 2, 1], "like": [0, 1, 0]}, "no columns that look like users and items"),
        (
            {"user": [1, 2, 1], "item": [1, 1, 2], "price": [1.5, 2, 3]},
            "no column that looks like a reaction",
        ),
        ({"1": [1, 2], "3": [3, 4]}, "no names of columns"),
    ],
)
def test_what_is_no_log_is_said(columns: dict[str, list[object]], message: str, tmp_path: Path) -> None:
    data = write_table(tmp_path / "files", **columns)
    with pytest.raises(DataError, match=message):
        begin_competition("mine", data, folder=tmp_path)
    assert not (tmp_path / "mine.py").exists()


def test_nothing_is_overwritten(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("# mine")
    with pytest.raises(ConfigError, match="'mine' already"):
        begin_competition("mine", folder_of("clicks"), folder=tmp_path)
    assert (tmp_path / "mine.py").read_text() == "# mine"
    for name in ("movielens", "simulator"):
        with pytest.raises(ConfigError, match="already"):
            begin_competition(name, folder_of("clicks"))
    for name in ("My", "a-b", "class", "a" * 41):
        with pytest.raises(ConfigError, match="cannot be the name"):
            begin_competition(name, folder_of("clicks"), folder=tmp_path)


@pytest.mark.parametrize(
    ("files", "message"), [({}, "holds no table: nothing"), ({"a.png": ""}, r"no table: a\.png")]
)
def test_a_folder_without_tables(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        begin_competition("mine", tmp_path, folder=tmp_path)
    with pytest.raises(DataError, match="no folder"):
        begin_competition("mine", tmp_path / "nowhere", folder=tmp_path)


def test_the_command_refuses_before_it_writes(tmp_path: Path, movielens_settings: Settings) -> None:
    result = CliRunner().invoke(app, ["new", "movielens", "--data", str(tmp_path)])
    assert "already" in str(result.exception)


RUNS = '__import__("pathlib").Path("said").touch()'
HOSTILE: dict[str, tuple[str, Callable[[int], object]]] = {
    "an instant": (f'a ") if {RUNS} else pl.col("', lambda i: f"2024-01-0{1 + i % 9} 00:00:00"),
    "a rating": (f'rating ") if {RUNS} else pl.col("', lambda i: i % 5),
    "a comment": ('share\n**(open("said", "w") and {}),', lambda i: i % 2),
}


@pytest.mark.parametrize(("name", "value"), HOSTILE.values(), ids=HOSTILE)
def test_names_of_columns_are_never_run(
    name: str, value: Callable[[int], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [value(i) for i in range(40)]
    columns = {"user_id": [i % 7 for i in range(40)], "item_id": [i % 11 for i in range(40)], name: values}
    likes = {} if "rating" in name else {"like": [i % 2 for i in range(40)]}
    data = tmp_path / "files"
    data.mkdir()
    table = pl.DataFrame({**columns, **likes})  # Parquet: Polars doubles quotes in the header of a CSV file
    table.write_parquet(data / "log.parquet")
    monkeypatch.chdir(tmp_path)
    with suppress(DataError):  # a declaration may refuse the name
        begin_competition("hostile", data, folder=tmp_path)
    assert (tmp_path / "hostile.py").exists()
    assert not (tmp_path / "said").exists()


def test_names_of_files_are_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{i % 7},{i % 11},{i % 2}\n" for i in range(40))
    (tmp_path / "log.csv").write_text(f"user_id,item_id,like\n{rows}", encoding="utf-8")
    (tmp_path / "test\n    open('said', 'w'),\n    #.csv").write_text(
        "user_id,item_id\n1,2\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    assert "solution" not in begin_competition("hostile", tmp_path, folder=tmp_path).read_text("utf-8")
    assert not (tmp_path / "said").exists()


def test_a_test_table_without_rows_and_instants_without_values(tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{i % 11},2024-01-0{1 + i % 9} 00:00:00,{i % 2}\n" for i in range(40))
    (tmp_path / "log.csv").write_text(f"user_id,item_id,timestamp,like\n{rows}", encoding="utf-8")
    (tmp_path / "test.csv").write_text("user_id,item_id,timestamp\n", encoding="utf-8")
    text = begin_competition("mine", tmp_path, folder=tmp_path).read_text(encoding="utf-8")
    assert 'clock=Clock("row"),  # test.csv has no timestamp: the order of the rows' in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,item_id,like\n", "has no rows"),
        ("user_id,item_id,like\n1,2\n3,4,1,5\n", "cannot be read to the end"),
    ],
)
def test_a_log_without_rows_or_with_longer_ones(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        begin_competition("mine", tmp_path, folder=tmp_path)
    assert not (tmp_path / "mine.py").exists()


def feed_parts(folder: Path, names: list[str], n: int = 600) -> pl.DataFrame:
    """Write a log in so many files of a folder, in this order; return it."""
    number = pl.int_range(n, eager=True)
    log = pl.DataFrame({"user_id": number // 6, "item_id": number * 7 % 50, "like": number * 5 % 3 // 2})
    size = n // len(names)
    for at, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        log[at * size : (at + 1) * size].write_csv(path)
    return log


PARTS = {
    "numbers of one length": ([f"raw/train/part-{k:02}.csv" for k in range(30)], "sorted(folder.glob("),
    "9 before 10": ([f"raw/train/part-{k}.csv" for k in range(30)], "key=lambda file: (len(str(file)), file)"),
    "a folder a day": ([f"raw/train/day={k}/part-0.csv" for k in range(1, 13)], "raw/train/day=*/part-*.csv"),
    "few": (["raw/train/1.csv", "raw/train/2.csv"], 'scan_file(folder / "raw/train/2.csv")'),
    "no pattern": (
        [f"raw/train [a]/the part {k}.csv" for k in range(6, 12)],
        '    log_files = ["raw/train [a]/the part 6.csv", "raw/train [a]/the part 7.csv",',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("names", "written"), PARTS.values(), ids=PARTS)
def test_tables_in_subfolders(names: list[str], written: str, tmp_path: Path) -> None:
    """Whatever it is that the names of parts differ in, their rows come in the order of the numbers."""
    data = tmp_path / "files"
    log = feed_parts(data, names)
    (data / "raw/test").mkdir(parents=True)
    log.tail(60).drop("like").write_csv(data / "raw/test/part-0.csv")
    (data / "meta").mkdir()
    pl.DataFrame({"item_id": range(50), "brand": [k % 7 for k in range(50)]}).write_csv(
        data / "meta/items.csv"
    )
    pl.DataFrame({"brand": range(7), "country": ["a"] * 7}).write_csv(data / "meta/brands.csv")
    path = begin_competition("mine", data, folder=tmp_path)
    text = path.read_text()
    if len(names) > 3:
        assert written in text
        assert max(map(len, text.splitlines())) <= 110
    c, dataset = taken_in(path, data, tmp_path / "taken")
    keys = ("user_id", "item_id")
    assert dataset.log.select(keys).collect().equals(log.select(keys))
    assert dataset.test_pairs.select("item_id").collect().equals(log.select("item_id").tail(60))
    assert c.source == "brand"
    assert "    # Not read: meta/brands.csv." in text


def test_what_only_the_first_rows_look_like_is_not_believed(tmp_path: Path) -> None:
    """The first thousand texts are instants, and one of the others is not: it is no clock, and that is said."""
    data, n = tmp_path / "files", 3_000
    data.mkdir()
    number = pl.int_range(n, eager=True)
    instants = pl.datetime(2024, 1, 1) + pl.duration(minutes=pl.int_range(n))
    at = pl.select(instants.dt.strftime("%Y-%m-%d %H:%M:%S")).to_series()
    log = pl.DataFrame({"user_id": number // 6, "item_id": number * 7 % 50, "like": number % 2})
    log = log.with_columns(at=at, later=pl.when(number == n - 2).then(pl.lit("soon")).otherwise(at))
    log.drop("at").write_csv(data / "log.csv")
    text = begin_competition("mine", data, folder=tmp_path).read_text()
    assert "later is no instant in 0.03% of the rows: the order of the rows" in text
    log.drop("later").write_csv(data / "log.csv")
    assert 'column="at"' in begin_competition("other", data, folder=tmp_path).read_text()


def test_each_file_is_read_once(
    folder_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked after the first look is asked of copies, which are gone when the adapter is written."""
    read: list[Path] = []

    def scan(path: Path) -> pl.LazyFrame:
        read.append(path)
        return scan_file(path)

    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("competitions._begin.tables.scan_file", scan)
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    for name in ("lists", "clicks", "ratings"):
        read.clear()
        data = folder_of(name)
        begin_competition(f"my_{name}", data, folder=tmp_path)
        assert sorted(read) == sorted(path for path in data.iterdir() if path.suffix != ".json")
        assert not any(copies.iterdir())


@pytest.mark.parametrize("end", ["csv", "csv.gz", "parquet", "jsonl"])
def test_signs_of_patterns_in_names_are_signs(end: str, tmp_path: Path) -> None:
    path, table = tmp_path / f"a[b]*?.{end}", pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    if end == "parquet":
        table.write_parquet(path)
    elif end == "jsonl":
        table.write_ndjson(path)
    else:
        table.lazy().sink_csv(path, compression="gzip" if end.endswith("gz") else "uncompressed")
    (tmp_path / f"ab.{end}").touch()
    assert scan_file(path).collect().equals(table)
