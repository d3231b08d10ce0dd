"""Evaluates in a process that may take only so much memory, and says what came of it.

    python -m tests.evaluators.shortage FOLDER ROOM BUDGET

ROOM is the bytes that it may take beyond what it has once the model is loaded, 0 for no limit;
BUDGET is `memory_bytes` in its settings. The long text is left out where the budget is the room.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import psutil

from evaluators.engine import load
from tests.evaluators.checks import settings
from tests.evaluators.reference import bare, chat

SHORT = [chat(f"{number}+{number}?", "no, that is not the answer") for number in range(60)]
LONG = bare("abcdefgh" * 225)


def main(folder: Path, room: int, budget: int) -> None:
    """Prints predictions by example id, and the tally, as JSON."""
    engine = load(folder, settings(memory_bytes=budget))
    plan = engine.plan(SHORT if room == budget else [*SHORT, LONG])
    if room:
        taken = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (taken + room, resource.RLIM_INFINITY))
    found = [one.prediction for batch in engine.run(plan, "evaluation") for one in batch]
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    rows = [(one.example_id, one.error, one.target_logprob, one.generated_text) for one in found]
    print(json.dumps({"rows": rows, "tally": engine.tally}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
