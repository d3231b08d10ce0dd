"""Checkpoints: what arrived, where it stands, and what was refused. Straight from the lifecycle."""

from __future__ import annotations

from settings import Settings
from views.scope import SUBJECT
from views.view import Column, View

COLUMNS = (
    *SUBJECT,
    Column("path", "Path", "text", "The folder that it lies or lay in."),
    Column("bytes", "Size", "bytes", "Weights, config and tokenizer files together."),
    Column("arrived_at", "Arrived", "time", "When it was first seen whole, or was refused."),
    Column(
        "status",
        "Status",
        "text",
        "arrived, evaluating, evaluated, failed, removed (its folder is gone) or rejected.",
    ),
    Column("reason", "Reason", "text", "Why it failed, was removed or was rejected."),
    Column("kind", "Kind", "text", "full, or adapter: weights on top of a base model."),
    Column("architecture", "Architecture", "text", "The model class that its config names."),
    Column("parameters", "Parameters", "count", "How many numbers its weights hold."),
    Column("dtype", "Type", "text", "The type of most of its weights."),
    Column("epoch", "Epoch", "number", "Passes over the training data, by trainer_state.json."),
    Column("train_loss", "Training loss", "nats", "The newest one in trainer_state.json."),
    Column("learning_rate", "Learning rate", "number", "The newest one in trainer_state.json."),
    Column("evaluation_id", "Evaluation", "id", "The evaluation that the views show."),
    Column("examples", "Examples", "count", "Examples that it has to record."),
    Column("scored", "Scored", "count", "Predictions recorded that gave a measurement."),
    Column("failed", "Not scored", "count", "Predictions recorded that are an error instead."),
    Column("evaluated_at", "Evaluated", "time", "When its evaluation completed."),
    Column("seconds", "Took", "seconds", "From loading the model to the last prediction."),
    Column("peak_bytes", "Peak memory", "bytes", "The evaluator process's most resident memory."),
    Column("evaluations", "Evaluations", "count", "Completed ones; views show the newest."),
    Column("paths", "Folders", "json", "All folders that hold it now; the views name the first."),
    Column("pinned", "Pinned", "flag", "Whether it is its run's baseline (`milepost pin`)."),
)


def view(settings: Settings) -> View:  # noqa: ARG001 - every view takes them
    """Every checkpoint, and every folder that was refused."""
    return View(
        name="checkpoints",
        title="Checkpoints",
        question="Which checkpoints are there, and where does each stand?",
        sql_view="checkpoints",
        columns=COLUMNS,
        order="run, step, arrived_at, path",
        brief=(
            "run",
            "step",
            "status",
            "train_loss",
            "evaluated_at",
            "evaluations",
            "seconds",
            "reason",
        ),
    )
