"""A run exported: scores as Python's, from a bundle that is whole or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from models import graphs, ranking
from models.__main__ import app
from models.graphs import ExportError
from stacking import check_bundle, read_bundle
from submissions import SubmissionError, export_run
from tests.submissions.conftest import options
from tests.submissions.exported import DAMAGES, SCORES, Exported, damaged

BOTH = ("movielens_bundle", "vk_bundle")


@pytest.fixture(params=BOTH)
def exported(request: pytest.FixtureRequest) -> Exported:
    found: Exported = request.getfixturevalue(request.param)
    return found


def test_a_bundle_holds_every_model_and_blend(exported: Exported) -> None:
    names = [*SCORES[:3], *(["past"] if "past" in exported.settings.models else []), *SCORES[3:]]
    assert list(exported.bundle.steps) == names
    assert exported.bundle.chosen == "level_two"
    assert exported.bundle.n_cases == len(exported.cases)
    assert exported.bundle.apart < 1e-5
    suffixes = {file.suffix for file in exported.folder.iterdir()}
    assert suffixes <= {"", ".onnx", ".bin", ".json"}  # nothing of Python's, and no pickle


def test_scores_are_those_of_the_submission(exported: Exported) -> None:
    """The requests of single users give what stands in the run's own table of scores."""
    scores, user = exported.runs.scores(exported.manifest.run), exported.manifest.user
    by_pair = {row[user]: None for row in scores.iter_rows(named=True)}
    assert by_pair
    for name in ("usual 1", "usual 2", "largest"):
        case = exported.case(name)
        who = case["columns"][user]
        who = who[0] if isinstance(who, list) else who
        rows = scores.filter(pl.col(user) == who).sort("pair_id")
        found = exported.bundle.scores(case["columns"], ["level_two"])["level_two"]
        np.testing.assert_allclose(found, rows["score"].to_numpy(), rtol=0, atol=1e-9)


def test_the_golden_cases_are_of_every_kind(vk_bundle: Exported) -> None:
    names = {case["name"] for case in vk_bundle.cases}
    assert {
        "one pair",
        "many",
        "a pair twice",
        "unseen ids",
        "all null",
        "large numbers",
        "no features",
    } <= names
    assert vk_bundle.case("one pair")["n_pairs"] == 1
    assert vk_bundle.case("many")["n_pairs"] == 100
    assert all(
        np.isfinite(s).all() for case in vk_bundle.cases for s in map(np.array, case["scores"].values())
    )
    twice = vk_bundle.case("a pair twice")["scores"]
    assert all(scores[0] == scores[-1] for scores in twice.values())


def test_histories_are_one_array_a_request(vk_bundle: Exported) -> None:
    column = next(c for c in vk_bundle.bundle.inputs.columns if c.name == "last_items__user_id")
    assert column.length == len(vk_bundle.case("usual 1")["columns"][column.name])
    assert column.name in vk_bundle.bundle.steps["past"].columns
    assert column.name not in vk_bundle.bundle.steps["trees"].columns


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("is_resealed", [False, True])
def test_a_damaged_bundle_is_refused(
    damage: str, is_resealed: bool, movielens_bundle: Exported, tmp_path: Path
) -> None:
    """By its digests; and by its cases or onnxruntime, where somebody wrote digests that fit."""
    folder = damaged(movielens_bundle.folder, tmp_path / "bundle", DAMAGES[damage], is_resealed=is_resealed)
    with pytest.raises(ExportError) as told:
        check_bundle(folder)
    if not is_resealed:
        assert "its digest is another one" in str(told.value)
    elif damage != "a cut file":
        assert "in the case" in str(told.value)


