"""Whatever version wrote an event, it is read; what is not known is refused by name."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from sqlalchemy import Engine

import cli
from data.workspace import make
from errors import UnknownEvent
from settings import Settings
from store import log
from store.engine import connect
from store.events import TYPES, UPCASTERS, EvaluationStarted, Event, SuiteRegistered, load
from store.projections import bring_up_to_date
from tests import logs
from views import registry

FIXTURES = Path(__file__).with_name("fixtures") / "events"
VERSIONS = [
    (name, version)
    for name, model in TYPES.items()
    for version in range(1, model.schema_version + 1)
]
TODAY = [(name, model.schema_version) for name, model in TYPES.items()]
REMEDY = "a newer Milepost wrote it. Use that version"


class Fixture(NamedTuple):
    """An event as one version wrote it: `fields` are that version's names and types."""

    event_id: str
    stream: str
    fields: dict[str, str]
    payload: dict[str, Any]


def fixture(name: str, version: int) -> Fixture:
    file = FIXTURES / f"{name}.{version}.json"
    assert file.is_file(), (
        f"{name} has version {version}: write {file.name} beside the other fixtures, and leave "
        f"those of older versions as they are. Its fields: {json.dumps(fields_of(TYPES[name]))}"
    )
    return Fixture(**json.loads(file.read_text(encoding="utf-8")))


def fields_of(model: type[Event]) -> dict[str, str]:
    return {
        name: inspect.formatannotation(field.annotation)
        for name, field in model.model_fields.items()
    }


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_every_version_that_ever_was_is_read_as_the_same_fact(name: str, version: int) -> None:
    stored = fixture(name, version)
    event = load(name, version, json.dumps(stored.payload), 1)
    assert type(event) is TYPES[name]
    assert (event.event_id, event.stream) == (stored.event_id, stored.stream)
    assert stored.payload.keys() == stored.fields.keys()


@pytest.mark.parametrize(("name", "version"), TODAY)
def test_changed_fields_ask_for_a_new_version(name: str, version: int) -> None:
    stored = fixture(name, version)
    assert fields_of(TYPES[name]) == stored.fields, (
        f"the fields of {name} changed: raise its schema_version to {version + 1}, add the step "
        f"from {version} to UPCASTERS, and leave {name}.{version}.json as it is"
    )
    # What is nested in a field counts as well.
    event = load(name, version, json.dumps(stored.payload), 1)
    assert json.loads(event.payload()) == stored.payload


def test_every_fixture_is_of_a_version_that_is_known() -> None:
    names = {f"{name}.{version}.json" for name, version in VERSIONS}
    assert {file.name for file in FIXTURES.iterdir()} == names


def test_there_is_one_step_from_each_version_to_the_next() -> None:
    assert UPCASTERS.keys() == set(VERSIONS) - set(TODAY)


def test_a_suite_of_version_1_was_graded_as_milepost_toml_says() -> None:
    old = fixture("SuiteRegistered", 1).payload
    event = load("SuiteRegistered", 1, json.dumps(old), 1)
    assert isinstance(event, SuiteRegistered)
    assert event.graded_by is None
    assert event.model_dump(mode="json", exclude={"graded_by"}) == old


@pytest.mark.parametrize(
    ("plan", "fallback"),
    [({"one_at_a_time": 1}, "not recorded"), ({"one_at_a_time": 0}, None), ({}, None)],
)
def test_an_evaluation_of_version_1_kept_no_reason_for_its_way(
    plan: dict[str, int], fallback: str | None
) -> None:
    old = {**fixture("EvaluationStarted", 1).payload, "plan": plan}
    event = load("EvaluationStarted", 1, json.dumps(old), 1)
    assert isinstance(event, EvaluationStarted)
    assert (event.fallback, event.quick) == (fallback, None)
    assert event.model_dump(mode="json", exclude={"fallback", "quick"}) == old


