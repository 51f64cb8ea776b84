"""Runs revisions on the connection and in the transaction of ``state.migrate``."""

from alembic import context
from state.schema import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("The ledger is migrated by `migrator db upgrade`, not by alembic's own command.")
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite can't change most of a table in place; a batch makes it anew.
    render_as_batch=True,
    # The driver begins no transactions of its own here, so that SQLite's are whole ones.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
