"""``python -m features new``: a free name, a file that runs at once on either competition, nothing overwritten."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from competitions import Dataset, opened
from engine import Settings
from features import Catalogue, FeatureError, load_catalogue
from features import __main__ as command
from features._cards import FOLDER, Kind, begin_feature, write_feature

ROOT = Path(__file__).parents[2]
KINDS: tuple[Kind, ...] = get_args(Kind)

# In a process of its own: what it declares must not get into the registry of the other tests.
RUN = """
import importlib, json, sys
from pathlib import Path
from competitions import get_competition, random_tables, take_in
from engine import FoldSettings, Settings
import features
from features import compute_window, load_catalogue
from features._audit import audit_window
from features._cards import write_feature
from validation import plan_folds, window_pairs

name, folder, kinds = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
competition = get_competition(name)
tables = random_tables(competition, n_users=40, n_items=50, n_rows=1500, seed=3)
(folder / "data").mkdir()
features.__path__.append(str(folder))
dataset = take_in(competition, tables, folder / "data", fingerprint="generated")
before = load_catalogue(dataset)
for kind in kinds:
    path = write_feature(f"fresh_{kind}", kind, before, folder)
    importlib.import_module(f"features.{path.stem}")
catalogue = load_catalogue(dataset)
own = [n for n in catalogue.columns if n.startswith("fresh_")]
window = plan_folds(dataset, FoldSettings(n_folds=1, n_train_windows=1)).folds[-1].eval
values = compute_window(catalogue, window, catalogue.closure(own), window_pairs(dataset, window))
findings = audit_window(catalogue, [window], own, Settings(backend="inline"))
print(json.dumps({
    "columns": {n: values[n].n_unique() for n in own},
    "kinds": sorted({catalogue.columns[n].kind for n in own}),
    "findings": [f"{f.column}: {f.check}: {f.evidence}" for f in findings],
}))
"""


@pytest.fixture(scope="module")
def catalogue(timed: Dataset) -> Catalogue:
    return load_catalogue(timed)


def ran(*arguments: str | Path) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_style(files: Sequence[Path]) -> None:
    for check in (["check"], ["format", "--check"]):
        ran("-m", "ruff", *check, "--no-cache", "--config", ROOT / "pyproject.toml", *files)


@pytest.mark.parametrize("competition", ["movielens", "vk2024"])
def test_files_of_all_kinds_run_and_pass_the_audit(competition: str, tmp_path: Path) -> None:
    found = json.loads(ran("-c", RUN, competition, tmp_path, *KINDS))
    assert found["findings"] == []
    assert found["kinds"] == sorted(KINDS)
    assert all(n > 1 for n in found["columns"].values()), found["columns"]
    files = sorted(tmp_path.glob("fresh_*.py"))
    assert len(files) == len(KINDS)
    check_style(files)


def test_files_of_a_long_name_are_formatted_and_typed_whatever_there_is_to_read(
    timed: Dataset, catalogue: Catalogue, tmp_path: Path
) -> None:
    no_rate = replace(catalogue, columns={})
    no_number = replace(no_rate, dataset=replace(timed, users=timed.users.select("user_id")))
    files = {}
    for case, known in {"rate": catalogue, "number": no_rate, "keys": no_number}.items():
        (tmp_path / case).mkdir()
        for kind in KINDS:
            path = write_feature(f"a_name_of_forty_letters_for_a_{kind}", kind, known, tmp_path / case)
            files[path] = path.read_text(encoding="utf-8")
    check_style(list(files))
    pairs = [text for path, text in files.items() if "per_pair" in path.name]
    for text, words in zip(pairs, ('like_rate["item_id"]', ".log()", "n_unique()"), strict=True):
        assert words in text
    for text in files.values():
        tree = ast.parse(text)
        assert ast.get_docstring(tree)
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            assert node.returns is not None
            assert all(a.annotation for a in node.args.args if a.arg != "self")


@pytest.mark.parametrize(
    "name",
    ["", "Likes", "1st", "my-likes", "_x", "a__b", "ends_", "../up", "a/b", "a.b", "class", "x\n", "x" * 41],
)
def test_what_cannot_be_a_name_is_refused(name: str, catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(FeatureError):
        write_feature(name, "aggregate", catalogue, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("like_rate", "a feature in features/rates.py:"),
        ("rating_mean", "the catalogue, available here or not"),
        ("user_id", "a column that every feature may read"),
        ("stars", "a column that every feature may read"),
        ("cutoff", "a column that every feature may read"),
        ("mean", "a package, a module or a name of `features`"),
        ("polars", "a package, a module or a name of `features`"),
        ("validation", "a package, a module or a name of `features`"),
        ("json", "a package, a module or a name of `features`"),
    ],
)
def test_a_taken_name_is_refused_with_what_has_it(
    name: str, by: str, catalogue: Catalogue, tmp_path: Path
) -> None:
    with pytest.raises(FeatureError, match=f"The name '{name}' is taken: .*{by}"):
        write_feature(name, "aggregate", catalogue, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_class_is_not_named_like_another(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"a feature in features/neighbours.py"):
        write_feature("neigh_bours", "fitted", catalogue, tmp_path)
    write_feature("neigh_bours", "aggregate", catalogue, tmp_path)


def test_a_file_is_never_overwritten(catalogue: Catalogue, tmp_path: Path) -> None:
    path = write_feature("fresh", "table", catalogue, tmp_path)
    path.write_text("mine", encoding="utf-8")
    for kind in KINDS:
        with pytest.raises(FeatureError, match="taken"):
            write_feature("fresh", kind, catalogue, tmp_path)
    assert path.read_text(encoding="utf-8") == "mine"
    (tmp_path / "other.py").symlink_to(tmp_path / "nowhere.py")
    with pytest.raises(FeatureError, match="taken"):
        write_feature("other", "table", catalogue, tmp_path)
    assert not (tmp_path / "nowhere.py").exists()


def test_the_command_refuses_before_it_writes(timed: Dataset) -> None:
    before = sorted(FOLDER.iterdir())
    for name in ("rates", "like_rate", "_x", "../x"):
        with opened(timed), pytest.raises(FeatureError):
            CliRunner().invoke(command.app, ["new", name], catch_exceptions=False)
    with opened(timed):
        result = CliRunner().invoke(command.app, ["new", "fresh", "--kind", "magic"])
    assert result.exit_code == 2
    assert sorted(FOLDER.iterdir()) == before


def test_a_file_whose_card_fails_stays_and_it_is_said_how_to_go_on(
    timed: Dataset, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(
        FeatureError
    ) as caught:  # a file in another folder cannot be imported as one of the room
        begin_feature("fresh", "table", timed, settings, tmp_path)
    told = str(caught.value)
    for words in (
        "features/fresh.py is written and stays",
        "No module named",
        "python -m features card fresh",
    ):
        assert words in told
    assert (tmp_path / "fresh.py").exists()
