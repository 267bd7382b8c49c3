"""docs/features.md is what the feature files say, on any machine and without any data."""

from __future__ import annotations

from pathlib import Path

import pytest

from features import Aggregate, FeatureError, Log, Registry, aggregate, count, load_registry, per_pair
from features._cards import check_page, page_text, split_meaning, write_page
from tests.features.streaming import one_streamed


@pytest.fixture(scope="module")
def text() -> str:
    return page_text(load_registry())


def test_every_feature_function_has_a_row_and_every_family_a_section(text: str) -> None:
    declared = load_registry().declarations.values()
    lines = text.splitlines()
    rows = [line.split("|")[1].strip() for line in lines if line.startswith("| `")]
    assert sorted(rows) == sorted(f"`{declaration.name}`" for declaration in declared)
    sections = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert sections == sorted({declaration.place.file.stem for declaration in declared})
    assert "Smoothed share of exposures that ended in a like; null only without any history." in text


def test_every_meaning_says_what_stands_for_no_value() -> None:
    for declaration in load_registry().declarations.values():
        said = [column.meaning for column in declaration.options.get("columns", {}).values()]
        for meaning in [meaning or declaration.meaning for meaning in said if any(said)] or [
            declaration.meaning
        ]:
            assert split_meaning(meaning)[1], f"{declaration.place}: {meaning}"


def test_the_same_registry_gives_the_same_page(text: str) -> None:
    declarations = load_registry().declarations
    assert page_text(Registry(dict(reversed(declarations.items())))) == text


def test_a_stale_page_is_named_with_the_command_that_mends_it(tmp_path: Path, text: str) -> None:
    stale = tmp_path / "features.md"
    stale.write_text(text.replace("ended in a like", "ended in tears"), encoding="utf-8")
    with pytest.raises(FeatureError, match="run python -m features page") as refused:
        check_page(text, stale)
    assert "ended in tears" in str(refused.value)
    assert write_page(text, stale)
    assert not write_page(text, stale)
    check_page(text, stale)
    with pytest.raises(FeatureError, match="run python -m features page"):
        check_page(text, tmp_path / "missing.md")


def test_a_streamed_learner_says_how_far_it_goes_at_a_time() -> None:
    text = page_text(one_streamed(step=20_000, variants={"fast": {"half_life": 9.0}}))
    row = next(line for line in text.splitlines() if line.startswith("| `decayedmean`"))
    for words in ("gives `decayed`", "for `fast`", "@streamed", "Float32", "steps of 20,000 rows"):
        assert words in row


def test_what_a_competition_lacks_is_said() -> None:
    registry = Registry()

    @aggregate(keys=["user_id", "source_id", "main_genre"], lookbacks=[None, "7d"], registry=registry)
    def n_passed_on(log: Log) -> Aggregate:
        """Number of <rows> | passed on to *others*; 0 if none."""
        return count(log.share)

    @per_pair(each=["n_passed_on__source_id"], model_input=False, registry=registry)
    def doubled(value: object) -> object:
        """Twice the value."""
        return value * 2  # type: ignore[operator]

    lines = page_text(registry).splitlines()
    (row,) = (line for line in lines if line.startswith("| `n_passed_on`"))
    assert [cell.strip() for cell in row.replace("\\|", "/").split("|")[1:-1]] == [
        "`n_passed_on`",
        r"Number of &lt;rows> / passed on to \*others\*; 0 if none.",
        "by `user_id`, `source_id`, `main_genre`<br>over `all`, `7d`",
        "@aggregate<br>UInt32",
        "0 of 6: needs `share`",
        "2 of 6: needs a time clock for the lookback `7d`, `main_genre`",
    ]
    (row,) = (line for line in lines if line.startswith("| `doubled`"))
    assert "of `n_passed_on__source_id` | @per_pair<br>Int64<br>not offered to models" in row
    assert row.endswith("| 0 of 1: needs `share` | 1 |")
