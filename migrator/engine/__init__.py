"""The heart: one pass over one mailbox, and every decision in it. Knows contracts and the ledger, never a vendor."""
