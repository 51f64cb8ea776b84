"""When each folder's feed was last read, and whether a mailbox's change stamps are to be trusted."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mailboxes", sa.Column("trusts_stamps", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("folders", sa.Column("read_at", sa.Double(), nullable=False, server_default="0"))
    # So far a stamp was kept when the tree was listed, whether or not the feed was read after it.
    op.execute("UPDATE folders SET change_stamp = NULL")
