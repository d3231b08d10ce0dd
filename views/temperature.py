"""Temperature: would dividing all logits by one number make the confidences fit?

The temperature T is fitted on one half of the examples, drawn from a seed that their ids make, and
tested on the other half (Guo et al. 2017, On Calibration of Modern Neural Networks). Two things can
be mended with what the log holds:

- choices: T divides the log-probabilities of a question's choices. It is the one with the least log
  score of the chosen options, and exact. The log score and the ECE stand for before and after.
- targets: T divides the logits of every token. It is the one that makes the targets likeliest: the
  negative log-likelihood was measured at the temperatures of [evaluation]. It is smooth and convex
  in 1/T, so between these it is a parabola in 1/T through the lowest one and its two neighbours.
  Where the lowest is the first or the last, no T is told. What the confidence of the written answer
  would be at another temperature is not in the log, and so there is no ECE.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table, delete, insert, select

from settings import CalibrationSettings, Settings
from store.projections import Projection
from store.schema import INTEGER, PREDICTION, REAL_NUMBER, TEXT, derived
from store.tuples import fetch
from views.answers import VALIDATION, Answers
from views.blocks import answers_of, ending_of
from views.grading import CHOICE, CHOICE_NORM
from views.scope import EARLY_CHANGES, SUBJECT, per_evaluation, settings_text
from views.tempering import Choices, Targets, Temperature, What, of_choices, of_targets
from views.view import Column, View

WHATS: tuple[What, ...] = ("choices", "targets")

TEMPERATURE: Table = derived(
    "temperature",
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("what", TEXT, nullable=False),
    SqlColumn("n_fit", INTEGER, nullable=False),
    SqlColumn("n_test", INTEGER, nullable=False),
    SqlColumn("temperature", REAL_NUMBER),
    SqlColumn("nll_before", REAL_NUMBER),
    SqlColumn("nll_after", REAL_NUMBER),
    SqlColumn("nll_change", REAL_NUMBER),
    SqlColumn("nll_change_low", REAL_NUMBER),
    SqlColumn("nll_change_high", REAL_NUMBER),
    SqlColumn("ece_before", REAL_NUMBER),
    SqlColumn("ece_after", REAL_NUMBER),
    SqlColumn("verdict", TEXT),
    SqlColumn("reason", TEXT, nullable=False),
    PrimaryKeyConstraint("evaluation_id", "what"),
)


def derive(settings: CalibrationSettings, connection: Connection, evaluation_id: str) -> None:
    """Writes the temperatures of one evaluation anew; of what it has nothing of, none."""
    connection.execute(delete(TEMPERATURE).where(TEMPERATURE.c.evaluation_id == evaluation_id))
    ending = ending_of(connection, evaluation_id, quick=True)
    if ending is None:
        return
    if ending.reason is not None:
        found = [Temperature(one, 0, 0, reason=ending.reason) for one in WHATS]
    else:
        answers = answers_of(connection, evaluation_id).of_role(VALIDATION).once()
        found = _found(connection, evaluation_id, answers, settings)
        if ending.quick is not None:
            words = ending.quick.words
            found = [replace(one, reason=f"{words} {one.reason}") for one in found]
    rows: list[dict[str, Any]] = [{"evaluation_id": evaluation_id, **vars(one)} for one in found]
    if rows:
        connection.execute(insert(TEMPERATURE), rows)


def _found(
    connection: Connection, evaluation_id: str, answers: Answers, settings: CalibrationSettings
) -> list[Temperature]:
    recorded = select(
        PREDICTION.c.example_id,
        PREDICTION.c.sample,
        PREDICTION.c.logprob_at_temperature,
        PREDICTION.c.choice_logprobs,
    ).where(PREDICTION.c.evaluation_id == evaluation_id)
    texts = {(row[0], row[1]): row[2:] for row in fetch(connection, recorded)}
    ids = (one.decode() for one in answers.example_id.tolist())
    keys = list(zip(ids, answers.sample.tolist(), strict=True))
    found = []
    chosen = answers.grader.are(CHOICE) | answers.grader.are(CHOICE_NORM)
    rows = [
        row
        for row in np.flatnonzero(chosen & answers.graded & ~np.isnan(answers.confidence)).tolist()
        if texts[keys[row]][1] is not None
    ]
    logprobs = {row: json.loads(texts[keys[row]][1]) for row in rows}
    rows = [row for row in rows if len(logprobs[row]) > 1]
    if rows:
        here = answers[np.array(rows, np.intp)]
        choices = Choices.of([logprobs[row] for row in rows], here)
        found.append(of_choices(choices, here.example_id.tolist(), settings))
    rows = [
        row
        for row in np.flatnonzero(answers.has_target & (answers.target_tokens > 0)).tolist()
        if texts[keys[row]][0] is not None
    ]
    if rows:
        here = answers[np.array(rows, np.intp)]
        targets = Targets.of([json.loads(texts[keys[row]][0]) for row in rows], here)
        found.append(of_targets(targets, here.example_id.tolist(), settings))
    return found


COLUMNS = (
    *SUBJECT,
    Column("what", "Of", "text", "choices or targets: what the temperature is to mend."),
    Column("temperature", "Temperature", "number", "Below 1 it sharpens, above 1 it softens."),
    Column("n_fit", "Fitted on", "count", "Examples of the half that it was fitted on."),
    Column("n_test", "Tested on", "count", "Examples of the other half, that all else is of."),
    Column("nll_before", "NLL, before", "nats", "A target token's, or a choice's log score."),
    Column("nll_after", "NLL, after", "nats", "The same at the temperature."),
    Column("nll_change", "NLL, change", "nats", "After, less before: below 0 is better."),
    Column("nll_change_low", "NLL change, low", "nats", "Lower end of its 95 % interval."),
    Column("nll_change_high", "NLL change, high", "nats", "Upper end of its 95 % interval."),
    Column("ece_before", "ECE, before", "share", "Of choices: expected calibration error."),
    Column("ece_after", "ECE, after", "share", "The same at the temperature."),
    Column("verdict", "Verdict", "text", "helps, no difference, harms, or why there is none."),
    Column("reason", "Reason", "text", "The numbers behind the verdict, or why there are none."),
)


def view(settings: Settings) -> View:
    """The temperatures of every evaluated checkpoint."""
    return View(
        name="temperature",
        title="Temperature",
        question="Would a temperature mend its confidence?",
        sql_view="temperatures",
        columns=COLUMNS,
        order="run, step, checkpoint_id, what",
        brief=(
            "run",
            "step",
            "what",
            "temperature",
            "nll_before",
            "nll_after",
            "ece_before",
            "ece_after",
            "verdict",
            "reason",
        ),
        projections=(
            Projection(
                name="temperature",
                version=1,
                tables=(TEMPERATURE,),
                listens=EARLY_CHANGES,
                derive=per_evaluation(partial(derive, settings.calibration)),
                reads=("lifecycle", "results"),
                settings=settings_text(settings.calibration),
            ),
        ),
    )