def test_large_constants_lie_beside_their_graph(vk_bundle: Exported, tmp_path: Path) -> None:
    """Without half of them a graph does not load, or says nothing that Python said."""

    def cut(folder: Path) -> None:
        found = min(folder.glob("*.bin"))
        found.write_bytes(found.read_bytes()[: found.stat().st_size // 2])

    with pytest.raises(ExportError, match=r"\.bin .*digest is another one"):
        check_bundle(damaged(vk_bundle.folder, tmp_path / "cut", cut))
    with pytest.raises(ExportError, match=r"cannot be loaded|in the case"):
        check_bundle(damaged(vk_bundle.folder, tmp_path / "sealed", cut, is_resealed=True))


def test_files_that_come_or_go_are_noticed(movielens_bundle: Exported, tmp_path: Path) -> None:
    more = damaged(movielens_bundle.folder, tmp_path / "more", lambda f: (f / "x.onnx").touch())
    with pytest.raises(ExportError, match=r"holds files that SHA256SUMS does not name: x\.onnx"):
        read_bundle(more)
    less = damaged(movielens_bundle.folder, tmp_path / "less", lambda f: (f / "trees.onnx").unlink())
    with pytest.raises(ExportError, match=r"lacks trees\.onnx"):
        read_bundle(less)
    with pytest.raises(ExportError, match="is no bundle"):
        read_bundle(tmp_path)

    def lead_out(folder: Path) -> None:
        (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../secret\n")

    with pytest.raises(ExportError, match="has a line that is none"):
        read_bundle(damaged(movielens_bundle.folder, tmp_path / "out", lead_out))


def test_a_model_is_left_out_with_the_blends_that_read_it(movielens_bundle: Exported, tmp_path: Path) -> None:
    settings, run = movielens_bundle.settings, movielens_bundle.manifest.run
    with pytest.raises(ExportError, match="Without net there is no level_two, which the run chose"):
        export_run(settings, run, tmp_path / "bundle", without=["net"])
    with pytest.raises(ExportError, match="There is no model and no blend 'nett'"):
        export_run(settings, run, tmp_path / "bundle", without=["nett"])
    assert list(tmp_path.iterdir()) == []
    old = damaged(movielens_bundle.folder, tmp_path / "bundle", DAMAGES["a cut file"])
    fewer = export_run(settings, run, old, without=["mean_rank", "weights"], replace=True)
    assert {*check_bundle(old).steps} == {*fewer.steps} == {*SCORES} - {"mean_rank", "weights"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]


@pytest.fixture(scope="module", params=BOTH)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Exported, Path]:
    """An exported run, and its features by key."""
    exported: Exported = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("features")
    export_run(exported.settings, exported.manifest.run, folder / "bundle", features=folder / "columns")
    return exported, folder / "columns"


def test_features_by_key_make_the_requests_of_the_submission(stored: tuple[Exported, Path]) -> None:
    """What a store looks up by the ids of a request's pairs gives the scores that were submitted."""
    exported, folder = stored
    user, item = exported.bundle.about["user"], exported.bundle.about["item"]
    files = json.loads((folder / "index.json").read_text())["files"]
    tables = {name: pl.read_parquet(folder / name) for name in files}
    scores = exported.runs.scores(exported.manifest.run)
    pairs = scores.select("pair_id", user, item, "score")
    ids = ([user], [item])
    for name, facts in sorted(files.items(), key=lambda f: f[1]["keys"] not in ids):  # attributes first
        assert tables[name].select(facts["keys"]).is_duplicated().sum() == 0
        pairs = pairs.join(tables[name], on=facts["keys"], how="left", validate="m:1", maintain_order="left")
    assert {ranking.derived_parts(c.name)[0] for c in exported.bundle.inputs.columns} <= set(pairs.columns)
    users = pairs[user].unique(maintain_order=True)[::5]
    for who in users:
        group = pairs.filter(pl.col(user) == who).sort("pair_id")
        inputs = exported.bundle.inputs.columns
        values = {c.name: graphs.values_of(group, c.name).to_list() for c in inputs}
        request = {c.name: values[c.name] if c.length is None else values[c.name][0] for c in inputs}
        found = exported.bundle.scores(request, [exported.bundle.chosen])[exported.bundle.chosen]
        np.testing.assert_allclose(found, group["score"].to_numpy(), rtol=0, atol=1e-9)


def test_a_run_is_exported_alike_twice(stored: tuple[Exported, Path]) -> None:
    exported, folder = stored
    sums = [(b / "SHA256SUMS").read_text() for b in (exported.folder, folder.with_name("bundle"))]
    assert sums[0] == sums[1]


def test_columns_lie_in_the_file_of_their_key(stored: tuple[Exported, Path]) -> None:
    exported, folder = stored
    index = json.loads((folder / "index.json").read_text())
    of = {column: facts["keys"] for facts in index["files"].values() for column in facts["columns"]}
    assert of["relevance_rate__item_id"] == ["item_id"]
    if exported.settings.competition == "vk2024":
        assert of["last_items__user_id"] == of["last_contents__user_id"] == ["user_id"]
        assert of["item_content"] == ["item_id"]
        assert of["source_id"] == ["item_id"]
        assert [name for name in of if name.startswith("shown_rank")] == index["shown"]
        assert {tuple(of[name]) for name in index["shown"]} == {("user_id", "item_id")}
    else:
        assert of["like_rate__user_id"] == ["user_id"]
        assert of["item_n_genres"] == ["item_id"]  # of the list of genres, which is no key
        assert of["hour_of_day"] == ["user_id", "item_id"]
        assert (index["shown"], index["observed"]) == ([], ["hour_of_day"])


def test_commands_export_and_check(movielens_bundle: Exported, tmp_path: Path) -> None:
    where = options(movielens_bundle.settings)
    runner = CliRunner()
    checked = runner.invoke(app, ["check", str(movielens_bundle.folder)])
    assert checked.exit_code == 0
    assert f"{len(movielens_bundle.cases)} golden cases" in " ".join(checked.output.split())
    library = Path(runner.invoke(app, ["library"]).output.strip())
    assert library.is_file()
    assert "onnxruntime" in library.name
    for asked, told in {
        "export latest --out BUNDLE": "is there already",
        "export nothing --out NEW": "There is no run 'nothing'",
        "check NEW": "is no bundle",
    }.items():
        names = {"BUNDLE": str(movielens_bundle.folder), "NEW": str(tmp_path / "new")}
        command = [names.get(word, word) for word in asked.split()]
        assert told in str(runner.invoke(app, [*where, *command]).exception)


def test_what_is_there_is_not_written_over(movielens_bundle: Exported, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is there already"):
        export_run(movielens_bundle.settings, "latest", movielens_bundle.folder)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ExportError, match="is there already"):
        export_run(movielens_bundle.settings, "latest", tmp_path, replace=True)
    assert (tmp_path / "notes.txt").is_file()


def test_a_run_of_other_things_than_there_are_now_is_refused(
    movielens_bundle: Exported, tmp_path: Path
) -> None:
    settings, runs = movielens_bundle.settings, movielens_bundle.runs
    other = settings.model_copy(update={"runs": tmp_path / "runs"})
    folder = other.runs / movielens_bundle.manifest.run
    folder.mkdir(parents=True)
    facts = json.loads((runs.root / folder.name / "manifest.json").read_text())
    facts["features"]["like_rate__user_id"] = "0" * 16
    (folder / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(SubmissionError, match="other things than there are now: like_rate__user_id"):
        export_run(other, folder.name, tmp_path / "bundle")
    changes: list[tuple[dict[str, Any], str]] = [
        ({"parents": [{"run": "a", "weight": 1.0}]}, "is a blend of runs: a"),
        ({"config": {**facts["config"], "warp": 9}}, "settings of run .* are no longer valid"),
        ({"data_fingerprint": "0"}, "other things than there are now: the data differ"),
    ]
    for change, told in changes:
        (folder / "manifest.json").write_text(json.dumps({**facts, **change}))
        with pytest.raises(SubmissionError, match=told):
            export_run(other, folder.name, tmp_path / "bundle")
    with pytest.raises(SubmissionError, match="is of the competition 'movielens'"):
        export_run(other.model_copy(update={"competition": "vk2024"}), folder.name, tmp_path / "bundle")


def test_scores_that_are_not_the_run_s_are_refused(movielens_bundle: Exported, tmp_path: Path) -> None:
    settings = movielens_bundle.settings.model_copy(update={"runs": tmp_path / "runs"})
    source = movielens_bundle.runs.root / movielens_bundle.manifest.run
    folder = settings.runs / source.name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes((source / "manifest.json").read_bytes())
    scores = pl.read_parquet(source / "scores.parquet")
    scores.with_columns(pl.col("net") + 1e-12).write_parquet(folder / "scores.parquet")
    with pytest.raises(SubmissionError, match="give other scores than run"):
        export_run(settings, folder.name, tmp_path / "bundle")
