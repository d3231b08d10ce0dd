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
from tests.evaluators.tally import Tally


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


def test_the_sum_over_a_long_text_gathers_no_rounding() -> None:
    torch.manual_seed(2)
    logits = torch.randn(400, 3000) * 4 + 20
    tokens = torch.randint(0, 3000, (400,))
    found = measure(logits, tokens, (2.0,))
    exact = logits.double().numpy()
    for temperature, numbers in ((1.0, found.logprob), (2.0, found.at_temperature[0])):
        scaled = log_softmax(exact / temperature, -1)[np.arange(400), tokens]
        assert math.fsum(numbers) == pytest.approx(math.fsum(scaled), abs=1e-5)


TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0)

WIDE = 2**16


def spread(scale: float, *extremes: float) -> torch.Tensor:
    """Random logits, the first of them replaced by `extremes`."""
    logits = torch.randn(3, WIDE, generator=torch.Generator().manual_seed(4)) * scale
    logits[:, : len(extremes)] = torch.tensor(extremes)
    return logits


@pytest.mark.parametrize(
    "logits",
    [
        pytest.param(torch.zeros(2, WIDE), id="all-equal"),
        pytest.param(spread(4.0), id="usual"),
        pytest.param(spread(100.0), id="steep"),
        pytest.param(spread(1.0, 1e4, -1e4, 9.9e3), id="one-at-1e4"),
        pytest.param(spread(1.0) - 1e4, id="all-at-minus-1e4"),
        pytest.param(spread(1.0, 1e36, -1e36, 9e35), id="one-at-1e36"),
        # Each of the many weighs less than rounding of the one, and all together do not.
        pytest.param(torch.full((2, WIDE), -17.0).index_fill(1, torch.tensor(5), 0.0), id="tail"),
        # What underflows at temperature 1 does not at 8.
        pytest.param(torch.full((2, WIDE), -110.0).index_fill(1, torch.tensor(5), 0.0), id="far"),
    ],
)
def test_a_wide_vocabulary_is_exact_to_a_ten_thousandth_of_a_nat(logits: torch.Tensor) -> None:
    tokens = torch.tensor([5, 0, WIDE - 1][: len(logits)])
    found = measure(logits, tokens, TEMPERATURES)
    exact, rows = logits.double().numpy(), np.arange(len(logits))
    logprobs = log_softmax(exact, -1)
    assert found.logprob == pytest.approx(logprobs[rows, tokens], rel=1e-6, abs=1e-4)
    assert found.top_logprob == pytest.approx(logprobs.max(-1), rel=1e-6, abs=1e-4)
    assert found.entropy == pytest.approx(entropy(np.exp(logprobs), axis=-1), abs=1e-4)
    two = np.sort(exact, -1)[:, -2:]
    assert found.margin == pytest.approx(two[:, 1] - two[:, 0], rel=1e-6, abs=1e-4)
    assert found.top.tolist() == exact.argmax(-1).tolist()
    assert found.rank.tolist() == (exact > exact[rows, tokens][:, None]).sum(-1).tolist()
    for temperature, numbers in zip(TEMPERATURES, found.at_temperature, strict=True):
        scaled = log_softmax(exact / temperature, -1)[rows, tokens]
        assert numbers == pytest.approx(scaled, rel=1e-6, abs=1e-4)


def test_of_equals_the_lowest_id_is_the_argmax_and_there_is_no_margin() -> None:
    logits = torch.zeros(2, WIDE)
    logits[0, [700, 9000, 65000]] = 3.0
    found = measure(logits, torch.tensor([9000, 1]), ())
    assert found.top.tolist() == [700, 0]
    assert found.margin.tolist() == [0.0, 0.0]
    assert found.rank.tolist() == [0, 0]
    assert found.logprob[0] == found.top_logprob[0]


def test_what_float32_cannot_hold_is_a_number_all_the_same() -> None:
    found = measure(torch.tensor([[1e38, 0.0, 9e37]]), torch.tensor([1]), (0.25,))
    assert found.logprob == pytest.approx([-1e38])
    assert found.at_temperature[0] == pytest.approx([-4e38])
    wide = torch.tensor([[3e38, -3e38, 0.0]])
    assert measure(wide, torch.tensor([1]), ()).logprob == pytest.approx([-6e38])
    assert measure(wide, None, ()).finite.tolist() == [True]
    assert measure(wide * 2, None, ()).finite.tolist() == [False]


def test_logits_stay_as_they_are() -> None:
    logits = spread(4.0, -math.inf)
    before = logits.clone()
    measure(logits, torch.tensor([1, 2, 3]), TEMPERATURES)
    assert torch.equal(logits, before)


def test_the_bound_of_memory_counts_a_chunk_and_what_is_made_of_it() -> None:
    cpu = torch.device("cpu")
    # 64 MiB of logits and six times 4 MiB of what is made of them.
    assert measures.peak_bytes(262_144, cpu) == (64 + 6 * 4) * 2**20
    assert measures.peak_bytes(262_144, torch.device("cuda")) == 7 * 64 * 2**20
    # One position that is wider than a chunk is a chunk.
    assert measures.peak_bytes(2**25, cpu) == 7 * 128 * 2**20


@pytest.mark.parametrize("tokens", [None, torch.zeros(40, dtype=torch.long)])
def test_memory_stays_within_the_bound(
    monkeypatch: pytest.MonkeyPatch, tokens: torch.Tensor | None
) -> None:
    monkeypatch.setattr(measures, "CHUNK_LOGITS", 8 * WIDE)
    monkeypatch.setattr(measures, "TILE_LOGITS", 2 * WIDE)
    states, weight = torch.randn(40, 4), torch.randn(4, WIDE)
    with Tally() as tally:
        measure_states(lambda part: part @ weight, states, tokens, (0.5, 0.75, 1.0, 1.5, 2.0), WIDE)
    bound = measures.peak_bytes(WIDE, torch.device("cpu"))
    # What is given back is small: a few numbers a position.
    assert 4 * 8 * WIDE < tally.peak <= bound + 40 * 1024


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


@pytest.mark.parametrize("tokens", [None, torch.tensor([0, 0])])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_position_that_is_not_finite_says_so_and_leaves_the_others(
    bad: float, tokens: torch.Tensor | None
) -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0], [1.0, bad, 0.0]])
    found = measure(logits, tokens, (1.0, 2.0))
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
