"""Histories and the net that reads them: brute force, and what may not matter to a score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.nets import (
    N_TIMES,
    Histories,
    HistoryEncoder,
    HstuBlock,
    Rates,
    Scaler,
    SequenceInputs,
    SequenceNet,
    SequenceShape,
    Stepper,
    Vectors,
    Vocabulary,
    time_buckets,
)

LENGTH = 4
PLACES = st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=LENGTH, max_size=LENGTH)


def encoded(ids: list[Any], gaps: list[Any]) -> tuple[HistoryEncoder, Histories]:
    arrays = {
        "items": pl.Series(ids, dtype=pl.Array(pl.UInt32, LENGTH)),
        "gaps": pl.Series(gaps, dtype=pl.Array(pl.Float32, LENGTH)),
    }
    known = Vocabulary(pl.Series("value", [0, 1, 2, 4], dtype=pl.UInt32))
    encoder = HistoryEncoder.of(arrays, {"items": known}, ["gaps"], gaps="gaps")
    return encoder, encoder.histories(arrays, len(ids))


@given(st.lists(st.one_of(st.none(), PLACES), min_size=1, max_size=6))
def test_histories_are_what_the_arrays_say(ids: list[Any]) -> None:
    gaps = [None if one is None else [None if v is None else 10.0**v for v in one] for one in ids]
    _, found = encoded(ids, gaps)
    row_of = {0: 1, 1: 2, 2: 3, 4: 4}
    values = [np.log1p(v) for one in gaps if one for v in one if v is not None]
    for group, places in enumerate(ids):
        for at, value in enumerate(places or [None] * LENGTH):
            assert found.is_there[group, at] == (value is not None)
            assert found.rows[group, at, 0] == (0 if value is None else row_of.get(value, 0))
            if value is not None and np.std(values) > 1e-3:
                scaled = (np.log1p(10.0**value) - np.mean(values)) / np.std(values)
                assert float(found.numbers[group, at, 0]) == pytest.approx(scaled, abs=1e-4)
            else:
                assert not found.numbers[group, at].any()
            later = [] if not places else [v for v in places[at:] if v is not None]
            whole = len(later) == LENGTH - at
            assert found.since is not None
            since = float(found.since[group, at])
            assert since == sum(10.0**v for v in later) if whole else np.isnan(since)


def test_an_encoder_of_histories_gives_the_same_after_it_was_saved(tmp_path: Path) -> None:
    ids, gaps = [[None, 0, 2, 9], None], [[None, 1.0, 5.0, 100.0], None]
    encoder, found = encoded(ids, gaps)
    encoder.save(tmp_path)
    arrays = {
        "items": pl.Series(ids, dtype=pl.Array(pl.UInt32, LENGTH)),
        "gaps": pl.Series(gaps, dtype=pl.Array(pl.Float32, LENGTH)),
    }
    again = HistoryEncoder.load(tmp_path).histories(arrays, 2)
    for name in ("rows", "numbers", "is_there"):
        assert torch.equal(getattr(again, name), getattr(found, name))
    torch.testing.assert_close(again.since, found.since, rtol=0, atol=0, equal_nan=True)
    assert found.since is not None
    assert found.since[0, 1:].tolist() == [106.0, 105.0, 100.0]
    plain = replace(encoder, gaps=None)
    (tmp_path / "plain").mkdir()
    plain.save(tmp_path / "plain")
    assert HistoryEncoder.load(tmp_path / "plain").histories(arrays, 2).since is None


VECTORS = st.lists(st.one_of(st.none(), st.tuples(*[st.floats(-5, 5, width=32)] * 2)), min_size=3, max_size=3)


@given(st.lists(st.one_of(st.none(), VECTORS), max_size=5), st.booleans())
def test_vectors_of_places_are_scaled_as_those_of_candidates(given_vectors: list[Any], alone: bool) -> None:
    """Behind the other numbers; a place without one has zeros and a flag, and one that is not there has zeros alone."""
    mean, std = (np.array(of, dtype=np.float32) for of in ([1, -2], [2, 0.5]))
    scaler = Scaler(mean, std, np.array([True, False]))
    flat = [
        None if one is None else [x for vector in one for x in (vector or (None, None))]
        for one in given_vectors
    ]
    arrays = {
        "vectors": pl.Series(flat, dtype=pl.Array(pl.Float32, 6)),
        "gaps": pl.Series(
            [None if one is None else [None, 1.0, 1.0] for one in flat], dtype=pl.Array(pl.Float32, 3)
        ),
    }
    numeric = [] if alone else ["gaps"]
    encoder = HistoryEncoder.of(arrays, {}, numeric, vectors=Vectors("vectors", scaler))
    found = encoder.histories(arrays, len(flat))
    assert encoder.length == 3
    assert encoder.names == (*numeric, "vectors")
    assert found.numbers.shape[2] == encoder.n_numbers
    for group, one in enumerate(given_vectors):
        for at, vector in enumerate(one or [None] * 3):
            is_there = vector is not None or (not alone and one is not None and at > 0)
            assert found.is_there[group, at] == is_there
            expected = [0.0, 0.0, float(is_there)]
            if vector is not None:
                expected = [*np.clip((np.array(vector) - [1, -2]) / [2, 0.5], -4, 4), 0.0]
            np.testing.assert_allclose(found.numbers[group, at, -3:], expected, rtol=1e-5, atol=1e-6)


BLOCKS = ["softmax", "hstu", "hstu with times"]


def net_and_inputs(block: str, n: int = 12, g: int = 5) -> tuple[SequenceNet, torch.Tensor, SequenceInputs]:
    torch.manual_seed(1)
    kind: Any = block.partition(" ")[0]
    shape = SequenceShape(
        n_rows=[4, 7, 5], n_dims=[3, 8, 6], n_numbers=2, length=LENGTH, shared=[1, -1], history_rows=[7, 3],
        n_history_numbers=1, query=[1, 2], n_levels=3, width=8, n_blocks=2, block=kind, rank=4, start=1,
        has_times=kind != block, n_vector=3,
    )  # fmt: skip
    net = SequenceNet(shape).double().eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    rows = torch.stack([torch.randint(0, high, (n,)) for high in shape.n_rows], dim=1)
    is_there = torch.arange(LENGTH)[None] >= torch.tensor([[0], [1], [2], [3], [4]])
    of_places = torch.stack([torch.randint(0, high, (g, LENGTH)) for high in (7, 3)], dim=2)
    since = torch.randint(1, 10**6, (g, LENGTH)).double().flip(1).cumsum(1).flip(1)
    past = Histories(of_places, torch.randn(g, LENGTH, 1).double(), is_there, since)
    group = torch.arange(n) % g
    return (
        net,
        net.embed(rows),
        SequenceInputs(torch.randn(n, 2).double(), past, group, torch.randn(n, 3).double()),
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_not_there_says_nothing(block: str) -> None:
    net, embedded, inputs = net_and_inputs(block)
    before, past = net(embedded, inputs), inputs.histories
    rows, numbers = past.rows.clone(), past.numbers.clone()
    assert past.since is not None
    rows[~past.is_there], numbers[~past.is_there] = 2, 9.0
    since = past.since.masked_fill(~past.is_there, torch.nan)
    after = net(embedded, replace(inputs, histories=Histories(rows, numbers, past.is_there, since)))
    torch.testing.assert_close(after, before)
    rows[past.is_there] = 0  # but what is there does
    changed = net(embedded, replace(inputs, histories=Histories(rows, numbers, past.is_there, since)))
    has_history = past.is_there.any(dim=1)[inputs.group]
    assert (changed != before)[has_history].all()
    torch.testing.assert_close(changed[~has_history], before[~has_history])


@pytest.mark.parametrize("block", BLOCKS)
def test_a_place_sees_none_after_it(block: str) -> None:
    net, _, inputs = net_and_inputs(block)
    before, past = net.encode(inputs.histories), inputs.histories
    rows = past.rows.clone()
    rows[:, -1] = (rows[:, -1] + 1) % 3
    after = net.encode(replace(past, rows=rows))
    torch.testing.assert_close(after[:, :-1], before[:, :-1])
    assert (after[:4, -1] != before[:4, -1]).any(dim=1).all()


@pytest.mark.parametrize("block", BLOCKS)
def test_a_pair_alone_has_the_score_that_it_has_among_others(block: str) -> None:
    net, embedded, inputs = net_and_inputs(block)
    together = net(embedded, inputs)
    for at in range(len(embedded)):
        past = inputs.histories[inputs.group[at : at + 1]]
        numbers, vector = inputs.numbers[at : at + 1], inputs.vector
        assert vector is not None
        alone = SequenceInputs(numbers, past, torch.zeros(1, dtype=torch.int64), vector[at : at + 1])
        torch.testing.assert_close(net(embedded[at : at + 1], alone)[0], together[at])


SINCE = st.lists(st.integers(0, 2**52), min_size=LENGTH, max_size=LENGTH)


@given(st.lists(SINCE, min_size=1, max_size=4), st.integers(0, LENGTH))
def test_times_lie_in_buckets_of_powers_of_two(since: list[list[int]], n_unknown: int) -> None:
    """Against whole numbers of Python, whose bits are the bucket."""
    since = [sorted(one, reverse=True) for one in since]
    times = torch.tensor(since, dtype=torch.float64)
    times[:, :n_unknown] = torch.nan
    found = time_buckets(times)
    for group, one in enumerate(since):
        for i in range(LENGTH + 1):
            for j in range(i + 1):
                is_known = j > n_unknown
                time = one[j - 1] - one[i - 1] if is_known else 0
                assert found[group, i, j] == (max(1, time).bit_length() if is_known else 0)


def test_a_bucket_ends_where_the_next_power_of_two_begins() -> None:
    """Where a logarithm is off by one: 2^k - 1 is of the bucket before 2^k; and all from 2^62 on are of the last."""
    for k in range(1, 53):
        times = torch.tensor([[2.0**k, 1.0, 0.0], [2.0**k + 1, 1.0, 0.0]], dtype=torch.float64)
        assert time_buckets(times)[:, 2, 1].tolist() == [k, k + 1]
    far = torch.tensor([[2.0**62, 0.0], [2.0**80, 0.0], [2.0**62 - 2.0**9, 0.0]], dtype=torch.float64)
    assert time_buckets(far)[:, 2, 1].tolist() == [N_TIMES - 1, N_TIMES - 1, N_TIMES - 2]


def test_a_block_adds_what_it_learned_of_distance_and_time() -> None:
    """Against loops over heads, places and numbers."""
    torch.manual_seed(4)
    g, places, heads, width = 2, LENGTH + 1, 2, 6
    block = HstuBlock(width, heads, LENGTH, has_times=True).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    x, times = torch.randn(g, places, width).double(), torch.randint(0, N_TIMES, (g, places, places))
    is_seen = torch.ones(places, places, dtype=torch.bool).tril().expand(g, -1, -1).clone()
    is_seen[1, :, 1:3] = False
    silu = torch.nn.functional.silu
    mixed = silu(block.mix(block.before(x))).detach()
    query, key, value, gate = (mixed[:, :, i * width : (i + 1) * width] for i in range(4))
    found = torch.zeros(g, places, width).double()
    for group, head, i in np.ndindex(g, heads, places):
        own = slice(head * width // heads, (head + 1) * width // heads)
        seen = [j for j in range(places) if is_seen[group, i, j]]
        for j in seen:
            logit = (query[group, i, own] * key[group, j, own]).sum() / (width / heads) ** 0.5
            logit = logit + block.distance[head, i - j] + block.time[head, times[group, i, j]]
            found[group, i, own] += (silu(logit) / len(seen) * value[group, j, own]).detach()
    expected = x + block.joined(block.between(found) * gate)
    torch.testing.assert_close(block(x, is_seen, times), expected)
    assert (block(x, is_seen) != expected).any(dim=2)[:, 1:].all()


def test_times_begin_by_changing_nothing() -> None:
    shape = net_and_inputs("hstu")[0].shape
    nets = []
    for has_times in (False, True):
        torch.manual_seed(6)
        nets.append(SequenceNet(replace(shape, has_times=has_times)).double().eval())
    plain, timed = nets
    _, _, inputs = net_and_inputs("hstu")
    assert torch.equal(plain.encode(inputs.histories), timed.encode(inputs.histories))
    state = timed.state_dict()
    assert {*state} - {*plain.state_dict()} == {"blocks.0.time", "blocks.1.time"}
    assert all(torch.equal(state[name], value) for name, value in plain.state_dict().items())


def test_a_time_changes_what_comes_after_it_and_a_later_end_does_not() -> None:
    net, _, inputs = net_and_inputs("hstu with times")
    past = replace(inputs.histories, is_there=torch.ones_like(inputs.histories.is_there))
    assert past.since is not None
    before = net.encode(past)
    since = past.since.clone()
    since[:, :2] += 2.0**40  # the time between the second place and the third
    after = net.encode(replace(past, since=since))
    assert torch.equal(after[:, :3], before[:, :3])
    assert (after != before)[:, 3:].any(dim=2).all()
    assert torch.equal(net.encode(replace(past, since=past.since + 2.0**30)), before)


def test_a_vector_of_a_candidate_asks_the_history_and_counts_by_itself() -> None:
    """Histories are encoded without it."""
    net, embedded, inputs = net_and_inputs("hstu")
    before, tokens = net(embedded, inputs), net.encode(inputs.histories)
    assert inputs.vector is not None
    other = replace(inputs, vector=inputs.vector + 1.0)
    assert (net(embedded, other) != before).all()
    assert torch.equal(net.encode(other.histories), tokens)
    with torch.no_grad():  # where the query does not read it, it counts in the layers
        net.query.weight[:, -3:] = 0
    assert (net(embedded, other) != net(embedded, inputs)).all()


def test_places_lie_in_an_order() -> None:
    net, embedded, inputs = net_and_inputs("softmax")
    past = inputs.histories
    turned = Histories(past.rows.flip(1), past.numbers.flip(1), past.is_there.flip(1))
    first = inputs.group == 0
    assert (net(embedded, replace(inputs, histories=turned)) != net(embedded, inputs))[first].all()


def test_the_next_item_is_predicted_from_what_is_before_it() -> None:
    """Items that follow each other in a circle: after training nothing is left to wonder about."""
    torch.manual_seed(3)
    start = torch.randint(0, 6, (64,))
    items = 1 + (start[:, None] + torch.arange(LENGTH)) % 6
    past = Histories(items[:, :, None], torch.zeros(64, LENGTH, 0), torch.ones(64, LENGTH, dtype=torch.bool))
    shape = SequenceShape(
        n_rows=[7], n_dims=[8], n_numbers=0, length=LENGTH, shared=[0], history_rows=[7], n_history_numbers=0,
        query=[0], n_levels=2, width=16,
    )  # fmt: skip
    net = SequenceNet(shape)
    step = Stepper(*net.tables_and_layers(), Rates(0.01, 0.3, 0.0, "row adagrad"))
    inputs = SequenceInputs(torch.zeros(64, 0), past, torch.arange(64))
    level = torch.zeros(64, dtype=torch.int64)
    losses = []
    for _ in range(150):
        _, more = net.scores_and_more(net.embed(items[:, -1:]), inputs, level, None, (0.0, 1.0))
        step(more)
        losses.append(float(more.detach()))
    # The first place has nothing before it but the start: a quarter of the places cost log 6 at best.
    assert losses[0] > 1.6
    assert losses[-1] == pytest.approx(np.log(6) / LENGTH, abs=0.12)


def test_row_adagrad_is_its_formula() -> None:
    rng = np.random.default_rng(2)
    table = torch.nn.Embedding(5, 3, sparse=True)
    expected, squares = table.weight.detach().double().numpy().copy(), np.zeros(5)
    step = Stepper(
        [*table.parameters()], [torch.nn.Parameter(torch.zeros(1))], Rates(0.1, 0.2, 0.0, "row adagrad")
    )
    for _ in range(7):
        rows, target = rng.integers(0, 4, 6), rng.normal(size=(6, 3))
        gradient = np.zeros((5, 3))
        np.add.at(gradient, rows, 2 * (expected[rows] - target))
        step((table(torch.from_numpy(rows)) - torch.from_numpy(target)).square().sum())
        for row in set(rows.tolist()):
            squares[row] += (gradient[row] ** 2).mean()
            expected[row] -= 0.2 * gradient[row] / (np.sqrt(squares[row]) + 1e-10)
    np.testing.assert_allclose(table.weight.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert squares[4] == 0
