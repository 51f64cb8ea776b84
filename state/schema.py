"""The ledger's tables, the same on SQLite and Postgres. Revisions in alembic/ must always add up to these.

installation   one row: which ledger this is and whom it belongs to
mailboxes      state, lease and listing round of each mailbox
passes         what ran when, and how it ended
folders        source folders, where they went, and how far their feed was read
items          one compact row for every item ever seen
open_items     what is still to be done about some of them, under the item's own number
tallies        rows and bytes by folder and state, kept in the same transactions as the rows
hints          until when a server asked to be left alone
notes          what happened, in sentences
decisions      what a person decided about items that can't go: who, why, when
kept           where the content of an item that can't go lies, and its hash
settings       what became of each rule, category and the like of a mailbox
waves          whether the mailboxes of a wave may run, and its schedule
acts           what operators did: who, when, why
confirmations  steps outside of this program that people did for a mailbox
observations   the last thing seen of each kind about a mailbox
answers        what probes were answered
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    true,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only where the type is exactly INTEGER.
_RowNumber = BigInteger().with_variant(Integer, "sqlite")

installation = Table(
    "installation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("token", Text, nullable=False),
    Column("made", Double, nullable=False),
    Column("tenant", Text),
    Column("source", Text),
)

mailboxes = Table(
    "mailboxes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("wave", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_folded", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("came_from", Text),
    Column("cause", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", Double, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("claimed", Boolean, nullable=False),
    # Once a folder changed under an equal change stamp, this is false for good.
    Column("trusts_stamps", Boolean, nullable=False, server_default=true()),
    # Further columns of the spreadsheet, as JSON.
    Column("details", Text, nullable=False, server_default="{}"),
    UniqueConstraint("source_folded"),
)

passes = Table(
    "passes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("mailbox_id", Integer, ForeignKey("mailboxes.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("cause", Text, nullable=False),
    Column("figures", Text, nullable=False),
    Index(None, "mailbox_id", "id"),
)

folders = Table(
    "folders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("mailbox_id", Integer, ForeignKey("mailboxes.id"), nullable=False),
    Column("source_id", Text, nullable=False),
    Column("parent_source_id", Text),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("role", Text),
    Column("target_id", Text),
    Column("cursor", Text),
    Column("fingerprint", Text, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    # The stamp that was read before the feed was last read to its end; NULL: none, or none to be trusted.
    Column("change_stamp", Text),
    Column("absent", Integer, nullable=False),
    # The round that last told of its absence: a round that is told twice counts an absence once.
    Column("told", Integer, nullable=False),
    # When its feed was last read to its end, in wall-clock seconds; 0: not since there are stamps.
    Column("read_at", Double, nullable=False, server_default="0"),
    UniqueConstraint("mailbox_id", "source_id"),
)

# No foreign keys on the two tables that every write touches: the fence already proves the mailbox, and a check for every row
# costs more than the row. Numbers of a row lie before its bytes, widest first, so that Postgres pads nothing.
# Rows lie in the order of their listing, so that a batch of neighbours changes two pages and not one page an item: with the
# key as the order of the table (WITHOUT ROWID) an intent costs twice as much, and 20 bytes an item are all it saves.
items = Table(
    "items",
    metadata,
    Column("id", _RowNumber, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("mailbox_id", Integer, nullable=False),
    Column("folder_id", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("marks", SmallInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("version", LargeBinary, nullable=False),
    Column("identity", LargeBinary, nullable=False),
    Column("lane", Text, nullable=False),
    Column("target", LargeBinary),
    Column("target_version", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    UniqueConstraint("mailbox_id", "key"),
)

# mailbox, state and folder are the item's, repeated because the work list is read in their order.
open_items = Table(
    "open_items",
    metadata,
    Column("item", _RowNumber, primary_key=True, autoincrement=False),
    Column("intended_at", Double, nullable=False),
    Column("mailbox_id", Integer, nullable=False),
    Column("folder_id", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("batch", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("item_id", LargeBinary, nullable=False),
    Column("source_version", LargeBinary, nullable=False),
    Column("work", Text, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Column("old_target", LargeBinary),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("code", Text, nullable=False),
    Index(None, "mailbox_id", "state", "folder_id", "item"),
)

tallies = Table(
    "tallies",
    metadata,
    Column("mailbox_id", Integer, ForeignKey("mailboxes.id"), primary_key=True),
    Column("folder_id", Integer, primary_key=True, autoincrement=False),
    Column("state", SmallInteger, primary_key=True, autoincrement=False),
    Column("items", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

hints = Table(
    "hints",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("until", Double, nullable=False),
)

notes = Table(
    "notes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("mailbox_id", Integer, ForeignKey("mailboxes.id")),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index(None, "mailbox_id", "id"),
)

# What a person decided is only ever added to; the last decision about an item counts, and only for the version and the reason
# that it was made on.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("mailbox_id", Integer, ForeignKey("mailboxes.id"), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("version", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Index(None, "mailbox_id", "key", "id"),
)

kept = Table(
    "kept",
    metadata,
    Column("mailbox_id", Integer, ForeignKey("mailboxes.id"), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("at", Double, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("file", Text, nullable=False),
    Column("sha256", Text, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("mailbox_id", Integer, ForeignKey("mailboxes.id"), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("at", Double, nullable=False),
    Column("waits", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("stored", LargeBinary, nullable=False),
)

waves = Table(
    "waves",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("details", Text, nullable=False),
)

acts = Table(
    "acts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("mailbox_id", Integer, ForeignKey("mailboxes.id")),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("wave", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("about", Text, nullable=False),
    Index(None, "mailbox_id", "id"),
)

confirmations = Table(
    "confirmations",
    metadata,
    Column("mailbox_id", Integer, ForeignKey("mailboxes.id"), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

observations = Table(
    "observations",
    metadata,
    Column("mailbox_id", Integer, ForeignKey("mailboxes.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("about", Text, nullable=False),
)

answers = Table(
    "answers",
    metadata,
    Column("question", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("build", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("answer", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
