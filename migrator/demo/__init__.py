"""The whole job against a lab of its own."""
