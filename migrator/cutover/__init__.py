"""The weekend: from READY to CLOSED, with a way back on each edge."""
