"""The sentence at the top: what changed with the newest checkpoint, and what to do about it.

Pure: rows of the views in, words out. The newest checkpoint is the one with the highest step whose
evaluation has ended; what it is compared with, and how, is the regression view's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from views.judging import ALL
from views.pages import words
from views.pages.meanings import Tone
from views.regression import PREVIOUS

Row = dict[str, Any]


class Verdict(NamedTuple):
    """`word` is the badge, `sentence` the answer, `reason` the numbers or the error behind it.

    `keep` is the row of the checkpoint to go on with, from the ranking; None if there is none yet.
    """

    tone: Tone
    word: str
    sentence: str
    reason: str | None = None
    keep: Row | None = None


def judge(
    checkpoints: Sequence[Row], regressions: Sequence[Row], ranking: Sequence[Row]
) -> Verdict:
    """The verdict on one run, from its rows of these three views, in the views' order.

    One that rests on a quick tier says so, and is not the last word.
    """
    if not regressions:
        return _nothing_ended(checkpoints)
    judged = _judge(regressions, best(ranking))
    newest = regressions[-1]
    if newest["tier"] != "quick":
        return judged
    return judged._replace(
        word=f"{judged.word}, so far",
        sentence=f"{judged.sentence} This is the quick tier: the full suites will tell.",
        reason=judged.reason or newest["reason"],
    )


def _judge(regressions: Sequence[Row], keep: Row | None) -> Verdict:
    about = [row for row in regressions if row["checkpoint_id"] == regressions[-1]["checkpoint_id"]]
    totals = [row for row in about if _is_total(row)]
    groups = [row for row in about if not _is_total(row)]
    # The rows against the checkpoint before it come first.
    newest = totals[0]
    if newest["verdict"] == "FAILED":
        return _failed(newest, keep)
    for verdict in ("REGRESSED", "SUSPECT"):
        for total in totals:
            worse = [
                row
                for row in groups
                if row["verdict"] == verdict and row["against"] == total["against"]
            ]
            if worse or total["verdict"] == verdict:
                return _worse(total, worse, keep, certain=verdict == "REGRESSED")
    unmeasured = [
        row for row in groups if row["verdict"] == "FAILED" and row["against"] == PREVIOUS
    ]
    if unmeasured:
        return _partly_failed(newest, unmeasured, keep)
    return _no_worse(newest, keep)


def _is_total(row: Row) -> bool:
    return bool(row["suite"] == row["difficulty"] == ALL)


def best(ranking: Sequence[Row]) -> Row | None:
    """The first in the ranking; of several that share the first place the newest."""
    first = [row for row in ranking if row["rank"] == 1]
    return max(first, key=lambda row: int(row["step"])) if first else None


def looking_back(regressions: Sequence[Row]) -> str | None:
    """A sentence on the regressions before the newest checkpoint; None if there was none."""
    newest = regressions[-1]["checkpoint_id"] if regressions else None
    steps: dict[int, Row] = {}
    for row in regressions:
        final = row["verdict"] == "REGRESSED" and row["tier"] == "full"
        if final and row["checkpoint_id"] != newest:
            steps.setdefault(row["step"], row)
    if not steps:
        return None
    *others, step = sorted(steps)
    last = steps[step]
    where = "" if last["suite"] == ALL else f" on {labels([last])[0]}"
    sentence = (
        f"Earlier in this run, step {step} was worse than {_compared_with(last)}{where}: "
        f"{change(last)}."
    )
    if others:
        also = words.listed([str(one) for one in others[-4:]])
        sentence += f" So was {'step' if len(others) == 1 else 'each of steps'} {also}."
    return sentence


def labels(groups: Sequence[Row]) -> list[str]:
    """What to call each group: its difficulty, or its suite where two share a difficulty."""
    times = Counter(row["difficulty"] for row in groups)
    return [
        row["difficulty"]
        if row["suite"] == ALL
        or (times[row["difficulty"]] == 1 and row["difficulty"] in ("easy", "medium", "hard"))
        else row["suite"]
        for row in groups
    ]


def change(row: Row) -> str:
    """loss +59 %, accuracy 86 % → 40 %: as much of it as was measured."""
    parts = []
    if row["loss_change"] is not None:
        parts.append(f"loss {words.signed_percent(row['loss_change'])}")
    if row["accuracy_before"] is not None and row["accuracy"] is not None:
        before, now = words.percent(row["accuracy_before"]), words.percent(row["accuracy"])
        parts.append(f"accuracy {before} → {now}")
    return ", ".join(parts)


def _nothing_ended(checkpoints: Sequence[Row]) -> Verdict:
    waiting = [row for row in checkpoints if row["status"] in ("arrived", "evaluating")]
    at_work = [row for row in waiting if row["status"] == "evaluating"]
    if at_work:
        step = at_work[-1]["step"]
        return Verdict(
            "neutral", "First results soon", f"Step {step} is being evaluated; nothing has ended."
        )
    if waiting:
        have = "has" if len(waiting) == 1 else "have"
        return Verdict(
            "neutral",
            "Not evaluated yet",
            f"Nothing is evaluated yet. {words.count(len(waiting), 'checkpoint')} {have} arrived: "
            "start the evaluator.",
        )
    return Verdict("neutral", "Nothing yet", "Nothing is evaluated yet: no checkpoint is here.")


def _failed(newest: Row, keep: Row | None) -> Verdict:
    sentence = f"The evaluation of step {newest['step']} FAILED, so nothing is known about it."
    if keep is not None:
        sentence += f" Keep step {keep['step']} and mend what failed."
    return Verdict("bad", "FAILED", sentence, newest["reason"], keep)


def _partly_failed(newest: Row, unmeasured: Sequence[Row], keep: Row | None) -> Verdict:
    names = words.listed(labels(unmeasured))
    sentence = f"Step {newest['step']} FAILED on {names}: nothing was measured there."
    if keep is not None:
        sentence += f" Keep step {keep['step']}."
    return Verdict("bad", "FAILED", sentence, unmeasured[0]["reason"], keep)


def _worse(newest: Row, worse: Sequence[Row], keep: Row | None, *, certain: bool) -> Verdict:
    said = worse[0] if len(worse) == 1 else newest
    where = f" on {words.listed(labels(worse))}" if worse else " over all examples"
    numbers = change(said)
    step, before = newest["step"], _compared_with(newest)
    verb = "is" if certain else "may be"
    sentence = f"Step {step} {verb} worse than {before}{where}" + (numbers and f": {numbers}") + "."
    if keep is not None and keep["step"] == step:
        sentence += " It still ranks first over all difficulties: look before you keep it."
    elif keep is not None:
        sentence += f" Keep step {keep['step']}."
    if not certain:
        sentence += " The next checkpoint will tell."
    word, tone = ("Regressed", "bad") if certain else ("Suspect", "warning")
    return Verdict("bad" if tone == "bad" else "warning", word, sentence, said["reason"], keep)


def _compared_with(row: Row) -> str:
    step = row["baseline_step"]
    return f"{step}" if row["against"] == PREVIOUS else f"the pinned step {step}"


def _no_worse(newest: Row, keep: Row | None) -> Verdict:
    step, before = newest["step"], newest["baseline_step"]
    numbers = _level(newest)
    if before is None:
        return Verdict(
            "neutral",
            "First of its run",
            f"Step {step} is the first measured{numbers}. The next one is compared with it.",
            None,
            keep,
        )
    if newest["verdict"] == "INCONCLUSIVE":
        return Verdict(
            "neutral",
            "Too few to tell",
            f"Whether step {step} is worse than {before} cannot be told. Add examples to the "
            "suites.",
            newest["reason"],
            keep,
        )
    if keep is None:
        return Verdict(
            "good", "No regression", f"Step {step} is no worse than {before}{numbers}.", None, keep
        )
    if keep["checkpoint_id"] == newest["checkpoint_id"]:
        return Verdict(
            "good",
            "Best so far",
            f"Step {step} is the best so far{numbers}. Keep it.",
            newest["reason"],
            keep,
        )
    return Verdict(
        "good",
        "No regression",
        f"Step {step} is no worse than {before}{numbers}. Keep step {keep['step']}, still the "
        "best.",
        newest["reason"],
        keep,
    )


def _level(row: Row) -> str:
    parts = []
    if row["accuracy"] is not None:
        parts.append(f"accuracy {words.percent(row['accuracy'])}")
    if row["loss"] is not None:
        parts.append(f"loss {words.nats(row['loss'])}")
    return f": {', '.join(parts)}" if parts else ""
