"""What a user sets in milepost.toml, and the workspace that file makes of its folder.

Every section is a frozen model, every key has a default, and an unknown key is an error that names
the nearest known one. `MILEPOST_SECTION__KEY` in the environment wins over the file.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import quote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from errors import SettingsError
from views.graders import own
from views.grading import Own, resolve

FILE_NAME = "milepost.toml"

Difficulty = Literal["easy", "medium", "hard"]
Role = Literal["validation", "mining"]
Observing = Literal["auto", "native", "polling"]
Think = Literal["keep", "drop"]
Order = Literal["newest", "oldest"]
Severity = Literal["critical", "warning"]
AlertKind = Literal[
    "regression",
    "failed_evaluation",
    "failing_test",
    "calibration_broken",
    "rejected_checkpoint",
    "sync_failed",
    "sync_stalled",
    "nothing_evaluated",
]

DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """One table of milepost.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(Section):
    """`[database]`: where the log lives. A relative SQLite path starts at the workspace."""

    url: str = "sqlite:///milepost.db"


class WatchSettings(Section):
    """`[watch]`: the folder in which checkpoints appear, as RUN/checkpoint-N, and what may come in.

    `run` names the run of checkpoints that stand right in that folder; None takes its name.
    `base_models` says where the models are that adapters name as theirs. `observer` "native" takes
    the system's hints of changes, "polling" the interval alone, and "auto" that on file systems of
    the network, which tell only of what this machine changes.
    """

    path: Path = Path("checkpoints")
    run: str | None = Field(default=None, min_length=1)
    observer: Observing = "auto"
    interval_seconds: Positive = 5.0
    debounce_seconds: Positive = 0.3
    incomplete_after_seconds: Positive = 600.0
    allow_pickle: bool = False
    base_models: dict[str, Path] = {}


class SyncSettings(Section):
    """`[sync]`: where the trainer saves. `source` is a folder or HOST:FOLDER, as rsync takes it.

    `bandwidth_limit` is in megabytes a second; None is as fast as it goes. `ssh_options` are those
    of ssh_config, such as "Port=2222".
    """

    source: str = ""
    interval_seconds: Positive = 300.0
    timeout_seconds: Count = 60
    bandwidth_limit: Annotated[float, Field(ge=0.001)] | None = None
    ssh_options: tuple[Annotated[str, Field(pattern=r"^[A-Za-z]\w*\s*[=\s]\s*\S")], ...] = ()
    exclude: tuple[str, ...] = (
        "optimizer.pt",
        "optimizer.bin",
        "optimizer_*/",
        "scheduler.pt",
        "scaler.pt",
        "rng_state*.pth",
        "global_step*/",
    )


class RetentionSettings(Section):
    """`[retention]`: what `milepost prune` keeps, and the limits beyond which it deletes.

    The counts are for each run; the size is of all checkpoints together. Without a limit nothing
    is deleted. `automatic` lets `milepost watch` prune after each arrival.
    """

    automatic: bool = False
    keep_newest: Count = 3
    keep_best: Annotated[int, Field(ge=0)] = 3
    max_count: Count | None = None
    max_age_days: Positive | None = None
    max_bytes: Count | None = None

    @property
    def limited(self) -> bool:
        """Whether any limit is set."""
        return any((self.max_count, self.max_age_days, self.max_bytes))


