"""The gate: may a checkpoint be deployed? A pure function of what the other views say.

- BLOCK: it fails a test, fell critically in one, REGRESSED, or cannot be evaluated.
- INCONCLUSIVE: it is not evaluated to the end; a test measured nothing, or too little to decide it;
  or nothing speaks for it, neither a test nor a comparison.
- WARN: a test passes, but so few answers leave that open; it fell in one; SUSPECT; there is no
  test, or nothing to compare with; its folder is gone.
- PASS: none of these.

A test is decided by the threshold that a person set, not by the interval around the accuracy: an
owner who asks for 80 % of 50 answers means 40 of them. Where chance alone could have brought the
answers across, the gate warns. But what was not measured decides nothing: if the examples without
a grade could turn a test, were they all right or all wrong, that test is INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from views.words import count, percent

Verdict = Literal["BLOCK", "INCONCLUSIVE", "WARN", "PASS"]
WORST_FIRST: tuple[Verdict, ...] = get_args(Verdict)
ALL = "all"
COMPLETED = "completed"

Row = Mapping[str, Any]


class Reason(NamedTuple):
    """One thing that speaks for or against a checkpoint; `about` names the test or comparison."""

    verdict: Verdict
    about: str
    reason: str


class Decision(NamedTuple):
    """The worst verdict, and every reason, the worst first."""

    verdict: Verdict
    reasons: list[Reason]


class Evaluation(NamedTuple):
    """Where the current evaluation of a checkpoint stands; `recorded` counts predictions."""

    status: str
    examples: int | None
    recorded: int
    error: str | None
    message: str | None
    retriable: bool | None


def decide(
    evaluation: Evaluation | None,
    tests: Sequence[Row],
    parts: Sequence[Row],
    regressions: Sequence[Row],
    *,
    asked: Collection[str],
    gone: str | None = None,
) -> Decision:
    """Whether a checkpoint may be deployed.

    `tests`, `parts` and `regressions` are its rows of test_results, test_difficulties and
    regressions; `asked` names the suites that have a threshold; `gone` is why its folder is.
    """
    reasons = [Reason("WARN", "checkpoint", f"Its folder is gone: {gone}.")] if gone else []
    if evaluation is None or evaluation.status != COMPLETED:
        return _worst([*reasons, _unfinished(evaluation)])
    tested = [row for row in tests if row["threshold"] is not None]
    for row in tests:
        reasons += _of_test(row)
    reasons += [_of_part(row) for row in parts if row["trend"] == "critical"]
    reasons += [
        Reason("INCONCLUSIVE", suite, "It has a threshold, and was not part of the evaluation.")
        for suite in sorted({*asked} - {row["suite"] for row in tested})
    ]
    compared = _of_comparison(regressions)
    reasons += compared
    if not asked and not any(one.verdict == "PASS" for one in compared):
        nothing = "Nothing was tested: no suite has a pass_threshold, and no comparison is OK."
        reasons.append(Reason("INCONCLUSIVE", "tests", nothing))
    elif not asked:
        reasons.append(
            Reason("WARN", "tests", "No suite has a pass_threshold: only the comparison speaks.")
        )
    return _worst(reasons)


def _worst(reasons: Sequence[Reason]) -> Decision:
    ordered = sorted(reasons, key=lambda one: WORST_FIRST.index(one.verdict))
    return Decision(ordered[0].verdict, ordered)


def _unfinished(evaluation: Evaluation | None) -> Reason:
    match evaluation:
        case None:
            return Reason("INCONCLUSIVE", "evaluation", "It is not evaluated yet.")
        case Evaluation(status="started"):
            of = f" of {evaluation.examples:,}" if evaluation.examples is not None else ""
            words = f"It is not evaluated to the end: {evaluation.recorded:,}{of} predictions."
            return Reason("INCONCLUSIVE", "evaluation", words)
        case _:
            words = f"{evaluation.error}: {evaluation.message}"
            final = evaluation.status == "failed" and not evaluation.retriable
            return Reason("BLOCK" if final else "INCONCLUSIVE", "evaluation", words)


def _of_test(row: Row) -> list[Reason]:
    """What one suite says. Without a threshold it speaks only when it fell."""
    found = []
    if row["threshold"] is not None:
        found.append(Reason(_verdict(row), row["suite"], f"{row['reason']}{_undecided(row)}"))
    if row["trend"] in ("dropped", "critical"):
        critical = row["trend"] == "critical" and row["threshold"] is not None
        found.append(Reason("BLOCK" if critical else "WARN", row["suite"], _fall(row)))
    return found


def _verdict(row: Row) -> Verdict:
    if row["passed"] is None or _undecided(row):
        return "INCONCLUSIVE"
    if not row["passed"]:
        return "BLOCK"
    return "PASS" if row["certain"] and not _unmeasured(row) else "WARN"


def _unmeasured(row: Row) -> int:
    """The examples without a grade."""
    return int(row["n_failed"] + row["n_ungraded"])


def _undecided(row: Row) -> str:
    """How the examples without a grade could turn a test; empty if they could not."""
    if row["passed"] is None:
        return ""
    missing = _unmeasured(row)
    right = round(row["accuracy"] * row["n"])
    least, most = (one / (row["n"] + missing) for one in (right, right + missing))
    if least < row["threshold"] <= most:
        return f" With them it would be from {percent(least)} to {percent(most)}."
    return ""


def _of_part(row: Row) -> Reason:
    return Reason("WARN", f"{row['suite']}, {row['difficulty']}", _fall(row))


def _fall(row: Row) -> str:
    return (
        f"{percent(row['accuracy'])} of {count(row['n'], 'answer')} right, and "
        f"{percent(row['previous_accuracy'])} at step {row['previous_step']}."
    )


def _of_comparison(regressions: Sequence[Row]) -> list[Reason]:
    """What the comparisons with other checkpoints say.

    Parts with too few examples are many and say little: only the whole is warned of.
    """
    of_verdict: dict[str, Verdict] = {"REGRESSED": "BLOCK", "SUSPECT": "WARN", "FAILED": "WARN"}
    found = []
    for row in regressions:
        whole = row["suite"] == ALL and row["difficulty"] == ALL
        verdict = of_verdict.get(row["verdict"])
        if whole and verdict is None:
            verdict = "PASS" if row["verdict"] == "OK" else "WARN"
        elif whole and row["verdict"] == "FAILED":
            verdict = "INCONCLUSIVE"
        if verdict is not None:
            found.append(Reason(verdict, _place(row), f"{row['verdict']}: {row['reason']}"))
    return found


def _place(row: Row) -> str:
    other = "the baseline" if row["against"] == "pinned" else "the step before"
    names = [name for name in (row["suite"], row["difficulty"]) if name != ALL]
    return ", ".join([f"beside {other}", *names])
