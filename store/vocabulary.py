"""Refuses a log that a newer Milepost wrote to, before anything is read from it or added to it.

A reader that asks for the types it knows would pass over the others, and show numbers that are not
what the log says. Whoever appends to a type last has the newest version of it, so one look at the
newest event of each type is enough; an older one that does not fit is found when it is read.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from store.events import known

# Which types are in the log, and what is the newest event of each? By hops over the index of types,
# so that the length of the log does not matter.
NEWEST_OF_EACH_TYPE = """
WITH RECURSIVE kind (type) AS (
    SELECT min(type) FROM event
    UNION ALL
    SELECT (SELECT min(event.type) FROM event WHERE event.type > kind.type)
    FROM kind
    WHERE kind.type IS NOT NULL
)
SELECT event.type, event.schema_version, event.position
FROM kind
JOIN event ON event.position = (
    SELECT max(newest.position) FROM event AS newest WHERE newest.type = kind.type
)
ORDER BY event.position
"""


def refuse_unknown(connection: Connection) -> None:
    """Raises UnknownEvent, naming the position, for a type or version not known here."""
    for row in connection.execute(text(NEWEST_OF_EACH_TYPE)):
        known(row.type, row.schema_version, row.position)
