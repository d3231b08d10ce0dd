"""The sentence at the top of the overview, from rows written by hand."""

from __future__ import annotations

from typing import Any

from views.pages.verdict import judge, looking_back

Row = dict[str, Any]


def compared(step: int, suite: str = "all", verdict: str = "OK", **columns: Any) -> Row:
    """A row of the regression view; a suite's name is its difficulty."""
    row: Row = {
        "run": "run",
        "checkpoint_id": f"c{step}",
        "step": step,
        "against": "previous",
        "baseline_step": step - 80 if step > 80 else None,
        "suite": suite,
        "difficulty": suite,
        "loss": 1.0,
        "loss_change": None,
        "accuracy": 0.5,
        "accuracy_before": None,
        "verdict": verdict,
        "tier": "full",
        "reason": "because",
    }
    return {**row, **columns}


def ranked(step: int, rank: int | None = 1) -> Row:
    return {"run": "run", "checkpoint_id": f"c{step}", "step": step, "rank": rank}


def arrived(step: int, status: str) -> Row:
    return {"step": step, "status": status}


def test_a_regression_on_one_difficulty_says_its_numbers_and_what_to_keep() -> None:
    change: Row = {"loss_change": 0.59, "accuracy_before": 0.86, "accuracy": 0.4}
    rows = [
        compared(640),
        compared(640, "easy", "REGRESSED", **change),
        compared(640, "hard"),
    ]
    verdict = judge([], rows, [ranked(560)])
    assert verdict.sentence == (
        "Step 640 is worse than 560 on easy: loss +59 %, accuracy 86 % → 40 %. Keep step 560."
    )
    assert (verdict.tone, verdict.word) == ("bad", "Regressed")


def test_a_regression_on_several_difficulties_says_the_numbers_of_all_together() -> None:
    rows = [
        compared(640, verdict="REGRESSED", loss_change=1.79),
        compared(640, "easy", "REGRESSED", loss_change=30.0),
        compared(640, "medium", "REGRESSED", loss_change=1.0),
    ]
    assert judge([], rows, [ranked(560)]).sentence == (
        "Step 640 is worse than 560 on easy and medium: loss +179 %. Keep step 560."
    )


def test_a_regression_of_the_whole_alone_is_over_all_examples() -> None:
    rows = [compared(640, verdict="REGRESSED", loss_change=0.2), compared(640, "easy")]
    sentence = judge([], rows, [ranked(560)]).sentence
    assert sentence == "Step 640 is worse than 560 over all examples: loss +20 %. Keep step 560."


def test_a_checkpoint_that_only_the_pinned_one_is_better_than() -> None:
    pinned: Row = {"against": "pinned", "baseline_step": 80, "loss_change": 0.2}
    rows = [compared(640), compared(640, "easy"), compared(640, **pinned)]
    assert judge([], rows, [ranked(640)]).word == "Best so far"
    rows.append(compared(640, "easy", "REGRESSED", **pinned))
    assert judge([], rows, [ranked(560)]).sentence == (
        "Step 640 is worse than the pinned step 80 on easy: loss +20 %. Keep step 560."
    )


def test_a_regressed_checkpoint_that_still_ranks_first_is_to_be_looked_at() -> None:
    rows = [compared(640), compared(640, "easy", "REGRESSED", loss_change=0.2)]
    assert "still ranks first" in judge([], rows, [ranked(640)]).sentence


def test_a_suspect_may_be_worse() -> None:
    rows = [compared(640), compared(640, "hard", "SUSPECT", loss_change=0.05)]
    verdict = judge([], rows, [ranked(560)])
    assert verdict.sentence == (
        "Step 640 may be worse than 560 on hard: loss +5.0 %. Keep step 560. "
        "The next checkpoint will tell."
    )
    assert verdict.tone == "warning"


def test_the_best_so_far_is_kept() -> None:
    verdict = judge([], [compared(800, accuracy=0.91, loss=0.42)], [ranked(800)])
    assert verdict.sentence == (
        "Step 800 is the best so far: accuracy 91 %, loss 0.420 nats. Keep it."
    )
    assert verdict.tone == "good"


