"""The newest revision of the ledger's schema, apart from the schema itself, so that asking for it loads no database library."""

from __future__ import annotations

from typing import Final

HEAD: Final = "0005"
"""The newest revision. A constant, so that opening a ledger need not load alembic; a test holds it to the revisions."""