class SuiteSettings(Section):
    """One `[[suite]]`: a JSONL file of examples, and what it is for."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    path: Path
    difficulty: Difficulty | None = None
    role: Role = "validation"
    grader: str = "exact"
    pass_threshold: Share | None = None

    @field_validator("grader")
    @classmethod
    def _is_known(cls, grader: str) -> str:
        try:
            if grader.startswith(own.PREFIX):
                own.file_of(grader)
            else:
                resolve(grader)
        except SettingsError as error:
            raise ValueError(str(error)) from error
        return grader


class EvaluationSettings(Section):
    """`[evaluation]`: how the one pass over a checkpoint is run.

    `order` says which of the checkpoints that wait comes first. `quick_examples` are measured
    before the others, for a first verdict; 0 measures all at once. `think` "drop" takes think
    blocks out of targets and earlier answers. `generate_choices` writes a text for rows with
    choices too. `samples` texts are drawn at `sample_temperature` beside each greedy one. The model
    leaves memory when nothing has waited for `unload_after_seconds`.
    """

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: Count | None = None
    batch_tokens: Count = 4096
    memory_bytes: Count | None = None
    max_prompt_tokens: Count = 4096
    max_new_tokens: Count = 64
    stop: tuple[str, ...] = ()
    think: Think = "keep"
    generate_choices: bool = True
    samples: Annotated[int, Field(ge=0)] = 0
    sample_temperature: Positive = 1.0
    temperatures: tuple[Positive, ...] = (0.5, 0.75, 1.0, 1.5, 2.0)
    trace: bool = True
    interval_seconds: Positive = 2.0
    unload_after_seconds: Annotated[float, Field(ge=0.0)] = 300.0
    order: Order = "newest"
    quick_examples: Annotated[int, Field(ge=0)] = 64
    trust_remote_code: tuple[str, ...] = ()

    @field_validator("trust_remote_code")
    @classmethod
    def _names_a_folder(cls, folders: tuple[str, ...]) -> tuple[str, ...]:
        for folder in folders:
            if Path(folder) == Path() or ".." in Path(folder).parts:
                raise ValueError(
                    f"{folder!r} must name one run, or one checkpoint as RUN/checkpoint-N"
                )
        return folders


class RegressionSettings(Section):
    """`[regression]`: how much worse than the checkpoint before counts as a regression.

    `false_alarms` is the chance that a run of `checkpoints` in which nothing gets worse may have of
    any REGRESSED. `cluster_by` names the field of a row's `metadata` that says which rows are of
    one source and not independent.
    """

    loss_increase: Positive = 0.15
    accuracy_drop: Share = 0.10
    min_examples: Count = 20
    false_alarms: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    checkpoints: Count = 50
    cluster_by: str = "source"


class SuiteTestSettings(Section):
    """`[tests]`: how much less accuracy than before is a drop, and how much is critical."""

    drop: Share = 0.05
    critical_drop: Share = 0.15

    @model_validator(mode="after")
    def _in_order(self) -> SuiteTestSettings:
        if self.critical_drop < self.drop:
            raise ValueError("critical_drop must be at least drop")
        return self


class RankingSettings(Section):
    """`[ranking]`: the weights of the composite score; they are scaled to sum to 1.

    The `contenders` with the highest scores are held against each other in `resamples` of the
    examples that they share (fewer, down to 200, with more than 20,000 of them), if these are
    `min_examples` or more.
    """

    loss_weight: Annotated[float, Field(ge=0.0)] = 0.5
    balance_weight: Annotated[float, Field(ge=0.0)] = 0.25
    consistency_weight: Annotated[float, Field(ge=0.0)] = 0.25
    contenders: Count = 20
    resamples: Annotated[int, Field(ge=200)] = 1000
    min_examples: Count = 20

    @property
    def weightless(self) -> bool:
        """Whether no part of the score counts."""
        return self.loss_weight + self.balance_weight + self.consistency_weight == 0.0


class CalibrationSettings(Section):
    """`[calibration]`: the edges of the confidence bins, and how few examples are too few."""

    edges: tuple[Share, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
    min_examples: Count = 20

    @field_validator("edges")
    @classmethod
    def _rise_from_0_to_1(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        rising = all(low < high for low, high in pairwise(edges))
        if len(edges) < 2 or edges[0] != 0.0 or edges[-1] != 1.0 or not rising:
            raise ValueError("edges must rise from 0.0 to 1.0, such as [0.0, 0.5, 1.0]")
        return edges


class CurriculumSettings(Section):
    """`[curriculum]`: when a difficulty counts as learned, and the least share each one keeps.

    From `learning_accuracy` on, what is harder can be built on it. Shares need `min_examples`
    graded answers of each difficulty; trends are over the last `trend_checkpoints`.
    """

    mastered_accuracy: Share = 0.8
    learning_accuracy: Share = 0.3
    min_share: Annotated[int, Field(ge=0, le=33)] = 10
    min_examples: Count = 20
    trend_checkpoints: Annotated[int, Field(ge=2, le=30)] = 5


class DataMapSettings(Section):
    """`[data_map]`: the regions of the map of examples over checkpoints.

    From a spread of `ambiguous_spread` on, an example is ambiguous; below it, from a probability of
    `easy_probability` on easy-to-learn, and else hard-to-learn.
    """

    ambiguous_spread: Annotated[float, Field(ge=0.0, le=0.5)] = 0.2
    easy_probability: Share = 0.5


class HardExampleSettings(Section):
    """`[hard_examples]`: below which confidence an example counts as uncertain."""

    low_confidence: Share = 0.6


class ExportSettings(Section):
    """`[export]`: which examples are too like others to be trained on, and where status files go.

    `near_duplicate` is the Jaccard index of their shingles, see docs/views.md, from which on an
    example is left out: against validation always, against others for corrections. These are also
    held against what earlier exports of the kinds in `exported_before` wrote. `status` is a folder
    in which `milepost evaluate`, and so `up`, keeps the status files; empty, it writes none.
    """

    near_duplicate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    exported_before: tuple[Literal["hard-examples", "corrections"], ...] = ("corrections",)
    status: str = ""


class AlertSettings(Section):
    """`[alerts]`: how long is too long, and how much worse a calibration is broken.

    `ece_increase` is how much the expected calibration error may rise from one step to the next.
    """

    quiet_after_hours: Positive = 24.0
    sync_stalled_after_hours: Positive = 1.0
    ece_increase: Share = 0.10


class NotifySettings(Section):
    """`[notify]`: who is told of alerts. `to` names places, each an address as apprise takes it.

    An address is a secret: "env:NAME" takes it from the environment and "file:PATH" from the first
    line of a file. An alert is sent when it has stood for `after_minutes`; after a message, the
    next one waits for `pause_minutes` and tells of all that came in between.
    """

    to: dict[Annotated[str, Field(pattern=r"^[\w.-]+$")], SecretStr] = {}
    kinds: tuple[AlertKind, ...] = tuple(
        kind for kind in get_args(AlertKind) if kind != "sync_failed"
    )
    severity: Severity = "warning"
    after_minutes: Annotated[float, Field(ge=0.0)] = 0.0
    pause_minutes: Annotated[float, Field(ge=0.0)] = 5.0
    timeout_seconds: Annotated[float, Field(gt=0.0, le=60.0)] = 10.0
    interval_seconds: Positive = 10.0


class Settings(BaseSettings):
    """All of milepost.toml."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="MILEPOST_", env_nested_delimiter="__"
    )

    database: DatabaseSettings = DatabaseSettings()
    watch: WatchSettings = WatchSettings()
    sync: SyncSettings = SyncSettings()
    retention: RetentionSettings = RetentionSettings()
    suite: tuple[SuiteSettings, ...] = ()
    evaluation: EvaluationSettings = EvaluationSettings()
    regression: RegressionSettings = RegressionSettings()
    tests: SuiteTestSettings = SuiteTestSettings()
    ranking: RankingSettings = RankingSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    curriculum: CurriculumSettings = CurriculumSettings()
    data_map: DataMapSettings = DataMapSettings()
    hard_examples: HardExampleSettings = HardExampleSettings()
    export: ExportSettings = ExportSettings()
    alerts: AlertSettings = AlertSettings()
    notify: NotifySettings = NotifySettings()

    _own_graders: Own = PrivateAttr(default_factory=dict)

    @property
    def own_graders(self) -> Own:
        """The user's own graders, by name; as `parse` found their files."""
        return self._own_graders

    @field_validator("suite")
    @classmethod
    def _names_differ(cls, suites: tuple[SuiteSettings, ...]) -> tuple[SuiteSettings, ...]:
        names = [suite.name for suite in suites]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two suites are named {twice[0]!r}: give each its own name")
        return suites

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then what the file said (which comes as init arguments)."""
        assert isinstance(init_settings, InitSettingsSource)
        return env_settings, init_settings


@dataclass(frozen=True)
class Trust:
    """What a checkpoint may bring that could run code, and where the models of adapters are.

    `own_code` are the folders of runs and checkpoints whose code may be run; `base_models` maps
    what an adapter calls its model to that model's folder.
    """

    allow_pickle: bool = False
    own_code: tuple[Path, ...] = ()
    base_models: Mapping[str, Path] = field(default_factory=dict)

    def runs_code_of(self, folder: Path) -> bool:
        """Whether the code that comes with the checkpoint in `folder` may be run."""
        return any(folder.is_relative_to(one) for one in self.own_code)


@dataclass(frozen=True)
class Workspace:
    """A folder with a milepost.toml; relative paths in that file start here."""

    root: Path
    settings: Settings

    @property
    def database_url(self) -> str:
        """The URL with a relative SQLite path made absolute."""
        url = self.settings.database.url
        prefix = "sqlite:///"
        if url.startswith(prefix):
            # Written as a URL: a "#" or "%" in a folder's name is part of the name.
            file = self.resolve(Path(url.removeprefix(prefix)))
            return prefix + quote(str(file))
        return url

    @property
    def checkpoints(self) -> Path:
        """The watched folder."""
        return self.resolve(self.settings.watch.path)

    @property
    def staging(self) -> Path:
        """Where sync assembles a checkpoint before it is renamed into the watched folder.

        A dot folder beside the runs: one file system, so that the rename is one step.
        """
        return self.checkpoints / ".staging"

    @property
    def trust(self) -> Trust:
        """What checkpoints may bring, with every path made absolute."""
        watch = self.settings.watch
        return Trust(
            watch.allow_pickle,
            tuple(self.checkpoints / one for one in self.settings.evaluation.trust_remote_code),
            {name: self.resolve(path) for name, path in watch.base_models.items()},
        )

    @property
    def logs(self) -> Path:
        """Where the child processes of `milepost up` write."""
        return self.root / "logs"

    def resolve(self, path: Path) -> Path:
        """`path`, taken from the workspace when it is relative."""
        return (self.root / path.expanduser()).absolute()


def find_workspace(given: Path | None = None, start: Path | None = None) -> Workspace:
    """The workspace named by `given`, by MILEPOST_WORKSPACE, or nearest upward from `start`.

    Raises SettingsError when there is none.
    """
    named = given or (Path(value) if (value := os.environ.get("MILEPOST_WORKSPACE")) else None)
    if named is not None:
        return load_workspace(named)
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / FILE_NAME).is_file():
            return load_workspace(folder)
    raise SettingsError(
        f"no {FILE_NAME} in {here} or above it. Run `milepost init` here, or name the folder "
        "with --workspace DIR."
    )


def load_workspace(root: Path) -> Workspace:
    """Reads `root`/milepost.toml. Raises SettingsError naming the file, the key and the remedy."""
    file = root.absolute() / FILE_NAME
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"cannot read {file}: {error.strerror}. `milepost init --workspace {root}` makes one."
        ) from error
    return Workspace(root.absolute(), parse(text, file))


def parse(text: str, file: Path) -> Settings:
    """The settings that `text` (TOML) holds; `file` is what errors name.

    Graders of the user's own are read from the folder of `file`, and not run yet.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not TOML: {error}") from error
    try:
        settings = Settings(**values)
    except ValidationError as error:
        lines = "\n".join(f"  {_explain(dict(one))}" for one in error.errors())
        raise SettingsError(f"{file} does not fit:\n{lines}") from error
    settings._own_graders = _read_own_graders(settings, file.parent)
    return settings


