"""What the README shows works as it is written there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from competitions import random_tables, take_in
from models import FitContext, PairFrame

ROOT = Path(__file__).resolve().parent.parent

FEATURES = """
import sys
from pathlib import Path
from competitions import get_competition, random_tables, take_in
import features
from features import load_catalogue
features.__path__.append(sys.argv[1])
import features.mine
competition = get_competition("movielens")
tables = random_tables(competition, n_users=20, n_items=20, n_rows=300, seed=1)
catalogue = load_catalogue(take_in(competition, tables, Path(sys.argv[2]), fingerprint="readme"))
print(*(name for name in catalogue.columns if name.startswith("loved")))
"""


def example(section: str) -> str:
    """The Python code of a section of the README."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(
        r"```python\n(.*?)```", readme.split(f"## {section}")[1].split("\n## ")[0], flags=re.S
    )
    return str(code)


def test_the_features_of_the_readme_give_the_columns_they_promise(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(example("Add a feature"), encoding="utf-8")
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-c", FEATURES, str(tmp_path), str(tmp_path / "data")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [
        *("loved__item_id__h2", "loved__item_id"),
        *("loved__occupation_x_item_id__h2", "loved__occupation_x_item_id"),
        *("loved_share__likes", "loved_share__stars", "loved_lately"),
    ]


def test_the_competition_of_the_readme_is_taken_in(tmp_path: Path) -> None:
    found: dict[str, Any] = {}
    exec(example("Add a competition"), found)  # what users are told to write
    tables = random_tables(found["MINE"], n_users=20, n_items=20, n_rows=300, seed=1)
    dataset = take_in(found["MINE"], tables, tmp_path, fingerprint="readme")
    observed = ("user_id", "item_id", "timestamp")
    assert {name: role for name, role in dataset.competition.roles.items() if name not in observed} == {
        "seconds": "outcome",
        "like": "outcome",
    }
    assert not {"seconds", "like"} & {*dataset.pair_schema}


def test_the_model_of_the_readme_ranks_up_or_down_as_the_pairs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mine")
    monkeypatch.setitem(sys.modules, "mine", module)  # where a dataclass looks
    exec(example("Add a model"), vars(module))
    x = [0.0, 0.5, 1.0]
    for relevance, sign in (([0, 0, 1], 1), ([1, 0, 0], -1)):
        table = pl.DataFrame({"pair_id": [0, 1, 2], "window": 1, "user_id": 1, "item_id": [1, 2, 3]})
        table = table.with_columns(
            relevance=pl.Series(relevance, dtype=pl.Int8), als_score__like=pl.Series(x)
        )
        frame = PairFrame(table, ("als_score__like",), "user_id", "item_id")
        fitted = module.Mine().fit(frame, FitContext(seed=1))
        assert fitted.predict(frame).tolist() == [sign * value for value in x]


def test_every_make_target_that_the_readme_names_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.M))
    assert set(re.findall(r"\bmake ([a-z]+)\b", readme)) <= targets
    assert targets >= {"help", "setup", "submit", "test", "cv", "features", "audit", "check", "bench"}


TO_BE_MADE = {"data/", "features/mine.py", "models/mine.py", "competitions/mine.py"}
TO_BE_MADE |= {"features/fresh_likes.py", "reports/movielens/card_fresh_likes.html", ".benchmarks/NAME.json"}
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_the_documents_name_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.]+/[\w./]*|\w+\.py)`", text)) - TO_BE_MADE
    linked = {target for target in re.findall(r"\]\(([\w./]+)", text) if not target.startswith("http")}
    known = {path.name for path in ROOT.glob("[a-z]*/**/*.py")}
    assert [name for name in named if not (ROOT / name).exists() and name not in known] == []
    assert [name for name in linked if not (ROOT / page).parent.joinpath(name).exists()] == []


def test_every_folder_that_the_readme_lists_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^([a-z]+)/ {2,}", readme, flags=re.M)
    assert listed
    assert [name for name in listed if not (ROOT / name).is_dir()] == []
