"""What is made from a sample lacks test pairs: it is no submission."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import ConfigError, SampleSettings, Settings
from submissions import make_submission


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ({"users": 0.05}, "With sample.users = 0.05 only some"),
        ({"pairs": 0.5}, "With sample.pairs = 0.5 only some"),
        ({"users": 0.5, "pairs": 0.5}, "With sample.users = 0.5 and sample.pairs = 0.5 only some"),
    ],
)
def test_before_anything_is_read(tmp_path: Path, sample: dict[str, float], words: str) -> None:
    settings = Settings(data=tmp_path / "nowhere", store=tmp_path / "store", sample=SampleSettings(**sample))
    with pytest.raises(ConfigError) as caught:
        make_submission(settings)
    assert words in str(caught.value)
    assert "--sample-users" in str(caught.value)
