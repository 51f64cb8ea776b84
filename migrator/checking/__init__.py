"""Holds a target against its source. Shares no code with whoever writes."""
