"""What can be asked with SQL or exported and has no page of its own, column by column.

`milepost show` prints the events alone: predictions are too many for it.
"""

from __future__ import annotations

from typing import NamedTuple

from views.scope import SUBJECT, TIER
from views.test_results import MEASURED, SUITE
from views.view import Column


class Relation(NamedTuple):
    """A SQL view or table for people; `about` says what a row is."""

    name: str
    about: str
    columns: tuple[Column, ...]


RUN, CHECKPOINT, STEP = SUBJECT

PREDICTIONS = Relation(
    "predictions",
    "What a checkpoint did with an example: one row an example, sample and suite, of the evaluation"
    " that the views show. With `error` set, every measurement is NULL.",
    (
        RUN,
        CHECKPOINT,
        STEP,
        Column("evaluation_id", "Evaluation", "id", "The evaluation that recorded it."),
        Column("suite", "Suite", "text", "The suite's name in milepost.toml."),
        Column("difficulty", "Difficulty", "text", "The example's own, or else the suite's."),
        Column("skill", "Skill", "text", "The skill that the suite's row names."),
        Column("example_id", "Example", "id", "Digest of what the model sees and should say."),
        Column("sample", "Sample", "count", "0, or which of several answers to one example."),
        Column("line", "Line", "count", "Where the example stands in the suite's file."),
        Column("kind", "Kind", "text", "chat, completion, choice or text (for its loss alone)."),
        Column("prompt", "Prompt", "text", "The last thing that the user says."),
        Column("target", "Target", "text", "What it should say."),
        Column("choices", "Choices", "json", "The options, for a choice."),
        Column("generated_text", "Answer", "text", "What it wrote."),
        Column("grader", "Grader", "text", "What judged the answer, with its version."),
        Column("correct", "Correct", "flag", "What the grader says; NULL if it was not graded."),
        Column("score", "Score", "share", "The credit that the grader gives."),
        Column("parsed", "Parsed", "text", "The answer that the grader found in the text."),
        Column("expected", "Expected", "text", "The answer that the grader looked for."),
        Column("error_class", "Mistake", "text", "What kind of mistake it is."),
        Column("confidence", "Confidence", "share", "The probability of the answer."),
        Column("loss", "Loss", "nats", "Mean negative log-likelihood of a target token."),
        Column("finish_reason", "Finish", "text", "eos, stop, or length: cut by the token limit."),
        Column("error", "Error", "text", "Why nothing was measured."),
        Column("prompt_tokens", "Prompt tokens", "count", "Tokens of the prompt, as it was run."),
        Column("prompt_truncated", "Truncated", "flag", "Whether the prompt was cut to fit."),
        Column("generated_tokens", "Answer tokens", "count", "Tokens that it wrote."),
        Column("generated_logprob", "Answer", "nats", "Log-probability of the answer, summed."),
        Column("generated_min_logprob", "Answer, least", "nats", "The least of its tokens."),
        Column("generated_entropy", "Answer, entropy", "nats", "Mean entropy of its tokens."),
        Column("target_tokens", "Target tokens", "count", "Tokens of the target."),
        Column("target_bytes", "Target bytes", "bytes", "Bytes of the target, in UTF-8."),
        Column("target_logprob", "Target", "nats", "Log-probability of the target, summed."),
        Column("target_min_logprob", "Target, least", "nats", "The least of its tokens."),
        Column("target_entropy", "Target, entropy", "nats", "Mean entropy of its tokens."),
        Column("target_margin", "Margin", "nats", "Mean of first minus second guess."),
        Column("target_rank", "Rank", "number", "Mean rank of its tokens; 0 is the first guess."),
        Column("target_top1", "First guesses", "count", "Target tokens that were the first guess."),
        Column("target_first_miss", "First miss", "count", "The first that was not, from 0."),
        Column("logprob_at_temperature", "Tempered", "json", "Temperature to target_logprob."),
        Column("choice_logprobs", "Choices", "json", "Log-probability of each option, in nats."),
    ),
)  # fmt: skip

