"""Arrays as Postgres reads them, held against Postgres itself."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, make_url

from state.columns import Columns

TEXTS = ["", "plain", 'a "quoted" one', "back\\slash", "a,b{c}", "NULL", "  blanks ", "line\nbreak", "ü €", "\\x41"]
BYTES = [b"", b"\x00\xff", None, b"NULL", b"\\", bytes(range(256)), b"x", b'"', b"{}", b","]
NUMBERS = [0, -1, 2**62, 7, 1, 2, 3, 4, 5, 6]
SECONDS = [0.0, 1.5, 1764003600.123456, 1e-9, 2.0, 3.0, 4.0, 5.0, 6.0, 7.25]


def test_postgres_reads_back_what_was_written_as_arrays(postgres_server: str) -> None:
    columns = Columns("SELECT * FROM {rows}", ["text", "bytea", "bigint", "double precision"])
    rows = list(zip(TEXTS, BYTES, NUMBERS, SECONDS, strict=True))
    engine = create_engine(make_url(postgres_server).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        found = [tuple(one) for one in connection.exec_driver_sql(columns.text, columns.values(rows))]
    engine.dispose()
    assert found == rows


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Columns("SELECT * FROM {rows}", ["bigint", "text"]).values([(1, "a"), (2,)])
