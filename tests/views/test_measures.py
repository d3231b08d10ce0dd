"""Losses and accuracies, worked out by hand."""

from __future__ import annotations

import math

import pytest

from tests.views.rows import Row, table
from views.measures import Measures, measure


def scored(
    example_id: str, nll: float, tokens: int, *, correct: bool | None = True, top1: int = 0
) -> Row:
    return Row(example_id, correct, nll, tokens, 4 * tokens, top1)


def failed(example_id: str, error: str) -> Row:
    return Row(example_id, error=error)


def measured(rows: list[Row]) -> Measures:
    return measure(table(rows))


def test_every_token_weighs_the_same() -> None:
    found = measured([scored("a", 1.0, 1, top1=1), scored("b", 3.0, 9, top1=4)])
    assert found.loss == pytest.approx(0.4)
    assert found.perplexity == pytest.approx(math.exp(0.4))
    assert found.bits_per_byte == pytest.approx(4.0 / math.log(2) / 40)
    assert found.token_accuracy == pytest.approx(0.5)


def test_the_standard_errors_by_hand() -> None:
    found = measured([scored("a", 1.0, 1), scored("b", 3.0, 9, correct=False)])
    # Residuals 1 − 0.4·1 and 3 − 0.4·9: ±0.6. sqrt(2/1 · (0.36 + 0.36)) / 10.
    assert found.loss_se == pytest.approx(0.12)
    assert found.accuracy_se == pytest.approx(math.sqrt(0.25 / 2))


def test_accuracy_is_of_what_was_graded() -> None:
    rows = [scored("a", 1.0, 2), scored("b", 1.0, 2, correct=False), scored("c", 1.0, 2)]
    found = measured([*rows, scored("d", 1.0, 2, correct=None)])
    assert (found.n, found.n_graded) == (4, 3)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.score == pytest.approx(2 / 3)
    assert found.accuracy_low == pytest.approx(0.2077, abs=1e-4)
    assert found.accuracy_high == pytest.approx(0.9385, abs=1e-4)
    assert found.reason == "Accuracies are of the 3 of 4 that could be graded."


def test_errors_are_counted_and_told_but_not_measured() -> None:
    found = measured([scored("a", 1.0, 2), scored("c", 1.0, 2), failed("b", "prompt too long")])
    assert (found.n, found.n_failed, found.accuracy, found.loss) == (2, 1, 1.0, 0.5)
    assert found.reason == (
        "1 of 3 examples could not be scored. The first error: prompt too long."
    )


def test_nothing_scored_is_no_number() -> None:
    assert measured([failed("a", "NaN logits")]) == Measures(
        n=0,
        n_failed=1,
        reason="1 of 1 examples could not be scored. The first error: NaN logits.",
    )
    assert measured([]) == Measures(n=0, n_failed=0, reason="No example was evaluated.")


def test_bare_text_has_a_loss_and_no_accuracy() -> None:
    found = measured([scored("a", 1.0, 2, correct=None), scored("b", 1.0, 2, correct=None)])
    assert found.loss == 0.5
    assert (found.accuracy, found.score, found.accuracy_se) == (None, None, None)
    assert found.n_graded == 0
    assert "No accuracy: the rows are bare text" in str(found.reason)


def test_choices_alone_have_an_accuracy_and_no_loss() -> None:
    found = measured([Row("a", True)])
    assert found.accuracy == 1.0
    assert (found.loss, found.perplexity, found.loss_se) == (None, None, None)
    assert found.reason == "No loss: no target token was scored."


def test_an_overflowing_perplexity_is_no_number() -> None:
    found = measured([scored("a", 4000.0, 2), scored("b", 4000.0, 2)])
    assert found.loss == 2000.0
    assert found.perplexity is None
    assert found.reason == "No perplexity: exp(loss) is too large a number."


def test_one_example_gives_no_standard_error_of_the_loss() -> None:
    found = measured([scored("a", 1.0, 2)])
    assert found.loss_se is None
    assert "one example has no spread" in str(found.reason)


def test_samples_of_an_example_are_one_cluster() -> None:
    once = [scored("a", 1.0, 1), scored("b", 3.0, 9)]
    twice = [row for row in once for _ in range(2)]
    assert measured(twice).loss_se == pytest.approx(measured(once).loss_se)


def test_the_first_error_is_that_of_the_smallest_example_id() -> None:
    found = measured([failed("b", "second"), failed("a", "first"), scored("c", 1.0, 2)])
    assert "The first error: first." in str(found.reason)
