"""The facts that the log holds: one frozen model an event type.

An event's id is a UUID5 of its type and `identity`, that is of what makes the fact unique, so the
same fact appended twice is one row. Its stream orders the facts about one subject.

A change to a model's fields raises its `schema_version`, adds the step from the version before to
UPCASTERS, and leaves a fixture of each version under tests/store/fixtures: what was written once
is read for ever, and never rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, ValidationError

from errors import UnknownEvent

NAMESPACE = UUID("6f1e5c1e-6d0a-5c4c-9b55-0d9a7f7f2b11")


class Event(BaseModel):
    """What every event has: a stream, an identity, and a payload that never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: ClassVar[int] = 1
    # The subject that the fact is about, as KIND/{field}.
    about: ClassVar[str]
    # The fields that make the fact unique among the events of its type.
    unique: ClassVar[tuple[str, ...]]

    @property
    def stream(self) -> str:
        """The subject that this fact is about, as KIND/ID."""
        return self.about.format_map(self.__dict__)

    @property
    def event_id(self) -> str:
        """UUID5 of the type and of what makes the fact unique."""
        identity = [type(self).__name__, *(str(getattr(self, name)) for name in self.unique)]
        return str(uuid5(NAMESPACE, "\n".join(identity)))

    def payload(self) -> str:
        """Canonical JSON: sorted keys, no non-finite numbers."""
        return json.dumps(
            self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, allow_nan=False
        )


class Refusal(BaseModel):
    """A row of a suite that could not be used, and why."""

    model_config = ConfigDict(frozen=True)

    line: int
    reason: str


class SuiteRegistered(Event):
    """A suite was read. A changed role or grader registers the same suite once more.

    `suite_id` is a digest of the name and the examples; `revision` counts the registrations.
    `graded_by` is the grader version that `milepost regrade` chose, in place of `grader`, until
    milepost.toml names another one.
    """

    schema_version = 2
    about = "suite/{suite_id}"
    unique = ("suite_id", "revision")

    suite_id: str
    revision: int
    name: str
    path: str
    difficulty: str | None
    role: Literal["validation", "mining"]
    grader: str
    graded_by: str | None
    rows_read: int
    examples: int
    duplicates: int
    refused: tuple[Refusal, ...]


class SyncCompleted(Event):
    """rsync brought one checkpoint whole, or found nothing new where it had failed before.

    `run`, `name` and `path` are None for the latter.
    """

    about = "sync/{source}"
    unique = ("source", "run", "name", "at")

    source: str
    run: str | None
    name: str | None
    path: str | None
    files: int
    bytes: int
    seconds: float
    at: str


class SyncFailed(Event):
    """rsync ended with an error; `message` holds its last words."""

    about = "sync/{source}"
    unique = ("source", "run", "name", "at")

    source: str
    run: str | None
    name: str | None
    rsync_exit_code: int | None
    message: str
    seconds: float
    at: str


class CheckpointArrived(Event):
    """A complete checkpoint with content not seen before.

    `checkpoint_id` is a digest of weights, config and tokenizer files. `bytes` counts those files.
    The last three come from trainer_state.json and are None where it does not say.
    """

    about = "checkpoint/{checkpoint_id}"
    unique = ("checkpoint_id",)

    checkpoint_id: str
    run: str
    step: int
    path: str
    bytes: int
    dtype: str
    architecture: str
    parameters: int
    kind: Literal["full", "adapter"]
    epoch: float | None
    train_loss: float | None
    learning_rate: float | None


class CheckpointRejected(Event):
    """A folder that looks like a checkpoint but cannot become one.

    `fingerprint` is of the names, sizes and mtimes seen, so a mended folder is judged anew.
    """

    about = "rejected/{path}"
    unique = ("path", "fingerprint", "reason")

    run: str
    path: str
    step: int | None
    reason: str
    fingerprint: str


class CheckpointRemoved(Event):
    """The folder of a checkpoint is gone. Its predictions stay."""

    about = "checkpoint/{checkpoint_id}"
    unique = ("checkpoint_id", "path", "at")

    checkpoint_id: str
    path: str
    reason: str
    at: str


