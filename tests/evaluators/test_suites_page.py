"""What docs/suites.md says of rows, prompts and think blocks is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from errors import SuiteError
from evaluators.rows import PROMPT_FIELDS, SYSTEM_FIELDS, TARGET_FIELDS, parse_row
from evaluators.templates import DAY, ChatTemplate
from settings import EvaluationSettings, Think
from store.records import Example
from tests.evaluators.checkpoints import make_tokenizer
from tests.evaluators.test_prompts import encoder

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "suites.md").read_text(encoding="utf-8")


def table(head: str) -> list[list[str]]:
    """The cells of the table that begins with `head`, without the marks of code."""
    lines = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [
        [cell.removeprefix("`").removesuffix("`") for cell in line[2:-2].split(" | ")]
        for line in lines
    ]


ROWS = table("Row | Kind | Target | The model also writes a text")
REFUSED = table("Row | Refused because")
PLAIN = table("Prompt | Target | The model is given | It should say")
THINK = table("Target | `think` | The model should say")


def test_the_tables_are_there() -> None:
    assert [len(one) for one in (ROWS, REFUSED, PLAIN, THINK)] == [5, 6, 3, 4]


def encoded(row: str, think: Think = "keep", *, template: bool = False) -> tuple[str, str, bool]:
    """What the model is given and should say, without BOS and EOS, and whether it writes."""
    content = parse_row(row)
    tokenizer = make_tokenizer() if template else make_tokenizer(template=None)
    tokenizer.add_tokens(["A", "<", ">", "/"])
    example = Example(suite_id="s", example_id="e", line=1, **content._asdict())
    made = encoder(tokenizer, think=think, vocabulary=len(tokenizer)).encode(example)
    target = made.targets[made.answer]
    said = target if target[-1] != tokenizer.eos_token_id else target[:-1]
    assert made.prompt[0] == tokenizer.bos_token_id
    given, answer = (tokenizer.decode(list(one)) for one in (made.prompt[1:], said))
    assert isinstance(given, str)
    assert isinstance(answer, str)
    return given, answer, made.generates


@pytest.mark.parametrize(("row", "kind", "target", "writes"), ROWS)
def test_rows_are_read_as_written(row: str, kind: str, target: str, writes: str) -> None:
    assert parse_row(row).kind == kind
    given, said, generates = encoded(row)
    assert (said, generates) == (target, writes == "yes")
    assert ("2+2?" in given) == (kind != "text")


@pytest.mark.parametrize(("row", "reason"), REFUSED)
def test_rows_are_refused_for_the_reason_given(row: str, reason: str) -> None:
    with pytest.raises(SuiteError) as refusal:
        parse_row(row)
    assert str(refusal.value).startswith(reason)


@pytest.mark.parametrize(("prompt", "target", "given", "said"), PLAIN)
def test_the_plain_format_is_as_written(prompt: str, target: str, given: str, said: str) -> None:
    row = f'{{"prompt": "{prompt}", "answer": "{target}"}}'
    assert encoded(row)[:2] == (given.replace("⏎", "\n"), said)


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize(("target", "think", "said"), THINK)
def test_think_blocks_are_handled_as_written(
    target: str, think: Think, said: str, template: bool
) -> None:
    row = f'{{"prompt": "2+2?", "answer": "{target}"}}'
    assert encoded(row, think, template=template)[1] == said


def test_every_field_and_setting_is_named() -> None:
    for field in (*PROMPT_FIELDS, *TARGET_FIELDS, *SYSTEM_FIELDS):
        assert f"`{field}`" in PAGE
    named = re.findall(r"`(\w+)(?: =\s+\w+)?`(?= under `\[evaluation\]`)", PAGE)
    assert set(named) == {"generate_choices", "samples", "think"}
    assert set(named) <= set(EvaluationSettings.model_fields)


def test_the_limits_of_templates_are_those_written() -> None:
    seconds = ChatTemplate.__init__.__defaults__
    assert seconds == (10.0,)
    assert "runs for more than 10 seconds" in PAGE
    assert f"{DAY['%d']} {DAY['%B']} {DAY['%Y']}" in PAGE
