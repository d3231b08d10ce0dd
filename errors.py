"""Every error that Milepost raises on purpose.

MilepostError
├── UsageError              the command line or milepost.toml is wrong   (exit code 2)
│   └── SettingsError
├── SuiteError              a suite file cannot be used
├── PatternFault            a target is no regular expression that RE2 can read
├── GraderFault             a user's own grader raised, or returned what is no grade
├── StoreError              the database refused, or was found wrong
│   ├── ConcurrencyError    another process appended to the stream first
│   ├── EventConflict       one event id, two payloads
│   ├── UnknownEvent        the log holds a type or version this Milepost does not know
│   ├── DatabaseMismatch    no Milepost database, or one from a newer Milepost
│   ├── DatabaseDamaged     the file is not what SQLite wrote
│   ├── DatabaseBusy        another process kept the database locked
│   ├── DiskFull            the disk has no space left, or the database may not grow
│   ├── ProjectionStopped   a derived view failed and stands still until it is mended
│   ├── DerivedAnew         a view is derived from the log again and is not whole yet
│   └── QueryTimeout        a query of `milepost sql` took longer than it may
├── ExportFault             a file could not be written
├── SyncFault               rsync did not bring the files
├── PruneFault              a checkpoint could not be deleted
├── NotifyFault             a message about alerts was not taken by its service
├── CheckpointFault         a folder that is not a usable checkpoint
│   ├── Unfinished          something is missing that may still be written
│   └── Unusable            what is there is wrong
└── EvaluationFault         a checkpoint could not be evaluated
    ├── ModelLoadFault      the model or tokenizer did not load
    └── NothingScored       not one example of a suite gave a number

A message says what was wrong, where (file, line, row) and what to do about it.
"""

from __future__ import annotations


class MilepostError(Exception):
    """The root: catch it to catch whatever Milepost raises on purpose."""

    exit_code = 3


class UsageError(MilepostError):
    """The command line asks for something that does not exist or does not fit."""

    exit_code = 2


class SettingsError(UsageError):
    """milepost.toml is missing, is not TOML, or holds a key or value that does not fit."""


class SuiteError(MilepostError):
    """A suite file is missing, unreadable, or has not one usable row."""


class PatternFault(MilepostError):
    """A target is no regular expression, or has what RE2 does not read."""


class GraderFault(MilepostError):
    """A user's own grader raised an error, or returned something that is no grade."""


class StoreError(MilepostError):
    """The database refused an operation or holds something that it must not."""


class ConcurrencyError(StoreError):
    """Another process appended to the stream first.

    `expected` is the stream version that the caller had seen, `found` the one in the log.
    """

    def __init__(self, stream: str, expected: int, found: int) -> None:
        super().__init__(
            f"stream {stream!r} is at version {found}, not at {expected} as expected: another "
            "process appended first. Read the stream again and decide anew."
        )
        self.stream = stream
        self.expected = expected
        self.found = found


class EventConflict(StoreError):
    """An event id that the log already holds came again with another payload."""


class UnknownEvent(StoreError):
    """The log holds an event type or schema version that this Milepost does not know."""


class DatabaseMismatch(StoreError):
    """The file is not a Milepost database, or a newer Milepost made it."""


class DatabaseDamaged(StoreError):
    """The file is not what SQLite wrote: a disk, a copy or another program spoiled it."""


class DatabaseBusy(StoreError):
    """Another process kept the database locked for longer than Milepost waits."""


class DiskFull(StoreError):
    """There is no space to write to; what was acknowledged is in the log."""


class ProjectionStopped(StoreError):
    """A derived view failed; its rows stand where they were until it is mended."""


class DerivedAnew(StoreError):
    """A view is derived from the log again, from its beginning, and is not whole yet."""


class QueryTimeout(StoreError):
    """A query took longer than `seconds`, and was stopped."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the query was stopped after {seconds:g} s. --timeout SECONDS gives it more; a WHERE "
            "on run, step or suite makes it faster."
        )
        self.seconds = seconds


class ExportFault(MilepostError):
    """A file could not be written; the message names it."""


class SyncFault(MilepostError):
    """rsync did not bring the files; the message holds its exit code and last words."""


class PruneFault(MilepostError):
    """A checkpoint that retention no longer keeps could not be deleted."""


class NotifyFault(MilepostError):
    """A message about alerts was not taken; the reason never holds the address, a secret."""


class CheckpointFault(MilepostError):
    """A folder under the watched path is not, or not yet, a usable checkpoint."""


class Unfinished(CheckpointFault):
    """Something is missing that may still be written."""


class Unusable(CheckpointFault):
    """What is there is wrong: writing more will not mend it."""


class EvaluationFault(MilepostError):
    """A checkpoint could not be evaluated. `retriable` says whether trying again can help."""

    retriable = False


class ModelLoadFault(EvaluationFault):
    """The model or its tokenizer did not load from the checkpoint."""


class NothingScored(EvaluationFault):
    """Not one example of a suite gave a number, so there is nothing to show for it."""