def test_one_that_is_no_worse_does_not_replace_the_best() -> None:
    sentence = judge([], [compared(800)], [ranked(640)]).sentence
    assert "Step 800 is no worse than 720" in sentence
    assert "Keep step 640" in sentence


def test_of_two_that_rank_first_the_newer_is_kept() -> None:
    verdict = judge([], [compared(800)], [ranked(640), ranked(800)])
    assert verdict.keep == ranked(800)


def test_a_failed_evaluation_has_no_numbers() -> None:
    rows = [compared(640), compared(720, verdict="FAILED", loss=None, accuracy=None)]
    verdict = judge([], rows, [ranked(640)])
    assert verdict.sentence == (
        "The evaluation of step 720 FAILED, so nothing is known about it. "
        "Keep step 640 and mend what failed."
    )
    assert (verdict.word, verdict.reason) == ("FAILED", "because")


def test_a_suite_of_which_nothing_was_measured_is_not_passed_over() -> None:
    rows = [compared(640), compared(640, "easy"), compared(640, "hard", "FAILED", reason="empty")]
    verdict = judge([], rows, [ranked(560)])
    assert verdict.sentence == (
        "Step 640 FAILED on hard: nothing was measured there. Keep step 560."
    )
    assert verdict.reason == "empty"


def test_suites_of_one_difficulty_are_called_by_their_names() -> None:
    rows = [compared(640, verdict="REGRESSED", loss_change=0.5)]
    rows += [
        compared(640, suite, "REGRESSED", difficulty="easy", loss_change=0.5)
        for suite in ("sums", "words")
    ]
    assert "on sums and words" in judge([], rows, []).sentence


def test_the_first_of_a_run_has_nothing_to_be_compared_with() -> None:
    verdict = judge([], [compared(80, verdict="INCONCLUSIVE")], [ranked(80)])
    assert verdict.sentence.startswith("Step 80 is the first measured")
    assert verdict.tone == "neutral"


def test_too_few_examples_are_too_few_to_tell() -> None:
    verdict = judge([], [compared(640, verdict="INCONCLUSIVE")], [ranked(560)])
    assert verdict.sentence.startswith("Whether step 640 is worse than 560 cannot be told.")


def test_nothing_evaluated_is_said_to_be_so() -> None:
    assert judge([], [], []).sentence.startswith("Nothing is evaluated yet")
    waiting = judge([arrived(80, "arrived")], [], []).sentence
    assert waiting.startswith("Nothing is evaluated yet. 1 checkpoint has arrived")
    assert "Step 80 is being evaluated" in judge([arrived(80, "evaluating")], [], []).sentence


def test_an_earlier_regression_is_remembered() -> None:
    worse: Row = {"loss_change": 1.79, "accuracy_before": 0.33, "accuracy": 0.0133}
    rows = [
        compared(160, "easy", "REGRESSED"),
        compared(400, verdict="REGRESSED", **worse),
        compared(400, "easy", "REGRESSED"),
        compared(640),
    ]
    assert looking_back(rows) == (
        "Earlier in this run, step 400 was worse than 320: loss +179 %, accuracy 33 % → 1.3 %. "
        "So was step 160."
    )


def test_the_newest_regression_is_no_earlier_one() -> None:
    assert looking_back([compared(640, verdict="REGRESSED")]) is None
    assert looking_back([]) is None


def test_a_verdict_on_a_quick_tier_is_not_the_last_word() -> None:
    said = "Quick tier: 64 of 400 examples. because"
    worse = compared(640, verdict="REGRESSED", loss_change=0.2, tier="quick", reason=said)
    verdict = judge([], [compared(560), worse], [ranked(560)])
    assert verdict.word == "Regressed, so far"
    assert verdict.sentence.endswith("This is the quick tier: the full suites will tell.")
    assert verdict.reason == said
    assert looking_back([worse, compared(720)]) is None
