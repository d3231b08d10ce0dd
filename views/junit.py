"""Test results as JUnit XML, for CI systems: a `testsuite` a checkpoint, a `testcase` a suite.

The shape is that of Jenkins' junit-10.xsd, which other systems read as well. A failing test is a
`failure`; one that measured nothing, or was not taken, an `error`; one without a threshold is
`skipped`. What was not measured, such as the time of a single suite, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, SubElement

from views.words import percent

# XML 1.0 has no way to write these, and a model may.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
TEXT_LENGTH = 200

Row = Mapping[str, Any]


class Tested(NamedTuple):
    """One checkpoint. `tests` are its rows of test_results, `parts` of test_difficulties.

    `wrong` has, by suite, some of its rows of predictions that are wrong. `missing` names the tests
    that it did not take. `seconds` is how long its evaluation took, None where it did not complete;
    `ended_at` is when, UTC in ISO 8601.
    """

    run: str
    step: int
    checkpoint_id: str
    tests: Sequence[Row]
    parts: Sequence[Row]
    wrong: Mapping[str, Sequence[Row]]
    missing: Sequence[str]
    seconds: float | None
    ended_at: str | None


def document(checkpoints: Sequence[Tested]) -> Element:
    """The `testsuites` element."""
    root = Element("testsuites", name="milepost")
    for one in checkpoints:
        root.append(_suite(one))
    for counted in ("tests", "failures", "errors"):
        root.set(counted, str(sum(int(suite.get(counted, "0")) for suite in root)))
    return root


def _suite(one: Tested) -> Element:
    suite = Element("testsuite", name=_clean(f"{one.run} step {one.step}"))
    properties = SubElement(suite, "properties")
    for name in ("run", "step", "checkpoint_id"):
        SubElement(properties, "property", name=name, value=_clean(str(getattr(one, name))))
    for row in one.tests:
        suite.append(_case(one, row))
    for name in one.missing:
        case = _named_case(one, name)
        words = "It has a threshold, and was not part of an evaluation of this checkpoint."
        SubElement(case, "error", type="not-evaluated", message=words)
        suite.append(case)
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    if one.seconds is not None:
        suite.set("time", f"{one.seconds:.3f}")
    if one.ended_at is not None:
        # The schema knows no fractions and no zone.
        suite.set("timestamp", one.ended_at[:19])
    return suite


def _named_case(one: Tested, suite: str) -> Element:
    return Element("testcase", name=_clean(suite), classname=_clean(f"{one.run}.step-{one.step}"))


def _case(one: Tested, row: Row) -> Element:
    case = _named_case(one, row["suite"])
    message = _clean(row["reason"])
    match row["status"]:
        case "FAIL":
            failure = SubElement(case, "failure", type="threshold", message=message)
            failure.text = "\n".join(map(_wrong, one.wrong.get(row["suite"], ()))) or None
        case "FAILED":
            SubElement(case, "error", type="not-measured", message=message)
        case "UNTESTED":
            SubElement(case, "skipped", message=message)
    parts = [part for part in one.parts if part["suite"] == row["suite"]]
    lines = [row["reason"], *(f"{part['difficulty']}: {_part(part)}" for part in parts)]
    SubElement(case, "system-out").text = _clean("\n".join(lines))
    return case


def _part(row: Row) -> str:
    if row["accuracy"] is None:
        return str(row["reason"])
    return f"{percent(row['accuracy'])} of {row['n']:,} right. {row['reason']}".strip()


def _wrong(row: Row) -> str:
    """A wrong answer on one line."""
    said, wanted = (_brief(row[name]) for name in ("generated_text", "target"))
    return _clean(f"line {row['line']}: {row['error_class']}: {said}, and not {wanted}")


def _brief(value: str | None) -> str:
    if value is None:
        return "no text"
    text = value if len(value) <= TEXT_LENGTH else f"{value[:TEXT_LENGTH]}…"
    return repr(text)


def _clean(text: str) -> str:
    """The text with U+FFFD in place of what XML cannot hold."""
    return _ILLEGAL.sub("\ufffd", text)
