"""What the README shows works as it is written there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SHOW = """
import sys
from pathlib import Path
from competitions import get_competition, random_tables, take_in
from features import load_catalogue, load_registry
load_registry()
source = Path(sys.argv[1])
exec(compile(source.read_text(), str(source), "exec"), {"__name__": "features.mine"})
competition = get_competition("movielens")
tables = random_tables(competition, n_users=20, n_items=20, n_rows=300, seed=1)
catalogue = load_catalogue(take_in(competition, tables, Path(sys.argv[2]), fingerprint="readme"))
print(*(name for name in catalogue.columns if name.startswith("loved")))
"""


def test_the_feature_of_the_readme_gives_the_columns_it_promises(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## Add a feature")[1].split("\n## ")[0]
    code = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    assert len(code) == 1
    source = tmp_path / "mine.py"
    source.write_text(code[0], encoding="utf-8")
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-c", SHOW, str(source), str(tmp_path / "data")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [
        *("loved__item_id__h2", "loved__item_id"),
        *("loved__occupation_x_item_id__h2", "loved__occupation_x_item_id"),
        "loved_lately",
    ]


def test_every_make_target_that_the_readme_names_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.M))
    assert set(re.findall(r"\bmake ([a-z]+)\b", readme)) <= targets
    assert targets >= {"help", "setup", "submit", "test", "cv", "features", "audit", "check", "bench"}


def test_every_folder_that_the_readme_lists_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^([a-z]+)/ {2,}", readme, flags=re.M)
    assert listed
    assert [name for name in listed if not (ROOT / name).is_dir()] == []