class CheckpointFound(Event):
    """A checkpoint that the log knows lies where it did not: it is back, was moved or copied.

    `run` and `step` are what that folder says; the checkpoint keeps those that it arrived with.
    """

    about = "checkpoint/{checkpoint_id}"
    unique = ("checkpoint_id", "path", "at")

    checkpoint_id: str
    run: str
    step: int
    path: str
    at: str


class BaselinePinned(Event):
    """A person chose the checkpoint that a run is held against, or took the choice back (None)."""

    about = "run/{run}"
    unique = ("run", "at")

    run: str
    checkpoint_id: str | None
    step: int | None
    note: str | None
    at: str


class EvaluationStarted(Event):
    """A worker claimed an evaluation; a later attempt takes over from a dead one.

    `examples` is the number of examples to record over all attempts; `plan` describes this
    attempt's batches. `settings` are those that change numbers; `again` among them says that it is
    the first, second … evaluation beside an earlier one of the same. `fallback` is the reason why
    the examples go through the model one at a time, None if they go in batches; `quick` counts the
    examples that come first for an early verdict, None if none do.
    """

    schema_version = 2
    about = "evaluation/{evaluation_id}"
    unique = ("evaluation_id", "attempt")

    evaluation_id: str
    attempt: int
    checkpoint_id: str
    suites: tuple[str, ...]
    examples: int
    evaluator_version: str
    host: str
    pid: int
    device: str
    dtype: str
    attention: str
    prompt_format: str
    libraries: dict[str, str]
    plan: dict[str, int]
    settings: dict[str, Any]
    fallback: str | None
    quick: int | None


class PredictionsRecorded(Event):
    """A batch of predictions; its rows are in `prediction`, written in the same transaction.

    `batch` is a digest of the example ids and samples in it. `scored` and `failed` count examples:
    the rows with sample 0.
    """

    about = "evaluation/{evaluation_id}"
    unique = ("evaluation_id", "batch")

    evaluation_id: str
    batch: str
    scored: int
    failed: int


class QuickTierCompleted(Event):
    """The examples that come first are recorded, and no others: views show a first verdict.

    `scored` and `failed` count those examples, `examples` all that the evaluation has. `seconds`
    are of the attempt that recorded the last of them, from loading the model.
    """

    about = "evaluation/{evaluation_id}"
    unique = ("evaluation_id",)

    evaluation_id: str
    checkpoint_id: str
    suites: tuple[str, ...]
    examples: int
    scored: int
    failed: int
    seconds: float


class EvaluationCompleted(Event):
    """Every example of every suite is recorded.

    `seconds` and the token counts are of the attempt that completed it; `peak_bytes` is the
    evaluator process's peak resident memory, `device_peak_bytes` the accelerator's (None on CPU).
    """

    about = "evaluation/{evaluation_id}"
    unique = ("evaluation_id",)

    evaluation_id: str
    checkpoint_id: str
    scored: int
    failed: int
    seconds: float
    load_seconds: float
    prompt_tokens: int
    target_tokens: int
    generated_tokens: int
    peak_bytes: int
    device_peak_bytes: int | None


class EvaluationFailed(Event):
    """An attempt ended in an error. `retriable` says whether trying again can help."""

    about = "evaluation/{evaluation_id}"
    unique = ("evaluation_id", "attempt")

    evaluation_id: str
    attempt: int
    checkpoint_id: str
    suites: tuple[str, ...]
    error: str
    message: str
    retriable: bool


class EvaluationAbandoned(Event):
    """No further attempt will be made, for instance because the checkpoint is gone."""

    about = "evaluation/{evaluation_id}"
    unique = ("evaluation_id",)

    evaluation_id: str
    checkpoint_id: str
    suites: tuple[str, ...]
    reason: str


class Notice(BaseModel):
    """An alert as it stood when somebody was told of it, or acknowledged it.

    `alert_id` names one occurrence: an alert that ended and came back has another. `subject` is
    the stream of the log that it is about.
    """

    model_config = ConfigDict(frozen=True)

    alert_id: str
    kind: str
    subject: str
    run: str | None
    checkpoint_id: str | None
    step: int | None
    severity: str
    title: str
    detail: str
    raised_at: str


class AlertSending(Event):
    """One message about these alerts is about to go to a place that [notify.to] names.

    It is the claim on them: appended before the message goes, by the process that sends it. One
    that neither AlertSent nor AlertNotSent follows may have gone out, and is never sent again.
    """

    about = "notify/{place}"
    unique = ("place", "number", "host", "pid")

    place: str
    number: int
    alerts: tuple[Notice, ...]
    host: str
    pid: int


