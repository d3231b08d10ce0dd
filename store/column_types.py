"""The types of all columns, chosen so that both databases keep and order the same values.

SQLite's INTEGER and REAL have 64 bits, PostgreSQL's only 32; and PostgreSQL compares texts by the
database's language unless a column says "C": by their bytes, as SQLite does.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Dialect, Double, Integer, LargeBinary, Text
from sqlalchemy.types import REAL, TypeDecorator, TypeEngine


class WholeNumber(TypeDecorator[int]):
    """An integer of 64 bits. True and False are 1 and 0, which PostgreSQL would not take."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """INTEGER on SQLite: the only type that can be its rowid."""
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """The value as an int."""
        return None if value is None else int(value)

    @property
    def python_type(self) -> type[int]:
        """What rows hold."""
        return int


def storable(text: str) -> str:
    """The text with ␀ (U+2400) in place of U+0000, which no text of PostgreSQL can hold."""
    return text.replace("\0", "␀") if "\0" in text else text


class Words(TypeDecorator[str]):
    """A text, ordered by its bytes."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """SQLite orders by bytes anyway."""
        return Text() if dialect.name == "sqlite" else self.impl_instance

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The text as both databases can keep it."""
        return None if value is None else storable(value)

    @property
    def python_type(self) -> type[str]:
        """What rows hold."""
        return str


class Json(TypeDecorator[Any]):
    """A JSON value as canonical text: sorted keys, no non-finite numbers; NULL for None."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text with the order of TEXT."""
        return Text() if dialect.name == "sqlite" else self.impl_instance

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The value as text."""
        return None if value is None else dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        """The text as a value."""
        return None if value is None else json.loads(value)


TEXT = Words(collation="C")
INTEGER = WholeNumber()
REAL_NUMBER: TypeEngine[float] = Double().with_variant(REAL(), "sqlite")
BLOB = LargeBinary()
JSON = Json(collation="C")


def dumps(value: Any) -> str:
    """Canonical JSON text. Raises ValueError for a non-finite number."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
