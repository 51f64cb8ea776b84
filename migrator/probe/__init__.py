"""Asks a pilot what this pair of servers does, and reads the answers."""