def _read_own_graders(settings: Settings, root: Path) -> Own:
    """The graders python:MODULE:FUNCTION that suites name, from their files in the workspace."""
    found = {}
    for suite in settings.suite:
        if not suite.grader.startswith(own.PREFIX):
            continue
        path = root / own.file_of(suite.grader)
        if not path.resolve().is_relative_to(root.resolve()):
            raise SettingsError(f"suite {suite.name!r}: {path} leads out of the workspace")
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            words = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(
                f"suite {suite.name!r} has the grader {suite.grader!r}, and {path} cannot be read: "
                f"{words}. What it graded cannot be graded again without that file."
            ) from error
        one = own.read(suite.grader, source, _modules(root))
        found[one.name] = one
    return found


def _modules(folder: Path) -> set[str]:
    """What a file in `folder` could import from beside it."""
    return {one.stem for one in folder.iterdir() if one.suffix == ".py" or one.is_dir()}


def _explain(error: Mapping[str, Any]) -> str:
    """One pydantic error as a line: where, what, and the nearest known key."""
    location = [part for part in error["loc"] if isinstance(part, str)]
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where}: {str(error['msg']).removeprefix('Value error, ')}"
    known = _known_keys(location[:-1])
    near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return f"{where}: no such key; {hint}"


def _known_keys(section: list[str]) -> list[str]:
    """The keys of one section of milepost.toml; the sections themselves for the empty path."""
    fields = Settings.model_fields
    if not section:
        return sorted(fields)
    annotation = fields[section[0]].annotation
    inner = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type)]
    models = [one for one in inner if issubclass(one, Section)]
    return sorted(models[0].model_fields) if models else []