class AlertSent(Event):
    """The message was handed over: the service took it."""

    about = "notify/{place}"
    unique = ("place", "number")

    place: str
    number: int
    alerts: tuple[str, ...]
    seconds: float


class AlertNotSent(Event):
    """The service did not take the message; its alerts are tried again later.

    `reason` has nothing of the address, which may hold a secret.
    """

    about = "notify/{place}"
    unique = ("place", "number")

    place: str
    number: int
    alerts: tuple[str, ...]
    reason: str


class AlertAcknowledged(Event):
    """A person has seen an alert, and says what comes of it."""

    about = "alert/{alert.alert_id}"
    unique = ("alert_id", "at")

    alert: Notice
    note: str
    by: str
    at: str

    @property
    def alert_id(self) -> str:
        """The occurrence that is acknowledged."""
        return self.alert.alert_id


class ExamplesExported(Event):
    """Examples of the mining pool were written to a file, as data to train on.

    They are what the checkpoint got wrong, or was unsure of. `filter` is what was asked for, by
    column; one that is not in it was not asked about. `left_out` counts by reason those that fit it
    and are not in the file. `digest` is the file's SHA-256.
    """

    about = "exports/{kind}"
    unique = ("kind", "file", "digest", "at")

    kind: Literal["hard-examples", "corrections"]
    file: str
    digest: str
    run: str
    checkpoint_id: str
    step: int
    evaluation_id: str
    filter: dict[str, tuple[str, ...]]
    examples: tuple[str, ...]
    left_out: dict[str, int]
    at: str


TYPES: dict[str, type[Event]] = {
    model.__name__: model
    for model in (
        SuiteRegistered,
        SyncCompleted,
        SyncFailed,
        CheckpointArrived,
        CheckpointRejected,
        CheckpointRemoved,
        CheckpointFound,
        EvaluationStarted,
        PredictionsRecorded,
        QuickTierCompleted,
        EvaluationCompleted,
        EvaluationFailed,
        EvaluationAbandoned,
        BaselinePinned,
        AlertSending,
        AlertSent,
        AlertNotSent,
        AlertAcknowledged,
        ExamplesExported,
    )
}

Payload = dict[str, Any]


def _without_a_choice_of_grader(payload: Payload) -> Payload:
    """Version 1 knew only the grader that milepost.toml names."""
    return {**payload, "graded_by": None}


def _without_a_reason_for_the_way_taken(payload: Payload) -> Payload:
    """Version 1 knew whether the examples went one at a time, not why, and no quick tier."""
    one_at_a_time = payload["plan"].get("one_at_a_time", 0)
    return {**payload, "fallback": "not recorded" if one_at_a_time else None, "quick": None}


# (type, version) -> the step to the next version.
UPCASTERS: dict[tuple[str, int], Callable[[Payload], Payload]] = {
    ("SuiteRegistered", 1): _without_a_choice_of_grader,
    ("EvaluationStarted", 1): _without_a_reason_for_the_way_taken,
}


def load(type_name: str, schema_version: int, payload: str, position: int) -> Event:
    """The event that a row of the log holds, upcast to today's schema.

    Raises UnknownEvent, naming the position, for a type, version or payload that does not fit.
    """
    model = known(type_name, schema_version, position)
    fields: Payload = json.loads(payload)
    try:
        for version in range(schema_version, model.schema_version):
            fields = UPCASTERS[type_name, version](fields)
        return model.model_validate(fields)
    except (ValidationError, LookupError, TypeError, AttributeError) as error:
        raise UnknownEvent(
            f"position {position} of the log holds a {type_name} that does not fit: {error}"
        ) from error


def known(type_name: str, schema_version: int, position: int) -> type[Event]:
    """The model of an event type. Raises UnknownEvent for a type or version that is not known."""
    model = TYPES.get(type_name)
    if model is not None and 1 <= schema_version <= model.schema_version:
        return model
    what = "type" if model is None else f"version {schema_version} of type"
    raise UnknownEvent(
        f"position {position} of the log has the unknown {what} {type_name!r}: a newer "
        "Milepost wrote it. Use that version to read this log."
    )
