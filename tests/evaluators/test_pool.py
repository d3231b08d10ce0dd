"""Texts that go on in one pool are those of a plain run, whatever the room and the drafts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import torch

from evaluators import pool
from evaluators.batched import Batched
from evaluators.budget import Budget
from evaluators.caches import Slot, Slots
from evaluators.engine import Engine, load
from store.records import Example, Prediction
from tests.evaluators.checks import NEW_TOKENS, check_target, check_text, settings
from tests.evaluators.conftest import Checkpoint
from tests.evaluators.reference import END, Reference, chat

KINDS = ["gemma3", "gpt2", "llama", "qwen3"]
QUESTIONS = ["2+2?", "hi", "what is this, and why is it so?", "e=mc2", "one, two", "zzz", "abc"]


def examples() -> list[Example]:
    answers = ["4", "hello you", "five"] * len(QUESTIONS)
    plain = [chat(question, answer) for question, answer in zip(QUESTIONS, answers, strict=False)]
    return [*plain, chat("hi", "another answer")]


def with_room(engine: Engine, rows: int, tokens: int) -> Engine:
    """The engine with a pool of so many rows and batches of so many tokens."""
    way = engine._pass
    assert isinstance(way, Batched)
    budget = replace(way.budget, pool_rows=rows, batch_tokens=tokens)
    return replace(engine, _pass=replace(way, budget=budget))


def predictions(
    engine: Engine, some: Sequence[Example], drafts: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Prediction]:
    """Predictions by example id; each example must have exactly one."""
    plan = engine.plan(some, drafts)
    found = [one.prediction for batch in engine.run(plan, "evaluation") for one in batch]
    by_id = {one.example_id: one for one in found}
    assert len(by_id) == len(found) == len(some)
    return by_id


def check(reference: Reference, some: Sequence[Example], found: Mapping[str, Prediction]) -> None:
    for example in some:
        prompt = reference.prompt_of(example.messages[0]["content"])
        seen = found[example.example_id]
        check_target(seen, reference, prompt, [*reference.ids(example.target), END])
        check_text(seen, reference, prompt)


def said(reference: Reference, example: Example) -> str:
    prompt = reference.prompt_of(example.messages[0]["content"])
    return reference.text(reference.generate(prompt, NEW_TOKENS))


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_and_texts_are_the_same_whatever_the_room(
    checkpoint: Checkpoint, kind: str
) -> None:
    reference, some = Reference(checkpoint(kind)), examples()
    engine = load(checkpoint(kind), settings())
    for seed, rows in enumerate((1, 2, 3, 5)):
        chance = random.Random(seed)
        chance.shuffle(some)
        narrow = with_room(engine, rows, chance.randint(1, 150))
        check(reference, some, predictions(narrow, some))


@pytest.mark.parametrize("kind", KINDS)
def test_drafts_change_no_number_whether_right_wrong_or_half_right(
    checkpoint: Checkpoint, kind: str
) -> None:
    reference, some = Reference(checkpoint(kind)), examples()
    engine = load(checkpoint(kind), settings())
    right = {one.example_id: said(reference, one) for one in some}
    half = {name: f"{text[:5]}0{text[5:]}" for name, text in right.items()}
    wrong = dict.fromkeys(right, "quite another text")
    for drafts in (right, half, wrong):
        given = {name: (text,) for name, text in drafts.items()}
        for rows in (2, 8):
            check(reference, some, predictions(with_room(engine, rows, 200), some, given))


def test_right_drafts_are_accepted_and_take_fewer_steps(checkpoint: Checkpoint) -> None:
    reference, some = Reference(checkpoint("llama")), examples()
    plain = load(checkpoint("llama"), settings())
    predictions(plain, some)
    drafted = load(checkpoint("llama"), settings())
    before = drafted.tally["decode_steps"]
    predictions(drafted, some, {one.example_id: (said(reference, one),) for one in some})
    earlier = drafted._pass.tally.acceptance
    assert earlier.offered["earlier"] > 0
    # But for the end that a text cut by its length does not have.
    assert earlier.accepted["earlier"] >= earlier.offered["earlier"] - len(some)
    assert drafted.tally["decode_steps"] - before < (plain.tally["decode_steps"] - before) / 2


def test_wrong_drafts_are_soon_no_longer_offered_where_they_cost(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "FREE_TOKENS", {"cpu": 0})
    some = examples()
    engine = load(checkpoint("llama"), settings())
    predictions(engine, some, {one.example_id: ("0123456789",) for one in some})
    # Each text's draft is wrong from the first token on, and is offered once at most.
    acceptance = engine._pass.tally.acceptance
    assert acceptance.share("earlier") < pool.SURE
    assert 0 < acceptance.offered["earlier"] <= pool.FIRST_DRAFT * len(some)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_stop_string_within_a_draft_ends_the_text_there(
    checkpoint: Checkpoint, rows: int
) -> None:
    reference = Reference(checkpoint("llama"))
    some = [chat(question, "4") for question in QUESTIONS]
    for example in some:
        text = said(reference, example)
        if len(text) > 6:
            break
    stop = text[3:5]
    engine = with_room(load(checkpoint("llama"), settings(stop=[stop])), rows, 200)
    found = predictions(engine, some, {one.example_id: (said(reference, one),) for one in some})
    seen = found[example.example_id]
    prompt = reference.prompt_of(example.messages[0]["content"])
    tokens = reference.generate_until(prompt, NEW_TOKENS, stop)
    assert seen.finish_reason == "stop"
    assert seen.generated_tokens == len(tokens)
    assert seen.generated_text == text[: text.index(stop)]


@pytest.mark.parametrize("longest_first", [True, False])
def test_rows_are_as_long_as_what_is_in_them_needs_within_the_room(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, longest_first: bool
) -> None:
    sizes: list[tuple[int, int]] = []

    class Noted(Slots):
        def __init__(self, rows: int, columns: int) -> None:
            super().__init__(rows, columns)
            sizes.append((rows, columns))

        def resize(self, rows: int, columns: int, lengths: Sequence[int]) -> None:
            super().resize(rows, columns, lengths)
            sizes.append((rows, columns))

    reference, engine = Reference(checkpoint("gemma3")), load(checkpoint("gemma3"), settings())
    short = [chat(f"{number}?", "4") for number in range(8)]
    long = [chat(f"{number} {'why ' * 15}", "4") for number in range(4)]
    predictions(engine, short)
    way, room = engine._pass, 200
    assert isinstance(way, Batched)
    decoder = way.decoder
    budget = Budget(decoder.head_bytes + 2 * room * decoder.token_bytes, 100, 48)
    narrow = replace(engine, _pass=replace(way, budget=budget))
    first, then = (long, short) if longest_first else (short, long)
    plan = narrow.plan(first).then(narrow.plan(then))
    monkeypatch.setattr(pool, "Slots", Noted)
    found = [one.prediction for some in narrow.run(plan, "evaluation") for one in some]
    assert len(found) == 12
    check(reference, [*short, *long], {one.example_id: one for one in found})
    lengths = [
        len(reference.prompt_of(some[0].messages[0]["content"])) + NEW_TOKENS
        for some in (first, then)
    ]
    assert [columns for _, columns in sizes] == lengths
    assert [rows for rows, _ in sizes] == [room // length for length in lengths]


def test_what_stands_in_a_cache_stays_when_its_size_changes() -> None:
    cache, other = Slots(2, 3), Slots(1, 3)
    other.layers.append(Slot(1, 3))
    states = torch.arange(3.0).reshape(1, 1, 3, 1) + 1
    other.layers[0].lazy_initialization(states, 10 * states)
    other.layers[0].keys.copy_(states)
    other.layers[0].values.copy_(10 * states)
    cache.copy_row(1, other, 0, 0, 3)
    cache.copy_row(0, other, 0, 1, 2)
    cache.resize(3, 4, [2, 3])
    assert cache.layers[0].keys[:, 0, :, 0].tolist() == [[0, 2, 0, 0], [1, 2, 3, 0], [0] * 4]
    cache.resize(1, 2, [2])
    assert cache.layers[0].values[:, 0, :, 0].tolist() == [[0, 20]]
    assert (cache.rows, cache.columns, cache.layers[0].get_max_length()) == (1, 2, 2)
