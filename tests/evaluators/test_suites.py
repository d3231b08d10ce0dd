"""A suite's file, read whole: what is an example, a duplicate, refused, and what is an error."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from errors import SuiteError
from evaluators.suites import read_suite
from store.events import Refusal
from store.records import example_id_of


def write(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def question(number: int, **labels: Any) -> dict[str, Any]:
    return {"question": f"{number}+1?", "answer": str(number + 1), **labels}


def test_examples_come_in_file_order_with_their_lines_and_labels(tmp_path: Path) -> None:
    file = write(
        tmp_path / "sums.jsonl", [question(1, skill="sums"), question(2, difficulty="hard")]
    )
    suite = read_suite("sums", file, difficulty="easy", role="mining", grader="number")
    assert (suite.name, suite.path, suite.rows_read) == ("sums", file, 2)
    assert (suite.difficulty, suite.role, suite.grader) == ("easy", "mining", "number")
    first, second = suite.examples
    assert (first.line, first.target, first.skill, first.difficulty) == (1, "2", "sums", None)
    assert (second.line, second.target, second.difficulty) == (2, "3", "hard")
    assert {first.suite_id, second.suite_id} == {suite.suite_id}
    assert first.example_id == example_id_of("completion", first.messages, "2")


def test_refused_rows_are_named_by_line_and_the_others_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text('{"question": "1+1?", "answer": "2"}\n\nnot json\n{"foo": "bar"}\n')
    suite = read_suite("sums", file)
    assert [one.line for one in suite.examples] == [1]
    assert [one.line for one in suite.refused] == [3, 4]
    assert suite.refused[0].reason.startswith("it is not JSON")
    assert "it has 'foo'" in suite.refused[1].reason
    assert suite.rows_read == 3


def test_a_suite_of_which_every_row_is_refused_has_no_examples(tmp_path: Path) -> None:
    suite = read_suite("sums", write(tmp_path / "sums.jsonl", [{"foo": 1}, {"foo": 2}]))
    assert suite.examples == ()
    assert [one.line for one in suite.refused] == [1, 2]


def test_the_same_content_twice_counts_once(tmp_path: Path) -> None:
    rows = [question(1), question(2), question(1, skill="again")]
    suite = read_suite("sums", write(tmp_path / "sums.jsonl", rows))
    assert [one.line for one in suite.examples] == [1, 2]
    assert (suite.duplicates, suite.rows_read, suite.refused) == (1, 3, ())


def test_only_a_newline_ends_a_row(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_bytes('{"text": "one\u2028two"}\r\n{"text": "three"}'.encode())
    assert [one.target for one in read_suite("sums", file).examples] == ["one\u2028two", "three"]


def test_a_byte_order_mark_is_not_part_of_the_first_row(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text('{"text": "one"}\n', encoding="utf-8-sig")
    suite = read_suite("sums", file)
    assert (len(suite.examples), suite.refused) == (1, ())


def test_the_id_is_of_the_name_and_the_contents_alone(tmp_path: Path) -> None:
    rows = [question(1), question(2)]
    suite = read_suite("sums", write(tmp_path / "sums.jsonl", rows))
    moved = write(tmp_path / "moved.jsonl", rows)
    assert len(suite.suite_id) == 32
    assert (
        read_suite("sums", moved, difficulty="hard", role="mining", grader="number").suite_id
        == suite.suite_id
    )
    others = [
        read_suite("other", moved),
        read_suite("sums", write(tmp_path / "order.jsonl", rows[::-1])),
        read_suite("sums", write(tmp_path / "fewer.jsonl", rows[:1])),
        read_suite("sums", write(tmp_path / "label.jsonl", [question(1), question(2, skill="x")])),
    ]
    assert len({suite.suite_id, *(one.suite_id for one in others)}) == 5


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"cannot read .*gone.jsonl: No such file.*milepost.toml"):
        read_suite("sums", tmp_path / "gone.jsonl")


def test_a_folder_is_refused_with_the_files_in_it(tmp_path: Path) -> None:
    for name in ("easy_50.jsonl", "easy_100.jsonl", "notes.md"):
        write(tmp_path / name, [question(1)])
    (tmp_path / "old").mkdir()
    with pytest.raises(SuiteError) as refusal:
        read_suite("easy", tmp_path)
    assert str(refusal.value).startswith(
        f"suite 'easy': {tmp_path} is a folder, and a suite is one file. It holds "
        "easy_100.jsonl, easy_50.jsonl. Name one of them as this [[suite]]'s path"
    )


def test_a_folder_of_very_many_files_or_none_is_refused_in_a_few_words(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="It holds no file"):
        read_suite("easy", tmp_path)
    for number in range(100):
        write(tmp_path / f"{number:03}.jsonl", [question(1)])
    with pytest.raises(SuiteError, match=r"010\.jsonl, 011\.jsonl and 88 more\."):
        read_suite("easy", tmp_path)


def test_one_file_may_mix_all_formats(tmp_path: Path) -> None:
    turns = [("system", "Add."), ("user", "1+1?"), ("assistant", "2")]
    rows = [
        {"messages": [{"role": role, "content": content} for role, content in turns]},
        {"system": "Add.", "prompt": "1+2?", "completion": "3"},
        question(3),
        {"question": "1+4?", "choices": ["4", "5"], "answer": 1},
        {"text": "1+5=6"},
        {"foo": "bar"},
        {"messages": [{"role": "user", "content": "1+6?"}], "choices": ["7", "8"]},
    ]
    suite = read_suite("sums", write(tmp_path / "sums.jsonl", rows))
    assert [(one.line, one.kind, one.target) for one in suite.examples] == [
        (1, "chat", "2"),
        (2, "completion", "3"),
        (3, "completion", "4"),
        (4, "choice", "5"),
        (5, "text", "1+5=6"),
    ]
    assert [one.line for one in suite.refused] == [6, 7]


def test_a_file_that_is_not_utf8_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_bytes(b'{"text": "one"}\n{"text": "caf\xe9"}\n')
    with pytest.raises(SuiteError, match=r"line 2 of .*sums.jsonl is not UTF-8"):
        read_suite("sums", file)


@pytest.mark.parametrize("text", ["", "\n  \n"])
def test_a_file_without_a_row_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text(text)
    with pytest.raises(SuiteError, match=r"sums.jsonl is empty"):
        read_suite("sums", file)


def test_a_refusal_is_the_event_logs_own(tmp_path: Path) -> None:
    suite = read_suite("sums", write(tmp_path / "sums.jsonl", [["a"]]))
    reason = "it is a list, not an object: write one {...} a line"
    assert suite.refused == (Refusal(line=1, reason=reason),)
