"""What wrong answers have in common, by their texts: clusters of how each differs from its target.

An answer becomes the edits that turn its target into it, each with the kind of sign and the place;
these are clustered by the cosine distance of their TF-IDF of character n-grams, average linkage.
Nothing is drawn at random: the same answers give the same clusters, in any order.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

MOST = 1_000  # texts: distances are kept for all pairs
FARTHEST = 0.35  # cosine distance at which two clusters are no longer one
NGRAMS = (3, 5)
LONGEST = 400  # characters of a text that are compared
LEAST = 3  # answers that make a cluster


class Wrong(NamedTuple):
    """A wrong answer: the prompt, the answer that it should be, and what was said."""

    example_id: str
    prompt: str
    target: str
    answer: str


class Cluster(NamedTuple):
    """Answers that are wrong in the same way; `label` is the commonest, of `labelled` of them."""

    label: str
    labelled: int
    members: tuple[Wrong, ...]


def clusters(wrong: Sequence[Wrong]) -> list[Cluster]:
    """The clusters of LEAST answers or more, the largest first; of MOST answers by their ids."""
    chosen = sorted(wrong)[:MOST]
    if len(chosen) < LEAST:
        return []
    found: dict[int, list[Wrong]] = {}
    for one, number in zip(chosen, _numbers([edits(one) for one in chosen]), strict=True):
        found.setdefault(number, []).append(one)
    made = [_cluster(members) for members in found.values() if len(members) >= LEAST]
    return sorted(made, key=lambda one: (-len(one.members), one.label, one.members))


def _numbers(texts: Sequence[str]) -> list[int]:
    # scikit-learn takes a second to import, and most pages need none of it.
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=NGRAMS).fit_transform(texts)
    model = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=FARTHEST
    )
    return [int(number) for number in model.fit_predict(vectors.toarray())]


def _cluster(members: Sequence[Wrong]) -> Cluster:
    labels = Counter(label(one) for one in members)
    name, n = min(labels.items(), key=lambda one: (-one[1], one[0]))
    return Cluster(name, n, tuple(members))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())[:LONGEST]


def edits(one: Wrong) -> str:
    """The edits from target to answer as words, such as "replace-digit-digit-end"."""
    target, answer = _plain(one.target), _plain(one.answer)
    if not answer:
        return "nothing"
    if answer == _plain(one.prompt):
        return "question"
    words = []
    for what, low, high, start, end in SequenceMatcher(
        None, target, answer, autojunk=False
    ).get_opcodes():
        if what != "equal":
            place = "start" if low == 0 else "end" if high == len(target) else "middle"
            words.append(f"{what}-{_kind(target[low:high])}-{_kind(answer[start:end])}-{place}")
    return " ".join(words) or "spaces"


def _kind(text: str) -> str:
    if not text:
        return "none"
    kinds = {"digit" if sign.isdigit() else "letter" if sign.isalpha() else "sign" for sign in text}
    kind = kinds.pop() if len(kinds) == 1 else "mixed"
    return kind if len(text) == 1 else f"{kind}s"


def label(one: Wrong) -> str:
    """How an answer differs from its target, in words: the first that fits."""
    target, answer = _plain(one.target), _plain(one.answer)
    if not answer:
        return "says nothing"
    if answer == _plain(one.prompt):
        return "repeats the question"
    if answer.casefold() == target.casefold():
        return "the same but for upper and lower case or spaces"
    numbers = _number(target), _number(answer)
    if numbers[0] is not None and numbers[1] is not None:
        return _by_how_much(numbers[0], numbers[1])
    if target.startswith(answer):
        return "begins well and ends too early"
    if answer.startswith(target):
        return "right, and then goes on"
    if sorted(target) == sorted(answer):
        return "the same signs in another order"
    return _by_length(target, answer)


def _number(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() else None


def _by_how_much(target: int, answer: int) -> str:
    apart = abs(target - answer)
    if apart in (1, 10, 100):
        return f"a number off by {apart}"
    same = len(str(target)) == len(str(answer))
    return "another number of as many digits" if same else "a number of more or fewer digits"


def _by_length(target: str, answer: str) -> str:
    if len(target) == len(answer):
        wrong = sum(one != other for one, other in zip(target, answer, strict=True))
        return "one sign is another" if wrong == 1 else "as long, with several other signs"
    return "shorter, with other signs" if len(answer) < len(target) else "longer, with other signs"
