"""``python -m features new``: a free name, a file that runs at once on either competition, nothing overwritten."""

from __future__ import annotations

import ast
import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from competitions import Dataset, opened
from features import Catalogue, FeatureError, load_catalogue
from features import __main__ as command
from features._cards import BODIES, FOLDER, Kind, next_steps, write_feature
from features._cards import new as bodies

ROOT = Path(__file__).parents[2]
KINDS: tuple[Kind, ...] = ("aggregate", "per_pair", "table", "fitted")

# In a process of its own: what it declares must not get into the registry of the other tests.
RUN = """
import importlib.util, json, sys
from pathlib import Path
from competitions import get_competition, random_tables, take_in
from engine import FoldSettings, Settings
from features import compute_window, load_catalogue
from features._audit import audit_window
from features._new import write_feature
from features._new_bodies import BODIES
from validation import plan_folds, window_pairs

name, folder = sys.argv[1], Path(sys.argv[2])
competition = get_competition(name)
tables = random_tables(competition, n_users=40, n_items=50, n_rows=1500, seed=3)
(folder / "data").mkdir()
dataset = take_in(competition, tables, folder / "data", fingerprint="generated")
before = load_catalogue(dataset)
for kind in BODIES:
    path = write_feature(f"fresh_{kind}", kind, before, folder)
    spec = importlib.util.spec_from_file_location(f"features.{path.stem}", path)
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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


@pytest.mark.parametrize("competition", ["movielens", "vk2024"])
def test_files_of_all_kinds_run_and_pass_the_audit(competition: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", RUN, competition, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["findings"] == []
    assert found["kinds"] == sorted(KINDS)
    assert all(n > 1 for n in found["columns"].values()), found["columns"]
    files = sorted(tmp_path.glob("fresh_*.py"))
    assert len(files) == len(KINDS)
    for check in (["check"], ["format", "--check"]):
        ruff = subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *check,
                "--no-cache",
                "--config",
                str(ROOT / "pyproject.toml"),
                *files,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ruff.returncode == 0, ruff.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_has_docstrings_types_and_no_line_too_long(
    kind: Kind, catalogue: Catalogue, tmp_path: Path
) -> None:
    text = write_feature("a_name_of_forty_letters_that_is_just_so", kind, catalogue, tmp_path).read_text()
    assert max(map(len, text.splitlines())) <= 120
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.returns is not None
            assert all(a.annotation for a in node.args.args if a.arg != "self")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Likes",
        "1st",
        "my-likes",
        "_hidden",
        "a__b",
        "ends_",
        "../up",
        "a/b",
        "a.b",
        "class",
        "x\n",
        "x" * 41,
    ],
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
    timed: Dataset, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(name: str) -> None:
        raise FeatureError(f"features/{name}.py cannot be imported: a reason")

    def written(name: str, kind: Kind, known: Catalogue) -> Path:
        return write_feature(name, kind, known, tmp_path)

    monkeypatch.setattr(command, "write_feature", written)
    monkeypatch.setattr(command, "import_feature", refused)
    with opened(timed), pytest.raises(FeatureError) as caught:
        CliRunner().invoke(command.app, ["new", "fresh", "--kind", "table"], catch_exceptions=False)
    told = str(caught.value)
    for words in ("features/fresh.py is written and stays", "a reason", "python -m features card fresh"):
        assert words in told
    assert (tmp_path / "fresh.py").exists()


def test_it_says_what_to_do_next() -> None:
    text = next_steps("fresh")
    for words in ("features/fresh.py", "features card fresh", "features audit 'fresh*'", "features page"):
        assert words in text


def test_a_signature_is_broken_as_the_formatter_would() -> None:
    for n in (1, 2, 3, 4, 8):
        reads = [f"like_rate__item_id__last{number}" for number in range(n)]
        text = bodies._pair_feature("fresh", "@per_pair", reads, "Meaning; null if unknown.", reads[0])
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", "format", "--line-length", "110", "--isolated", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout == text


def test_examples_of_docstrings_hold() -> None:
    assert doctest.testmod(bodies).failed == 0
    assert set(BODIES) == set(KINDS)
