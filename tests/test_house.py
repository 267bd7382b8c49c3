"""The house stands: rooms import only downward, never each other's private files, and from this checkout."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = [
    "engine",
    "competitions",
    "validation",
    "features",
    "models",
    "stacking",
    "submissions",
]  # lowest first


@cache
def imported(file: Path) -> list[tuple[str, list[str]]]:
    """Modules that a file imports, with the names taken from them."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.append((str(node.module), [alias.name for alias in node.names]))
        elif isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
    return found


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_downward(room: str) -> None:
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    upward = [(f.name, m) for f in files_of(room) for m, _ in imported(f) if m.split(".")[0] in above]
    assert upward == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_private_import_across_rooms(room: str) -> None:
    private = [
        (f.name, module)
        for f in files_of(room)
        for module, names in imported(f)
        if module.split(".")[0] in ROOMS and module.split(".")[0] != room
        if "._" in module or any(n.startswith("_") for n in names) or "." in module
    ]
    assert private == []


@pytest.mark.parametrize("room", ROOMS)
def test_room_is_imported_from_this_checkout(room: str) -> None:
    module = importlib.import_module(room)
    assert Path(str(module.__file__)).parent == ROOT / room


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_are_listed_and_exist(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__all__ == sorted(
        module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    assert all(hasattr(module, name) for name in module.__all__)


def test_engine_has_no_word_of_recommenders() -> None:
    words = {"user_id", "item_id", "recommender", "ranker", "relevance", "like_rate"}
    found = [
        (f.name, w) for f in files_of("engine") for w in words if w in f.read_text(encoding="utf-8").lower()
    ]
    assert found == []


def test_no_pickle_on_disk() -> None:
    found = [
        (f.name, module)
        for room in ROOMS
        for f in files_of(room)
        for module, _ in imported(f)
        if module.split(".")[0] in {"pickle", "cloudpickle", "dill", "shelve"}
    ]
    assert found == []


def test_tests_have_no_init_files() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


FLOORS = 10  # of the longest chain of imports
PACKAGES, ENTRIES = 10, 45  # of features/


def packages() -> list[Path]:
    """Folders with a face within the rooms."""
    return sorted(face.parent for room in ROOMS for face in (ROOT / room).glob("*/__init__.py"))


def package_of(module: str) -> str | None:
    """The package that a module lies in or is the face of: ``features._audit.drift`` -> ``features._audit``."""
    name = ".".join(module.split(".")[:2])
    return name if (ROOT / name.replace(".", "/") / "__init__.py").is_file() else None


def module_of(file: Path) -> str:
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


@cache
def face_names(package: str) -> dict[str, str]:
    """Names of the face of a room or package, and the module that each comes from; empty for a plain module."""
    face = ROOT / package.replace(".", "/") / "__init__.py"
    return {name: m for m, names in imported(face) for name in names} if face.is_file() else {}


@cache
def modules_imported(file: Path) -> set[str]:
    """Modules of the repository that a file imports; ``from package import module`` is one of the module."""
    found = set()
    for module, names in imported(file):
        exported = face_names(module) if module.split(".")[0] in ROOMS else {}
        for name in names:
            path = ROOT / module.replace(".", "/") / name
            is_module = path.with_suffix(".py").is_file() or path.is_dir()
            found.add(f"{module}.{name}" if is_module and name not in exported else module)
        if not names:
            found.add(module)
    return {m for m in found if m.split(".")[0] in ROOMS}


def longest_chain(graph: dict[str, set[str]]) -> list[str]:
    """The longest chain of imports; a circle is an AssertionError."""
    known: dict[str, list[str]] = {}

    def below(node: str, above: tuple[str, ...]) -> list[str]:
        assert node not in above, f"imports go in a circle: {' -> '.join((*above, node))}"
        if node not in known:
            chains = [below(other, (*above, node)) for other in sorted(graph.get(node, ()))]
            known[node] = [node, *max(chains, key=len, default=[])]
        return known[node]

    return max((below(node, ()) for node in sorted(graph)), key=len)


def place_in_features(module: str) -> str:
    """The entry of ``features/`` that a module belongs to: a family, a package, the commands."""
    return ".".join(module.split(".")[:2])


def test_features_have_few_floors_from_entry_to_entry() -> None:
    """Entries are families and packages; what a file takes from the face of the room is of the package below."""
    face = face_names("features")
    graph: dict[str, set[str]] = {}
    for file in files_of("features"):
        own = place_in_features(module_of(file))
        if own == "features":
            continue
        taken = {face[n] for m, names in imported(file) if m == "features" for n in names if n in face}
        others = {m for m in modules_imported(file) if m.startswith("features.")} | taken
        places = {place_in_features(m) for m in others if m.startswith("features.")}
        graph.setdefault(own, set()).update(places - {own})
    chain = longest_chain(graph)
    assert len(chain) <= FLOORS, chain


@pytest.mark.parametrize("package", packages(), ids=module_of)
def test_packages_have_few_floors_inside(package: Path) -> None:
    name = module_of(package / "__init__.py")
    files = [file for file in package.glob("*.py") if file.name != "__init__.py"]
    graph = {module_of(f): {m for m in modules_imported(f) if m.startswith(f"{name}.")} for f in files}
    chain = longest_chain(graph)
    assert len(chain) <= FLOORS, chain


def test_features_hold_families_and_a_few_packages() -> None:
    names = [e.name for e in (ROOT / "features").iterdir() if e.name != "__pycache__" and e.suffix != ".pyc"]
    assert [
        name for name in names if name.startswith("_") and name.endswith(".py") and "__" not in name
    ] == []
    assert sum(place.parent.name == "features" for place in packages()) <= PACKAGES
    assert len(names) <= ENTRIES


@pytest.mark.parametrize("package", packages(), ids=module_of)
def test_a_package_is_entered_by_its_face(package: Path) -> None:
    """From outside nothing is imported but through the package's ``__init__``, and inside there is no underscore."""
    name = module_of(package / "__init__.py")
    places = [ROOT / folder for folder in (*ROOMS, "tests", "benchmarks")]
    files = [f for place in places for f in place.rglob("*.py") if package not in f.parents]
    past = [
        (str(f.relative_to(ROOT)), m) for f in files for m in modules_imported(f) if m.startswith(f"{name}.")
    ]
    assert past == []
    assert [f.name for f in package.rglob("*.py") if f.name.startswith("_") and "__" not in f.name] == []


def user_facing() -> list[Path]:
    """Files that users read and add: plain ones of the rooms that have them."""
    rooms = ("competitions", "validation", "features", "models", "stacking")
    return [f for room in rooms for f in sorted((ROOT / room).glob("[a-z]*.py"))]


@pytest.mark.parametrize("file", user_facing(), ids=module_of)
def test_files_that_users_copy_import_nothing_private(file: Path) -> None:
    private = [m for m in modules_imported(file) if any(step.startswith("_") for step in m.split("."))]
    assert private == []


def test_examples_of_the_documents_import_nothing_private() -> None:
    code = [
        block
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)
    ]
    lines = [
        line for block in code for line in block.splitlines() if re.match(r"\s*(from|import) .*\b_\w", line)
    ]
    assert code
    assert lines == []


def test_texts_say_they_of_a_user() -> None:
    kinds = {".py", ".md", ".toml", ".jinja"}
    places = [ROOT / folder for folder in (*ROOMS, "tests", "benchmarks", "docs")]
    files = [*ROOT.glob("*.md"), *(f for place in places for f in place.rglob("*") if f.suffix in kinds)]
    dated = re.compile(r"\b(he|his|him|whom|nobody minds|that never was)\b", flags=re.IGNORECASE)
    found = [
        (f.name, m[0]) for f in files if f != Path(__file__) for m in dated.finditer(f.read_text("utf-8"))
    ]
    assert found == []


RETIRED = {"piece", "pieces", "slot", "slots", "lane", "lanes", "accumulator", "accumulators"}
RETIRED_INSIDE = {
    "cell",
    "cells",
    "tail",
    "tails",
    "kept",
    "slice",
    "slices",
    "wanted",
    "running",
    "gathered",
}
COMPUTING = ["_aggregation", "_arithmetic", "_catalogue", "_compute", "_declare", "_storage"]


@pytest.mark.parametrize(
    ("folder", "retired"),
    [
        *((room, RETIRED) for room in ROOMS),
        *((f"features/{package}", RETIRED_INSIDE) for package in COMPUTING),
    ],
)
def test_words_that_design_retires_are_in_no_name(folder: str, retired: set[str]) -> None:
    """See the table of words in docs/design.md; ``slice`` of Python and Polars is no name of ours.

    Where values are computed more words are retired: a matrix of a family has cells, a list of pairs is kept.
    """
    found = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [getattr(node, kind, None) for kind in ("name", "id", "arg")]
            is_use = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
            own = {str(name) for name in names if isinstance(name, str) and not is_use}
            found |= {(file.name, name) for name in own if retired & set(name.lower().split("_"))}
    assert found == set()
