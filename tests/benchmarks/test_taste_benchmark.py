"""The benchmark of taste's speed: every way takes in the rows, a script is read, and what is wanted is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.taste import in_words, measured, model_of, prototype

SCRIPT = "import sys\nprint(sys.argv[1:])\nfor n in range(3):\n    print(n, 'test 0.7', f'{0.5 + 2 * n} s')\n"


def test_every_way_takes_in_the_rows(data: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    model = model_of(data, "vk2024", tmp_path)
    figures = measured(model, data, 1, [str(script), "12"])
    assert figures["rows"] == 20_000
    assert list(figures["rounds"]) == ["taste", "als", "gradient steps", "prototype"]
    assert figures["rounds"]["prototype"] == [2.0]
    assert list(figures["rows_a_second"]) == list(figures["rounds"])
    script.write_text("print('1 s')", encoding="utf-8")
    with pytest.raises(SystemExit, match="no two lines"):
        prototype([str(script)], data)


def test_what_is_wanted_is_said() -> None:
    rounds = {"taste": [1.0, 3.0, 2.0], "prototype": [5.0]}
    figures = {"rows": 6000, "rows_a_second": {"taste": 3000.0, "prototype": 1600.0}, "rounds": rounds}
    first, taste, _, last = in_words(figures)
    assert first.startswith("6,000 rows")
    assert taste.split() == ["taste", "2.00", "s", "3", "thousand", "rows", "a", "second"]
    assert last == "taste / prototype: 1.9 (at least 2.0: MISSED)"
