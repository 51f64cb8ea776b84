"""One person's questions: what there is, where an item is, carry it again, take it back."""
