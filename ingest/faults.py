"""The two ways in which a folder is not a usable checkpoint: not yet, or not as it is."""

from __future__ import annotations

from errors import CheckpointFault


class Unfinished(CheckpointFault):
    """Something is missing that may still be written."""


class Unusable(CheckpointFault):
    """What is there is wrong: writing more will not mend it."""
