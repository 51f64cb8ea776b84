"""What did not go, as work for a person."""
