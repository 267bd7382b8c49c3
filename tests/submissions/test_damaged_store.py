"""A store in which something lies in the place of every artifact: the next run makes what it needs, the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine import Settings
from submissions import Manifest, make_submission
from tests.engine.test_store_states import STATES, put_in_place


@pytest.fixture(scope="module")
def first(movielens_settings: Settings) -> Manifest:
    return make_submission(movielens_settings)


def damage(store: Path, turn: int) -> set[str]:
    """Put a state into the place of one entry of each artifact, other ones at each turn; return the kinds."""
    artifacts = sorted(path for path in (store / "artifacts").glob("*/*") if path.is_dir())
    states = list(STATES)
    for number, artifact in enumerate(artifacts):
        entries = [artifact, *sorted(artifact.iterdir()), artifact / "stray"]
        put_in_place(entries[(number + turn) % len(entries)], states[(number * 5 + turn) % len(states)])
    return {path.parent.name for path in artifacts}


@pytest.mark.parametrize("turn", range(2))
def test_a_run_on_a_damaged_store_gives_the_same_bytes(
    movielens_settings: Settings, first: Manifest, tmp_path: Path, turn: int
) -> None:
    store = Path(shutil.copytree(movielens_settings.store, tmp_path / "store"))
    assert damage(store, turn) >= {"data", "feature", "pairs", "fit", "cv"}
    again = make_submission(movielens_settings.model_copy(update={"store": store}))
    assert again.file.sha256 == first.file.sha256
    assert [score.mean for score in again.cv] == [score.mean for score in first.cv]
