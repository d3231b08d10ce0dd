"""Numbers of logits, against scipy and against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from evaluators import measures
from evaluators.measures import measure, measure_states


def test_a_distribution_of_halves_and_quarters() -> None:
    logits = torch.log(torch.tensor([[0.25, 0.5, 0.125, 0.125]]))
    found = measure(logits, torch.tensor([2]), (1.0, 0.5))
    assert found.logprob == pytest.approx([-3 * math.log(2)], rel=1e-6)
    assert found.entropy == pytest.approx([1.75 * math.log(2)], rel=1e-6)
    assert found.margin == pytest.approx([math.log(2)], rel=1e-6)
    # Two are likelier; its equal is not.
    assert found.rank.tolist() == [2]
    assert (found.top.tolist(), found.finite.tolist()) == ([1], [True])
    assert found.top_logprob == pytest.approx([-math.log(2)], rel=1e-6)
    # At temperature 1/2 the probabilities are squared: 1/64 of (4 + 16 + 1 + 1) / 64.
    assert found.at_temperature[0] == pytest.approx([-3 * math.log(2)], rel=1e-6)
    assert found.at_temperature[1] == pytest.approx([-math.log(22)], rel=1e-6)


def test_random_logits_as_scipy_has_them() -> None:
    torch.manual_seed(1)
    logits = torch.randn(50, 300) * 5
    tokens = torch.randint(0, 300, (50,))
    found = measure(logits, tokens, (0.7, 3.0))
    exact = logits.double().numpy()
    rows = np.arange(50)
    assert found.logprob == pytest.approx(log_softmax(exact, -1)[rows, tokens], abs=1e-5)
    assert found.entropy == pytest.approx(entropy(softmax(exact, -1), axis=-1), abs=1e-5)
    for temperature, numbers in zip((0.7, 3.0), found.at_temperature, strict=True):
        scaled = log_softmax(exact / temperature, -1)[rows, tokens]
        assert numbers == pytest.approx(scaled, abs=1e-4)


def test_chunks_of_states_are_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    states, weight = torch.randn(11, 4), torch.randn(7, 4)
    tokens = torch.randint(0, 7, (11,))
    sizes: list[int] = []

    def head(part: torch.Tensor) -> torch.Tensor:
        sizes.append(len(part))
        return part @ weight.T

    whole = measure(states @ weight.T, tokens, (2.0,))
    monkeypatch.setattr(measures, "CHUNK_LOGITS", 4 * 7)
    found = measure_states(head, states, tokens, (2.0,), 7)
    assert sizes == [4, 4, 3]
    assert found.logprob == pytest.approx(whole.logprob)
    assert found.at_temperature.shape == (1, 11)
    assert found.at_temperature == pytest.approx(whole.at_temperature)
    assert found.rank.tolist() == whole.rank.tolist()


def test_without_tokens_the_argmax_is_measured() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    found = measure_states(lambda states: states, logits, None, (), 3)
    assert (found.top.tolist(), found.rank.tolist()) == ([1], [0])
    assert found.logprob == pytest.approx(found.top_logprob)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_position_that_is_not_finite_says_so_and_leaves_the_others(bad: float) -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0], [1.0, bad, 0.0]])
    found = measure(logits, torch.tensor([0, 0]), (1.0, 2.0))
    assert found.finite.tolist() == [True, False]


def test_a_token_that_is_ruled_out_leaves_the_rest_of_the_distribution_finite() -> None:
    logits = torch.tensor([[0.0, 0.0, -math.inf]])
    possible = measure(logits, torch.tensor([1]), (1.0,))
    assert possible.finite.tolist() == [True]
    assert possible.entropy == pytest.approx([math.log(2)])
    assert measure(logits, torch.tensor([2]), (1.0,)).finite.tolist() == [False]


def test_rounding_never_makes_a_probability_of_more_than_one() -> None:
    torch.manual_seed(3)
    logits = torch.randn(2000, 50)
    logits[:, 7] += 30
    found = measure(logits, torch.full((2000,), 7), (0.5, 1.0))
    assert found.logprob.max() <= 0
    assert found.top_logprob.max() <= 0
    assert found.at_temperature.max() <= 0


def test_a_range_of_positions_is_cut_from_every_array() -> None:
    found = measure(torch.eye(4), torch.arange(4), (1.0, 2.0))[1:3]
    assert found.top.tolist() == [1, 2]
    assert found.at_temperature.shape == (2, 2)
