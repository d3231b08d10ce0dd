"""One row of a suite, as its author wrote it: which format it has, and what it asks.

| format | fields |
|---|---|
| chat | `messages`: turns with `role` and `content`; the last one, the assistant's, is the target |
| completion | a prompt field and a target field; a `system_prompt` or `system` may come before |
| choice | either of these, with `choices`; the target is one choice's text, or its index from 0 |
| text | `text` alone: only its loss is measured |

`messages` goes before the other fields. A field that is null counts as absent. `difficulty`,
`skill` and `metadata` may come with any format; other fields are not read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from errors import SuiteError
from store.records import Kind, example_id_of

PROMPT_FIELDS = ("prompt", "user_prompt", "question")
TARGET_FIELDS = (
    "target",
    "completion",
    "response",
    "assistant_response",
    "answer",
    "expected",
    "expected_answer",
)
SYSTEM_FIELDS = ("system_prompt", "system")

MAX_FIELDS_NAMED = 12

Row: TypeAlias = dict[str, Any]
Messages: TypeAlias = tuple[dict[str, str], ...]


class Content(NamedTuple):
    """What a usable row says; the fields are those of `store.records.Example`."""

    kind: Kind
    messages: Messages
    target: str
    choices: tuple[str, ...] | None
    difficulty: str | None
    skill: str | None
    metadata: dict[str, Any] | None

    @property
    def example_id(self) -> str:
        """The digest of what the model sees and should say."""
        return example_id_of(self.kind, self.messages, self.target, self.choices)


def parse_row(text: str) -> Content:
    """The content of one line of a suite. Raises SuiteError with the reason for refusing it."""
    try:
        row = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise SuiteError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise SuiteError(f"it is not JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:
        raise SuiteError(f"it is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise SuiteError(f"it is {_type(row)}, not an object: write one {{...}} a line")
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise SuiteError("it holds half of a surrogate pair, which is not text") from error
    if _holds_nul(row):
        raise SuiteError("it holds the character U+0000, which PostgreSQL cannot store")
    return read_row(row)


def read_row(row: Row) -> Content:
    """The content of a row. Raises SuiteError with the reason for refusing it."""
    row = {name: value for name, value in row.items() if value is not None}
    kind, messages, target = _question(row)
    choices = None
    if "choices" in row and kind != "text":
        kind, choices = "choice", _choices(row["choices"])
        target = _chosen(target, choices)
    if not isinstance(target, str):
        raise SuiteError(f"its target is {_type(target)}, not text")
    if not target.strip():
        raise SuiteError("its target is empty")
    metadata = row.get("metadata", {})
    if not isinstance(metadata, dict):
        raise SuiteError(f"'metadata' is {_type(metadata)}, not an object")
    labels = {**metadata, **row}
    return Content(
        kind=kind,
        messages=messages,
        target=target,
        choices=choices,
        difficulty=_text(labels, "difficulty") if labels.get("difficulty") is not None else None,
        skill=_text(labels, "skill") if labels.get("skill") is not None else None,
        metadata=metadata or None,
    )


def _question(row: Row) -> tuple[Kind, Messages, Any]:
    """Kind, what the model is given, and the target as the row has it (a text, or an index)."""
    if "messages" in row:
        return "chat", *_conversation(row["messages"])
    prompt, target = _only(row, PROMPT_FIELDS), _only(row, TARGET_FIELDS)
    if prompt and target:
        system = _only(row, SYSTEM_FIELDS)
        turns = [{"role": "system", "content": _text(row, system)}] if system else []
        turns.append({"role": "user", "content": _text(row, prompt)})
        return "completion", tuple(turns), row[target]
    if prompt or target:
        wanted = TARGET_FIELDS if prompt else PROMPT_FIELDS
        raise SuiteError(
            f"it has {prompt or target!r} but none of {_names(wanted)} to go with it; "
            f"its fields are {_names(row)}"
        )
    if "text" in row and "choices" not in row:
        return "text", (), row["text"]
    raise SuiteError(
        f"it has no fields that are known here: it has {_names(row)}; wanted are 'messages', or "
        f"a prompt ({_names(PROMPT_FIELDS)}) with a target ({_names(TARGET_FIELDS)}), or 'text'"
    )


def _conversation(turns: Any) -> tuple[Messages, str]:
    """The turns before the last one, and the last one's text."""
    if not isinstance(turns, list):
        raise SuiteError(f"'messages' is {_type(turns)}, not a list of turns")
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict):
            raise SuiteError(f"turn {number} of 'messages' is {_type(turn)}, not an object")
        for name in ("role", "content"):
            if not isinstance(turn.get(name), str):
                raise SuiteError(
                    f"turn {number} of 'messages' has the fields {_names(turn)}; "
                    f"its {name!r} is {_type(turn.get(name))}, not text"
                )
        if turn.get("tool_calls") or turn.get("function_call"):
            raise SuiteError(f"turn {number} of 'messages' calls tools, which is not supported")
    messages = tuple({"role": turn["role"], "content": turn["content"]} for turn in turns)
    if len(messages) < 2:
        raise SuiteError(f"'messages' has {len(messages)} turns: wanted are a prompt and a target")
    last = messages[-1]
    if last["role"] != "assistant":
        raise SuiteError(
            f"the last turn of 'messages' is of the role {last['role']!r}: the last turn is the "
            "target and must be the assistant's"
        )
    return messages[:-1], last["content"]


def _choices(choices: Any) -> tuple[str, ...]:
    if not isinstance(choices, list):
        raise SuiteError(f"'choices' is {_type(choices)}, not a list of texts")
    if any(not isinstance(one, str) or not one.strip() for one in choices):
        raise SuiteError("'choices' holds something that is empty or not text")
    if len(set(choices)) < max(2, len(choices)):
        raise SuiteError(f"'choices' needs two or more texts that all differ: it is {choices!r}")
    return tuple(choices)


def _chosen(answer: Any, choices: Sequence[str]) -> str:
    """The text of the right choice, which the row names by text or by index from 0."""
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return choices[answer]
    if answer in choices:
        return str(answer)
    raise SuiteError(
        f"its target {answer!r} is not one of its {len(choices)} choices: give the text of the "
        "right one, or its index (0 is the first)"
    )


def _only(row: Row, names: Sequence[str]) -> str | None:
    """Which of `names` the row has. Two that differ are refused: one of them would be ignored."""
    there = [name for name in names if name in row]
    if any(row[name] != row[there[0]] for name in there):
        raise SuiteError(f"it has {_names(there)}, and they differ: keep the one that is meant")
    return there[0] if there else None


def _text(row: Row, name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise SuiteError(f"{name!r} is {_type(value)}, not text")
    if not value.strip():
        raise SuiteError(f"{name!r} is empty")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(f"{digits} is too large for a number")
    return number


def _names(names: Sequence[str] | Row) -> str:
    """Field names in quotes, not more than one can read."""
    shown = [repr(name) for name in list(names)[:MAX_FIELDS_NAMED]]
    more = len(names) - len(shown)
    return (", ".join(shown) or "none") + (f" and {more} more" if more else "")


def _holds_nul(value: Any) -> bool:
    """Whether U+0000 is in any text of a JSON value, however deep."""
    rest = [value]
    while rest:
        match rest.pop():
            case str() as text if "\0" in text:
                return True
            case list() as items:
                rest += items
            case dict() as fields:
                rest += [*fields, *fields.values()]
    return False


def _type(value: Any) -> str:
    """A value's type, as JSON calls it."""
    match value:
        case None:
            return "null or missing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"
