"""What a place is told of, and when; worked out by hand."""

from __future__ import annotations

import pytest

from commands.outbox import Evaluated, Place, due, letter
from settings import NotifySettings
from store.events import Notice
from tests.views.deriving import notice

NEW = Place(0, 0, None, None, 0, frozenset())
START = "2026-01-10T12:00:00.000Z"
SETTINGS = NotifySettings()


def at(clock: str) -> str:
    return f"2026-01-10T{clock}:00.000Z"


def alert(name: str, **changes: object) -> Notice:
    return notice(name).model_copy(update={"raised_at": at("12:30"), **changes})


def told(
    *alerts: Notice,
    place: Place = NEW,
    ended: dict[str, list[Evaluated]] | None = None,
    settings: NotifySettings = SETTINGS,
    now: str = at("13:00"),
) -> list[str]:
    found = due(alerts, place, ended or {}, settings, since=START, now=now)
    return [one.alert_id for one in found]


def after(clock: str, *, failures: int = 0, told: frozenset[str] = frozenset()) -> Place:
    return Place(2, 1, at("12:10"), at(clock), failures, told)


def test_the_gravest_come_first_and_then_the_oldest() -> None:
    late, early = alert("late", raised_at=at("12:40")), alert("early")
    mild = alert("mild", severity="warning", raised_at=at("12:01"))
    assert told(mild, late, early) == ["early", "late", "mild"]


def test_what_a_place_was_told_of_is_not_told_again() -> None:
    assert told(alert("a"), alert("b"), place=after("12:20", told=frozenset("a"))) == ["b"]


def test_only_the_chosen_kinds_and_severities_are_sent() -> None:
    sync = alert("sync", kind="sync_failed", severity="warning")
    assert told(sync) == []
    assert told(sync, settings=NotifySettings(kinds=("sync_failed",))) == ["sync"]
    mild = alert("mild", severity="warning")
    assert told(mild, alert("grave"), settings=NotifySettings(severity="critical")) == ["grave"]


def test_an_alert_may_have_to_stand_for_a_while() -> None:
    patient = NotifySettings(after_minutes=30)
    assert told(alert("a"), settings=patient, now="2026-01-10T12:59:59.999Z") == []
    assert told(alert("a"), settings=patient) == ["a"]


def test_after_a_message_the_next_one_waits() -> None:
    assert told(alert("a"), place=after("12:58"), now=at("13:02")) == []
    assert told(alert("a"), place=after("12:58"), now=at("13:03")) == ["a"]


@pytest.mark.parametrize(
    ("failures", "minutes"),
    [(1, 0.5), (2, 1), (3, 2), (7, 32), (8, 60), (9, 60), (1000, 60)],
)
def test_the_pause_doubles_up_to_an_hour_when_messages_are_refused(
    failures: int, minutes: float
) -> None:
    seconds = round(60 * minutes)
    place = after("12:00", failures=failures)
    before = f"2026-01-10T{12 + (seconds - 1) // 3600}:{(seconds - 1) // 60 % 60:02}:"
    assert told(alert("a", raised_at=START), place=place, now=f"{before}00.000Z") == []
    ripe = f"2026-01-10T{12 + seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.000Z"
    assert told(alert("a", raised_at=START), place=place, now=ripe) == ["a"]


def test_of_what_was_there_before_only_the_newest_step_is_told() -> None:
    ended = {"run": [Evaluated(400, at("11:00")), Evaluated(500, at("11:30"))]}
    old = alert("old", raised_at=at("11:00"))
    new = alert("new", step=500, raised_at=at("11:30"))
    assert told(old, new, ended=ended) == ["new"]


def test_what_was_raised_since_is_told_although_a_newer_step_has_ended() -> None:
    ended = {"run": [Evaluated(400, at("12:30")), Evaluated(500, at("12:45"))]}
    assert told(alert("a"), ended=ended) == ["a"]


def test_an_old_step_that_is_evaluated_late_is_not_told() -> None:
    ended = {"run": [Evaluated(500, at("12:15")), Evaluated(400, at("12:30"))]}
    assert told(alert("a"), ended=ended) == []
    assert told(alert("a", run="other"), ended=ended) == ["a"]


def test_one_alert_is_a_message_of_its_own_words() -> None:
    written = letter([alert("0123456789")])
    assert written.title == "Milepost: Step 400 is worse than step 300 (run run)"
    assert written.severity == "critical"
    assert written.body == (
        "CRITICAL: Step 400 is worse than step 300 (run run)\n"
        "Loss is higher.\n"
        "Since 2026-01-10 12:30:00 UTC. milepost acknowledge 0123456789 --note …"
    )


def test_a_message_about_many_lists_the_first_and_counts_the_rest() -> None:
    many = [alert(f"{n:010}", severity="warning" if n else "critical") for n in range(25)]
    written = letter(many)
    assert written.title == "Milepost: 25 alerts, 1 critical"
    assert written.body.count("milepost acknowledge") == 10
    assert written.body.endswith("And 15 more: `milepost show alerts` lists them.")


def test_a_long_detail_is_cut() -> None:
    written = letter([alert("0123456789", detail="x" * 5000)])
    assert f"{'x' * 600} …" in written.body
    assert len(written.body) < 800
