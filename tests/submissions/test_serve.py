"""The server without Python: the same scores, no request lost, and nothing but a message for what is wrong."""

from __future__ import annotations

import copy
import json
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.submissions.exported import DAMAGES, Exported, damaged
from tests.submissions.serving import Server, build_server, checked, serving, wait_for

Columns = dict[str, Any]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_server(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def server(program: Path, vk_bundle: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the simulated clips, for requests of 200 pairs and 200 kB at most."""
    limits = ("-max-pairs", "200", "-max-bytes", "200000")
    with serving(program, vk_bundle.folder, tmp_path_factory.mktemp("log"), *limits) as found:
        yield found


@pytest.fixture(scope="module")
def ratings_server(
    program: Path, movielens_bundle: Exported, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of the generated ratings, some of whose columns are texts."""
    with serving(program, movielens_bundle.folder, tmp_path_factory.mktemp("log")) as found:
        yield found


def test_the_golden_cases_of_every_score_pass(server: Server, vk_bundle: Exported) -> None:
    for case in vk_bundle.cases:
        for name, expected in case["scores"].items():
            answer = server.ask(f"/score/{name}", {"columns": case["columns"]})
            assert answer.status == 200, answer.text
            assert (answer.json["run"], answer.json["score"]) == (vk_bundle.manifest.run, name)
            np.testing.assert_allclose(answer.json["scores"], expected, rtol=0, atol=1e-5)


def test_what_was_chosen_is_what_is_asked_for_without_a_name(server: Server, vk_bundle: Exported) -> None:
    case = vk_bundle.case("largest")
    answer = server.ask("/score", {"columns": case["columns"]})
    assert answer.json["score"] == vk_bundle.manifest.chosen
    np.testing.assert_allclose(answer.json["scores"], case["scores"][vk_bundle.manifest.chosen], atol=1e-5)
    assert re.match(
        r"read;dur=[\d.]+, onnxruntime;dur=[\d.]+, total;dur=[\d.]+$", answer.headers["Server-Timing"]
    )


def test_golden_cases_of_ratings_pass_without_a_thing_of_python(
    program: Path, movielens_bundle: Exported, vk_bundle: Exported
) -> None:
    for exported in (movielens_bundle, vk_bundle):
        ran = checked(program, exported.folder)
        assert ran.returncode == 0, ran.stderr
        assert f"run {exported.manifest.run}: " in ran.stderr
        assert f"{len(exported.cases)} golden cases as in Python" in ran.stderr


@pytest.mark.parametrize("is_resealed", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_does_not_start(
    damage: str, is_resealed: bool, program: Path, movielens_bundle: Exported, tmp_path: Path
) -> None:
    folder = damaged(movielens_bundle.folder, tmp_path / "bundle", DAMAGES[damage], is_resealed=is_resealed)
    ran = checked(program, folder)
    assert ran.returncode == 1
    told = (
        "digest is another one"
        if not is_resealed
        else "cannot be loaded"
        if damage == "a cut file"
        else "in the case"
    )
    assert told in ran.stderr


def test_links_and_foreign_files_are_no_bundle(
    program: Path, movielens_bundle: Exported, tmp_path: Path
) -> None:
    def link(folder: Path) -> None:
        (folder / "net.onnx").unlink()
        (folder / "net.onnx").symlink_to(movielens_bundle.folder / "net.onnx")

    def lead_out(folder: Path) -> None:
        (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../secret\n")

    changes: dict[str, tuple[Callable[[Path], object], str]] = {
        "link": (link, "is no plain file"),
        "more": (lambda f: (f / "x.onnx").touch(), "which SHA256SUMS does not name"),
        "out": (lead_out, "a line that is none"),
    }
    for name, (change, told) in changes.items():
        ran = checked(program, damaged(movielens_bundle.folder, tmp_path / name, change))
        assert ran.returncode == 1
        assert told in ran.stderr


def changed(name: str, value: Any) -> Callable[[Columns], str]:
    """Make a request in which one column is another one; the value is JSON as it is."""

    def body(columns: Columns) -> str:
        marked = json.dumps({"columns": {**columns, name: "MARK"}})
        return marked.replace('"MARK"', value)

    return body


def without(name: str) -> Callable[[Columns], str]:
    return lambda columns: json.dumps({"columns": {k: v for k, v in columns.items() if k != name}})


WRONG: dict[str, tuple[Callable[[Columns], str], str]] = {
    "no JSON": (lambda _: "scores, please", "no valid JSON at byte 0"),
    "nothing": (lambda _: "", "ends too early"),
    "an array": (lambda _: "[]", "no valid JSON at byte 0"),
    "another object": (lambda _: '{"pairs": []}', 'The request is not {"columns"'),
    "a cut request": (lambda c: json.dumps({"columns": c})[:-40], "byte|early|nothing"),
    "more behind it": (lambda c: json.dumps({"columns": c}) + "{}", "There is more after the request"),
    "a second key": (lambda c: json.dumps({"columns": c, "user": 1}), "is its only key"),
    "a column twice": (lambda c: '{"columns": {"item_id": [1], "item_id": [2]}}', '"item_id" is given twice'),
    "no columns": (lambda _: '{"columns": {}}', "lacks .* columns: "),
    "a missing column": (
        without("item_id"),
        "lacks 1 columns: item_id.*every column that level_two is made of",
    ),
    "a column too many": (changed("itemid", "[1]"), 'There is no column "itemid"'),
    "a long name": (lambda _: json.dumps({"columns": {"x" * 5000: 1}}), "There is no column .{80,100}GET"),
    "no pairs": (changed("item_id", "[]"), '"item_id" has no values'),
    "other lengths": (
        changed("item_id", "[1, 2, 3]"),
        '"item_id" has 3 values, another one|has .* another one 3',
    ),
    "too many pairs": (changed("item_id", json.dumps([1] * 201)), "more than 200 values"),
    "a text for a number": (
        changed("relevance_rate__item_id", '"0.5"'),
        'is "0.5".*a number that Float32 can hold',
    ),
    "true for a number": (changed("relevance_rate__item_id", "true"), "is true.*a number"),
    "NaN": (changed("relevance_rate__item_id", "NaN"), "is NaN.*a number"),
    "Infinity": (changed("relevance_rate__item_id", "-Infinity"), "is -Infinity.*a number"),
    "beyond Float32": (changed("relevance_rate__item_id", "1e39"), "is 1e39.*a number that Float32"),
    "beyond all": (changed("relevance_rate__item_id", "1e999"), "is 1e999"),
    "hexadecimal": (changed("relevance_rate__item_id", "0x10"), "no valid JSON|is 0x10"),
    "a leading zero": (changed("relevance_rate__item_id", "01"), "is 01"),
    "an underscore": (changed("relevance_rate__item_id", "1_0"), "no valid JSON"),
    "a bare point": (changed("relevance_rate__item_id", "1."), r"is 1\."),
    "a fraction of an id": (changed("item_id", "1.5"), "is 1.5.*whole number from 0 to 4294967295"),
    "a negative id": (changed("item_id", "-1"), "is -1.*whole number"),
    "an id beyond its dtype": (changed("item_id", "4294967296"), "is 4294967296.*whole number"),
    "a text for an id": (changed("item_id", '"7"'), 'is "7".*whole number'),
    "nested arrays": (changed("item_id", "[[1]]"), "whole number"),
    "a short history": (changed("last_items__user_id", "[1, 2]"), "has 2 values.*for the whole request"),
    "one value for a history": (changed("last_items__user_id", "3"), "is one value.*an array"),
}

WRONG_TEXTS: dict[str, tuple[str, str]] = {
    "a number for a text": ("1", "is 1.*a text"),
    "a null byte": (r'"\u0000"', "control characters"),
    "the mark of null": (r'"\u0001"', "control characters"),
    "a wrong escape": (r'"\x"', "escape that JSON does not know"),
    "a bare line break": ('"a\nb"', "control character"),
    "an object for a value": ("{}", "a text"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_bad_input_is_refused_with_a_message(kind: str, server: Server, vk_bundle: Exported) -> None:
    make, told = WRONG[kind]
    answer = server.ask("/score", make(vk_bundle.case("usual 1")["columns"]))
    assert answer.status == 400, answer.text
    assert re.search(told, answer.json["error"], flags=re.S), answer.text


@pytest.mark.parametrize("kind", WRONG_TEXTS)
def test_bad_texts_are_refused_with_a_message(
    kind: str, ratings_server: Server, movielens_bundle: Exported
) -> None:
    value, told = WRONG_TEXTS[kind]
    body = changed("user_gender", value)(movielens_bundle.case("usual 1")["columns"])
    answer = ratings_server.ask("/score", body)
    assert answer.status == 400, answer.text
    assert re.search(told, answer.json["error"], flags=re.S), answer.text


def test_texts_are_read_as_json_writes_them(ratings_server: Server, movielens_bundle: Exported) -> None:
    """Escaped or not, a text is the same; one that nobody knows is neither null nor a category."""
    columns = movielens_bundle.case("usual 1")["columns"]
    known, escaped, null, strange = (
        ratings_server.ask("/score/net", changed("user_gender", value)(columns)).json["scores"]
        for value in ('"M"', r'"\u004d"', "null", '"Ж\\u0416\\n"')
    )
    assert known == escaped != null
    assert strange == null  # to a net all of them are one unknown row


def test_bytes_that_are_no_text_are_refused(server: Server) -> None:
    answer = server.ask("/score", b'{"columns": {"\xff\xfe": 1}}')
    assert (answer.status, "UTF-8" in answer.json["error"]) == (400, True)


def test_other_ways_to_ask_are_refused(server: Server, vk_bundle: Exported) -> None:
    body = {"columns": vk_bundle.case("usual 1")["columns"]}
    assert server.ask("/score").status == 405
    assert server.ask("/score", body, method="PUT").status == 405
    unknown = server.ask("/score/everything", body)
    assert unknown.status == 404
    assert "one of popularity, trees" in unknown.json["error"]
    for path in ("/score/../../etc/passwd", "/score/%2e%2e%2fmanifest.json", "/manifest.json", "/"):
        assert server.ask(path, body).status in (301, 404), path
    long = server.ask("/score", " " * 200_001)
    assert long.status == 413
    assert "200000 at most" in long.json["error"]


def test_what_is_null_or_the_same_for_all_is_given_once(server: Server, vk_bundle: Exported) -> None:
    columns = copy.deepcopy(vk_bundle.case("largest")["columns"])
    n = len(columns["item_id"])
    once = {**columns, "relevance_rate__item_id": None, "user_gender": None}
    each = {**columns, "relevance_rate__item_id": [None] * n, "user_gender": [None] * n}
    answers = [server.ask("/score", {"columns": c}).json["scores"] for c in (once, each)]
    assert answers[0] == answers[1]
    spaced = json.dumps({"columns": each}, indent=2)
    assert server.ask("/score", spaced).json["scores"] == answers[0]


def test_health_inputs_and_counters(server: Server, vk_bundle: Exported) -> None:
    health = server.ask("/health").json
    assert (health["status"], health["run"], health["last_reload"]) == ("ok", vk_bundle.manifest.run, "")
    assert server.ask("/inputs").json["inputs"][0]["name"] == vk_bundle.bundle.inputs.columns[0].name
    before = counters(server)
    case = vk_bundle.case("many")
    server.ask("/score", {"columns": case["columns"]})
    server.ask("/score", "{}")
    after = counters(server)
    assert after["serve_pairs_total"] - before["serve_pairs_total"] == case["n_pairs"]
    for code in ("200", "400"):
        name = f'serve_requests_total{{code="{code}"}}'
        assert after[name] - before.get(name, 0) == 1
    assert after["serve_request_seconds_count"] - before["serve_request_seconds_count"] == 2
    assert 0 < after["serve_onnxruntime_seconds_total"] < after["serve_request_seconds_sum"]


def counters(server: Server) -> dict[str, float]:
    lines = [line for line in server.ask("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def rename_run(folder: Path) -> None:
    """Let a bundle say that it is of another run."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "run": "another"}))


def test_a_new_bundle_is_taken_without_losing_a_request(
    program: Path, movielens_bundle: Exported, tmp_path: Path
) -> None:
    """Requests go on while bundles change, and a damaged one is passed over."""
    other = damaged(movielens_bundle.folder, tmp_path / "other", rename_run, is_resealed=True)
    broken = damaged(other, tmp_path / "broken", DAMAGES["a changed weight"])
    current = tmp_path / "current"
    current.symlink_to(movielens_bundle.folder)
    case = movielens_bundle.case("usual 1")
    body = json.dumps({"columns": case["columns"]})
    with serving(program, current, tmp_path) as server, ThreadPoolExecutor(8) as pool:
        is_over: list[bool] = []

        def ask() -> list[int]:
            found = []
            while not is_over:
                answer = server.ask("/score", body)
                found.append(answer.status)
                np.testing.assert_allclose(answer.json["scores"], case["scores"]["level_two"], atol=1e-5)
            return found

        asked = [pool.submit(ask) for _ in range(8)]
        try:
            for folder, told in [
                (other, "reloaded: run"),
                (broken, "not reloaded"),
                (movielens_bundle.folder, "reloaded: run"),
            ] * 3:
                current.unlink()
                current.symlink_to(folder)
                server.hang_up(told)
                health = server.ask("/health").json
                assert ("digest" in health["last_reload"]) == (folder == broken)
                assert (health["run"] == "another") == (folder != movielens_bundle.folder)
        finally:
            is_over.append(True)
        statuses = [status for answers in asked for status in answers.result()]
    assert len(statuses) >= 8
    assert set(statuses) == {200}


def test_no_request_of_many_at_once_is_lost(server: Server, vk_bundle: Exported) -> None:
    case = vk_bundle.case("many")
    body = json.dumps({"columns": case["columns"]})
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: server.ask("/score", body), range(200)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


def test_more_requests_than_it_takes_are_told_to_come_again(
    program: Path, movielens_bundle: Exported, tmp_path: Path
) -> None:
    with serving(program, movielens_bundle.folder, tmp_path, "-max-open", "1") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            wait_for(lambda: counters(server)["serve_open_requests"] == 1)
            full = server.ask("/score", "{}")
            assert (full.status, full.headers["Retry-After"]) == (503, "1")
            assert server.ask("/health").status == 200
        wait_for(lambda: counters(server)["serve_open_requests"] == 0)
        assert server.ask("/score", "{}").status == 400
