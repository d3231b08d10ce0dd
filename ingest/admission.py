"""Says whether a whole checkpoint may come in: what would be run is refused unless allowed."""

from __future__ import annotations

from ingest.arrival import Complete
from settings import Trust


def refusal(complete: Complete, trust: Trust) -> str | None:
    """Why `complete` is refused, with the file and the key that would allow it; or None."""
    if complete.weights.pickle is not None and not trust.allow_pickle:
        return (
            f"{complete.weights.pickle} is a pickle, and loading one can run code that someone "
            "hid in it. Save as safetensors, as save_pretrained does, or, if you trust where it "
            "comes from, set allow_pickle = true under [watch]."
        )
    if complete.code is not None and not trust.runs_code_of(complete.folder):
        return (
            f"{complete.code} that comes with the checkpoint, and it would be run. If you trust "
            f'it, set trust_remote_code = ["{complete.run}"] under [evaluation]; if transformers '
            "knows this architecture itself, delete that key from the file."
        )
    return None