EVALUATIONS = Relation(
    "evaluations",
    "An evaluation of a checkpoint, finished or not. A checkpoint has several when its suites or "
    "the settings that change numbers were changed in between.",
    (
        Column("evaluation_id", "Evaluation", "id", "Digest of checkpoint, suites and settings."),
        RUN,
        CHECKPOINT,
        STEP,
        Column("status", "Status", "text", "started, completed, failed or abandoned."),
        Column("current", "Current", "flag", "Whether it is the one that the views show."),
        Column("attempt", "Attempt", "count", "How many times it was begun."),
        Column("examples", "Examples", "count", "Examples that it has to record."),
        Column("scored", "Scored", "count", "Predictions recorded that gave a measurement."),
        Column("failed", "Not scored", "count", "Predictions recorded that are an error instead."),
        Column("started_at", "Started", "time", "When its latest attempt began."),
        Column("finished_at", "Finished", "time", "When it completed, failed or was abandoned."),
        Column("seconds", "Took", "seconds", "From loading the model to the last prediction."),
        Column("load_seconds", "Loading", "seconds", "The part of it that loading took."),
        Column("prompt_tokens", "Prompt tokens", "count", "Tokens of all prompts."),
        Column("target_tokens", "Target tokens", "count", "Tokens of all targets."),
        Column("generated_tokens", "Answer tokens", "count", "Tokens that were written."),
        Column("peak_bytes", "Peak memory", "bytes", "The process's most resident memory."),
        Column("device_peak_bytes", "Peak on device", "bytes", "The same, on the accelerator."),
        Column("device", "Device", "text", "Where the model ran, such as cpu or cuda."),
        Column("dtype", "Type", "text", "The type that the weights were loaded as."),
        Column("host", "Host", "text", "The machine that ran it."),
        Column("pid", "Process", "count", "The process that ran it."),
        Column("evaluator_version", "Evaluator", "text", "Raised when numbers would differ."),
        Column("prompt_format", "Prompt format", "text", "How prompts were made from examples."),
        Column("error", "Error", "text", "The class of the error that ended it."),
        Column("message", "Message", "text", "The error's own words."),
        Column("retriable", "Retriable", "flag", "Whether trying again can help."),
        TIER,
        Column("quick_examples", "Quick tier", "count", "Examples that were measured first."),
        Column("quick_at", "Quick tier in", "time", "When these were all recorded."),
        Column("quick_seconds", "Quick tier took", "seconds", "From loading the model till then."),
    ),
)  # fmt: skip

EVENTS = Relation(
    "event",
    "A fact: the log itself. docs/events.md has the payload of each type.",
    (
        Column("position", "Position", "count", "Orders everything in the log."),
        Column("event_id", "Event", "id", "UUID of what makes the fact unique."),
        Column("stream", "Stream", "text", "The subject of the fact, as KIND/ID."),
        Column("version", "Version", "count", "Orders the facts about one subject."),
        Column("type", "Type", "text", "What happened."),
        Column("schema_version", "Schema", "count", "Which fields the payload has."),
        Column("recorded_at", "Recorded", "time", "When it was appended."),
        Column("payload", "Payload", "json", "What the fact says."),
        Column("digest", "Digest", "id", "SHA-256 of the fact, its rows and the digest before."),
    ),
)  # fmt: skip

TEST_DIFFICULTIES = Relation(
    "test_difficulties",
    "One difficulty of a suite's test: the same numbers as in test_results, for those examples.",
    (
        *SUBJECT,
        SUITE,
        Column("difficulty", "Difficulty", "text", "The example's own, or else the suite's."),
        *MEASURED,
        Column("reason", "Reason", "text", "Why a number is missing, or what it leaves out."),
    ),
)  # fmt: skip

EXPORTS = Relation(
    "exports",
    "A file of examples that was written to be trained on.",
    (
        *SUBJECT,
        Column("kind", "Kind", "text", "hard-examples or corrections."),
        Column("file", "File", "text", "Where it was written to."),
        Column("digest", "Digest", "id", "SHA-256 of what was written."),
        Column("n", "Examples", "count", "How many it holds."),
        Column("filter", "Asked for", "json", "What was asked for, by column; {}: everything."),
        Column("left_out", "Left out", "json", "How many were left out, by reason."),
        Column("exported_at", "Exported", "time", "When it was written."),
    ),
)

RELATIONS = (PREDICTIONS, EVALUATIONS, TEST_DIFFICULTIES, EXPORTS, EVENTS)
