"""Data map: where each example stands over the checkpoints of a run.

Dataset cartography (Swayamdipta et al. 2020, "Dataset Cartography: Mapping and Diagnosing Datasets
with Training Dynamics"): the mean of the target's probability over checkpoints, its spread, and the
region that these make. Beside it how often an example that was right turned wrong (forgetting
events: Toneva et al. 2019, "An Empirical Study of Example Forgetting"), and whether it was ever
right. A query over the histories, which are folded one checkpoint at a time; the limits of the
regions are the one row that is derived here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table, delete, insert

from settings import DataMapSettings, Settings
from store.log import Recorded
from store.projections import Projection
from store.schema import REAL_NUMBER, derived
from views.history import HISTORY
from views.scope import CHANGES, settings_text
from views.view import Column, View

AMBIGUOUS, EASY, HARD = "ambiguous", "easy-to-learn", "hard-to-learn"

LIMITS: Table = derived(
    "data_map_limit",
    SqlColumn("ambiguous_spread", REAL_NUMBER, nullable=False),
    SqlColumn("easy_probability", REAL_NUMBER, nullable=False),
    PrimaryKeyConstraint("ambiguous_spread", "easy_probability"),
)


def derive(
    settings: DataMapSettings,
    connection: Connection,
    events: Sequence[Recorded],  # noqa: ARG001 - whatever happened, the limits are the same
) -> None:
    """Writes the limits of the regions."""
    connection.execute(delete(LIMITS))
    connection.execute(insert(LIMITS), settings.model_dump())


COLUMNS = (
    Column("run", "Run", "text", "The training run: the folder that the checkpoints lie in."),
    Column("example_id", "Example", "id", "Digest of what the model sees and what it should say."),
    Column("suite", "Suite", "text", "The suite that it counts in, by its name in milepost.toml."),
    Column("role", "Role", "text", "validation measures; mining is the pool for new data."),
    Column("difficulty", "Difficulty", "text", "The example's own, or else the suite's."),
    Column("skill", "Skill", "text", "The skill that the suite's row names."),
    Column(
        "region",
        "Region",
        "text",
        "ambiguous, easy-to-learn or hard-to-learn; NULL before it was measured twice.",
    ),
    Column(
        "probability",
        "Probability",
        "share",
        "Mean over checkpoints of the target's probability, a token: exp(−loss).",
    ),
    Column(
        "spread",
        "Spread",
        "number",
        "Standard deviation of that probability over checkpoints; NULL of one.",
    ),
    Column("times_measured", "Measured", "count", "Checkpoints that these two are of."),
    Column("times_right", "Times right", "count", "Checkpoints that had it right."),
    Column("times_seen", "Times graded", "count", "Checkpoints at which it was graded."),
    Column("forgetting_events", "Forgotten", "count", "Times that it turned from right to wrong."),
    Column("never_learned", "Never learned", "flag", "Graded twice or more, and never right."),
    Column("was_right", "Right", "flag", "Whether it was right when it was graded last."),
    Column("prompt", "Prompt", "text", "The last thing that the user says."),
    Column("target", "Target", "text", "The answer that it should give."),
    Column("generated_text", "Answer", "text", "What the newest checkpoint wrote or chose."),
)


def view(settings: Settings) -> View:
    """The examples of every run, those that are forgotten most often first."""
    return View(
        name="data-map",
        title="Data map",
        question="Which examples are learned, which waver, and which are never learned?",
        sql_view="data_map",
        columns=COLUMNS,
        order="run, forgetting_events DESC, spread DESC, example_id",
        brief=(
            "run",
            "suite",
            "difficulty",
            "region",
            "probability",
            "spread",
            "times_right",
            "times_seen",
            "forgetting_events",
            "prompt",
            "target",
        ),
        projections=(
            HISTORY,
            Projection(
                name="data_map",
                version=1,
                tables=(LIMITS,),
                listens=CHANGES,
                derive=partial(derive, settings.data_map),
                reads=("history",),
                settings=settings_text(settings.data_map),
            ),
        ),
    )
