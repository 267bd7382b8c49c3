"""Nets of two towers: what they say, what they start at, and the sampled softmax."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.nets import ContextShape, Histories, TowerShape, TowersInputs, TowersNet, TowersShape

N, G, WIDTH = 11, 4, 3


def net_and_inputs(context: bool = False, beside: int = 2) -> tuple[TowersNet, TowersInputs]:
    """A net whose layers say something, and some pairs of some groups."""
    torch.manual_seed(1)
    shape = TowersShape(
        TowerShape([9, 3], [WIDTH + 1, 2], 2),
        TowerShape([7, 4], [WIDTH + 1, 2], 1),
        WIDTH,
        n_hidden=5,
        n_crosses=1,
        rank=2,
        n_beside=beside,
        context=ContextShape(4, [0, -1], [7, 3], 1) if context else None,
    )
    net = TowersNet(shape)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    rows = torch.stack([torch.randint(0, 7, (G, 4)), torch.randint(0, 3, (G, 4))], dim=2)
    histories = Histories(rows, torch.randn(G, 4, 1), torch.rand(G, 4) < 0.7) if context else None
    group = torch.arange(N) % G
    right = torch.stack([torch.randint(0, 7, (N,)), torch.randint(0, 4, (N,))], dim=1)
    left = torch.stack([torch.randint(0, 9, (G,)), torch.randint(0, 3, (G,))], dim=1)
    numbers = torch.randn(G, 2), torch.randn(N, 1), torch.randn(N, beside)
    return net.eval(), TowersInputs(left, numbers[0], right, numbers[1], numbers[2], group, histories)


def test_a_score_is_product_offsets_and_what_is_beside() -> None:
    net, inputs = net_and_inputs()
    said, scores = net.say(inputs), net(inputs)
    for at in range(N):
        group = inputs.group[at]
        product = net.scale * said.left[group] @ said.right[at]
        offsets = said.left_offset[group] + said.right_offset[at] + net.level
        expected = product + offsets + net.beside(inputs.beside[at : at + 1])[0]
        torch.testing.assert_close(scores[at : at + 1], expected)


@pytest.mark.parametrize("context", [False, True])
def test_the_mean_square_length_is_of_all_rows_of_tables_that_were_read(context: bool) -> None:
    """Those of both sides, with row 0; those of histories are not among them."""
    net, inputs = net_and_inputs(context=context)
    expected = 0.0
    for tables, rows in ((net.left_tables, inputs.left), (net.right_tables, inputs.right)):
        for at, table in enumerate(tables.parameters()):
            expected += table.detach().double()[rows[:, at]].square().sum().item() / len(rows)
    assert float(net.say(inputs).squares.detach()) == pytest.approx(expected, rel=1e-5)


def test_a_history_counts_only_where_something_is_there() -> None:
    net, inputs = net_and_inputs(context=True)
    assert inputs.histories is not None
    before, there = net(inputs), inputs.histories.is_there
    inputs.histories.numbers[~there] = 9.0
    torch.testing.assert_close(net(inputs), before)
    inputs.histories.numbers[there] += 1.0
    assert not torch.allclose(net(inputs), before)
    inputs.histories.is_there[:] = False
    assert torch.isfinite(net(inputs)).all()


def test_tables_start_orthogonal_with_the_unknown_at_zero() -> None:
    torch.manual_seed(0)
    shape = TowersShape(TowerShape([51], [9]), TowerShape([5], [9]), 8)
    net = TowersNet(shape)
    table = next(net.left_tables.parameters()).detach()
    products = (table.mT @ table)[:8, :8]
    torch.testing.assert_close(products, products[0, 0] * torch.eye(8), atol=1e-5, rtol=0)
    assert not table[0].any()
    assert not table[:, -1].any(), "offsets"
    few = next(net.right_tables.parameters()).detach()[1:]
    assert few.square().mean().sqrt() == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_sampled_softmax_is_what_a_loop_finds(weighted: bool) -> None:
    """Own item against those of all good pairs, less the logarithm of how likely each is there; own good ones aside."""
    net, inputs = net_and_inputs()
    said, good = net.say(inputs), torch.arange(N) % 3 != 0
    frequency = torch.rand(7)
    frequency /= frequency.sum()
    weight = torch.rand(N) + 0.5 if weighted else torch.ones(N)
    at = [i for i in range(N) if good[i]]
    # What the tower says of an item is the same wherever it is shown here: its numbers are made so.
    first = {int(inputs.right[i, 0]): i for i in reversed(at)}
    losses = []
    for i in at:
        own, user = int(inputs.right[i, 0]), said.left[inputs.group[i]]
        liked = {int(inputs.right[j, 0]) for j in at if inputs.group[j] == inputs.group[i]}
        terms = {}
        for item, j in first.items():
            there = 1 - (1 - float(frequency[item])) ** len(at)
            logit = net.scale * user @ said.right[j] + said.right_offset[j] - math.log(there)
            if item == own or item not in liked:
                terms[item] = float(logit.detach())
        losses.append(math.log(sum(math.exp(t) for t in terms.values())) - terms[own])
    expected = np.average(losses, weights=weight[at].numpy())
    found = net.softmax_loss(said, inputs, good, frequency, weight if weighted else None)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-4)


def test_the_softmax_says_nothing_where_nobody_likes() -> None:
    net, inputs = net_and_inputs()
    nobody = torch.zeros(N, dtype=torch.bool)
    assert float(net.softmax_loss(net.say(inputs), inputs, nobody, torch.ones(7) / 7, None)) == 0


def test_the_left_tower_is_asked_once_a_group() -> None:
    net, inputs = net_and_inputs()
    said = net.say(inputs)
    assert said.left.shape == (G, WIDTH)
    assert said.right.shape == (N, WIDTH)
