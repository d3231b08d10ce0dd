"""Are Milepost's numbers those of lm-evaluation-harness? `python -m benchmarks.parity`

Both run the same checkpoints on the same rows, as the same token ids: Gemma 3 270M on real text,
and a checkpoint of the demo on its own suites. lm-eval takes its log-softmax in float64, by its own
setting. Exits with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks import gemma, ours, publish, training
from benchmarks.report import Bar
from benchmarks.rows import choice
from benchmarks.sides import Machine, Request, Took, Work, fresh
from data.puzzles import FOLDER, MINING_NAME
from evaluators.suites import read_suite
from store.records import Example

DIFFERENCE = Bar(1e-3, "at most")
TEXTS = Bar(1.0, "at least")
PROMPTS = range(50, 151)  # of short answers and choices; long answers have longer ones too
GEMMA_TOKENS = 32
DEMO_TOKENS = 32
DEMO_SUITES = ("easy_50", "medium_50", "hard_50", MINING_NAME)
CHOICES = 4
SCORING_SIZE = 2
WRITING_SIZE = 8
# In float32, lm-eval's log-softmax over Gemma's 262,144 words is off by 1e-5 to 4e-5 nats a token.
SOFTMAX = "float64"


class Parity(NamedTuple):
    """How two sides' numbers of the same rows compare; differences in nats, a sum a target."""

    rows: int
    targets: int
    mean_difference: float
    largest_difference: float
    texts: int
    equal_texts: int
    choices: int
    our_correct: int
    their_correct: int

    @property
    def holds(self) -> bool:
        """Whether every bar is kept, and the choices made are right equally often."""
        return (
            DIFFERENCE.holds(self.largest_difference)
            and self.equal_texts == self.texts
            and self.our_correct == self.their_correct
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a sixth of the rows")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="keep the numbers for the docs")
    chosen = parser.parse_args()
    machine = Machine(chosen.device, chosen.dtype, chosen.threads)
    share = 6 if chosen.quick else 1
    found = {
        "Gemma 3 270M": measure(_gemma(share), machine),
        "the demo's checkpoint": measure(_demo(share), machine),
    }
    for name, one in found.items():
        print("\n".join(lines(name, one)), flush=True)
    if chosen.record:
        publish.record("parity", {name: one._asdict() for name, one in found.items()})
    sys.exit(0 if all(one.holds for one in found.values()) else 1)


def measure(work: Work, machine: Machine) -> Parity:
    """Runs both sides on the rows of one checkpoint, each in its own process."""
    from benchmarks import peer

    mine = fresh(ours.run, work, machine)
    requests = fresh(ours.requests, work, machine)
    sizes = peer.Sizes(SCORING_SIZE, WRITING_SIZE)
    _, theirs = fresh(peer.run, work, machine, requests, sizes, SOFTMAX)
    return compare(mine, theirs, requests)


def compare(mine: Took, theirs: Took, requests: Sequence[Request]) -> Parity:
    """The two sides' numbers, row by row. Raises KeyError where one side has not scored a row."""
    differences = [
        abs(a - b)
        for one in requests
        for a, b in zip(mine.scores[one.example_id], theirs.scores[one.example_id], strict=True)
    ]
    written = [one.example_id for one in requests if one.generates]
    choices = [one for one in requests if len(one.targets) > 1]
    return Parity(
        rows=len(requests),
        targets=len(differences),
        mean_difference=sum(differences) / len(differences),
        largest_difference=max(differences),
        texts=len(written),
        equal_texts=sum(mine.texts[one] == theirs.texts[one] for one in written),
        choices=len(choices),
        our_correct=correct(choices, mine.scores),
        their_correct=correct(choices, theirs.scores),
    )


def correct(choices: Sequence[Request], scores: Mapping[str, Sequence[float]]) -> int:
    """How many rows have their answer as the likeliest choice."""
    return sum(
        max(range(len(one.targets)), key=lambda place: scores[one.example_id][place]) == one.answer
        for one in choices
    )


def lines(name: str, one: Parity) -> list[str]:
    """A comparison as text."""
    return [
        f"{name}: {one.rows} rows, {one.targets} targets scored",
        f"  log-likelihood, mean difference: {one.mean_difference:.1e} nats",
        f"  log-likelihood, largest difference: {one.largest_difference:.1e} nats ({DIFFERENCE})",
        f"  equal texts: {one.equal_texts} of {one.texts}",
        f"  right choices: {one.our_correct} of {one.choices}; lm-eval's: {one.their_correct}",
        f"  {'ok' if one.holds else 'MISSED'}",
    ]


def _gemma(share: int) -> Work:
    folder = gemma.folder()
    kinds = fresh(
        ours.rows_of,
        folder,
        ours.Wanted(128 // share, PROMPTS),
        ours.Wanted(24 // share),
        ours.Wanted(48 // share, PROMPTS),
    )
    return Work(folder, (*kinds.short, *kinds.long, *kinds.choice), GEMMA_TOKENS, ("\n",))


def _demo(share: int) -> Work:
    """The demo's last checkpoint on its suites, a part with answers to choose from."""
    suites = [read_suite(name, FOLDER / f"{name}.jsonl") for name in DEMO_SUITES]
    rows = [row for suite in suites[:-1] for row in suite.examples]
    asked = [*rows[::share], *with_choices(suites[-1].examples)[:: 2 * share]]
    return Work(training.demo_checkpoints()[-1], tuple(asked), DEMO_TOKENS)


def with_choices(rows: Sequence[Example]) -> list[Example]:
    """The rows with the answers of the rows after them to choose from."""
    found = []
    for place, row in enumerate(rows):
        following = (rows[(place + step) % len(rows)].target for step in range(1, len(rows)))
        others = list(dict.fromkeys(one for one in following if one != row.target))
        options = others[: CHOICES - 1]
        options.insert(place % CHOICES, row.target)
        found.append(choice(row.messages[-1]["content"], row.target, tuple(options)))
    return found


if __name__ == "__main__":
    main()