def test_a_plan_that_is_none_is_refused() -> None:
    payload = json.dumps({**fixture("EvaluationStarted", 1).payload, "plan": "none"})
    with pytest.raises(UnknownEvent, match=r"position 3 .*does not fit"):
        load("EvaluationStarted", 1, payload, 3)


@pytest.mark.parametrize(
    "change",
    [{"revision": "two"}, {"grader": None}, {"colour": "red"}, {"refused": [{"line": 1}]}],
)
def test_a_payload_that_does_not_fit_is_refused_with_its_position(change: dict[str, Any]) -> None:
    payload = json.dumps({**fixture("SuiteRegistered", 2).payload, **change})
    with pytest.raises(
        UnknownEvent, match=f"position 42 .*does not fit(?s:.*){next(iter(change))}"
    ):
        load("SuiteRegistered", 2, payload, 42)


@pytest.mark.parametrize("payload", ["[]", "null", "{}"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_payload_that_is_no_event_is_refused(payload: str, version: int) -> None:
    with pytest.raises(UnknownEvent, match="position 7 of the log holds a SuiteRegistered"):
        load("SuiteRegistered", version, payload, 7)


@pytest.mark.parametrize(
    ("name", "version", "what"),
    [
        ("ModelMerged", 1, "the unknown type 'ModelMerged'"),
        ("SuiteRegistered", 3, "the unknown version 3 of type 'SuiteRegistered'"),
        ("SuiteRegistered", 0, "the unknown version 0 of type 'SuiteRegistered'"),
    ],
)
def test_an_unknown_type_or_version_is_refused_with_the_remedy(
    name: str, version: int, what: str
) -> None:
    with pytest.raises(UnknownEvent, match=f"position 9 of the log has {what}: {REMEDY}"):
        load(name, version, "{}", 9)


class ModelMerged(Event):
    """A type that only a Milepost of the future knows."""

    about = "merge/{name}"
    unique = ("name",)

    name: str


class Tomorrow(SuiteRegistered):
    """What a Milepost of the future makes of a type that is known."""

    schema_version: ClassVar[int] = 3


Tomorrow.__name__ = "SuiteRegistered"


def of_a_type_of_the_future(engine: Engine) -> None:
    log.append(engine, ModelMerged(name="soup"))


def of_a_version_of_the_future(engine: Engine) -> None:
    log.append(engine, Tomorrow.model_validate(fixture("SuiteRegistered", 2).payload))


FUTURES = [
    pytest.param(of_a_type_of_the_future, "the unknown type 'ModelMerged'", id="type"),
    pytest.param(
        of_a_version_of_the_future, "the unknown version 3 of type 'SuiteRegistered'", id="version"
    ),
]


@pytest.mark.parametrize(("append", "what"), FUTURES)
def test_reading_on_stops_at_what_is_not_known(engine: Engine, append: Any, what: str) -> None:
    logs.arrive(engine, 100)
    append(engine)
    with (
        engine.connect() as connection,
        pytest.raises(UnknownEvent, match=f"position 2 of the log has {what}: {REMEDY}"),
    ):
        list(log.read(connection))


@pytest.mark.parametrize(
    "command", [["status"], ["replay"], ["show", "results"], ["show", "events"]]
)
@pytest.mark.parametrize(("append", "what"), FUTURES)
def test_every_command_refuses_the_log_and_leaves_the_views_as_they_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    append: Any,
    what: str,
) -> None:
    place = make(tmp_path)
    engine = connect(place.database_url)
    examples = logs.questions("easy", 3)
    logs.register_suite(engine, examples, suite_id="easy")
    assert bring_up_to_date(engine, registry.projections(Settings())) == []
    append(engine)
    monkeypatch.setattr(sys, "argv", ["milepost", *command, "--workspace", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 3
    said = " ".join(capsys.readouterr().err.split())
    assert f"position 2 of the log has {what}: {REMEDY} to read this log." in said
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, error FROM projection").all()
    assert {error for _, error in rows} == {None}
    engine.dispose()
