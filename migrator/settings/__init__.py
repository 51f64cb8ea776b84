"""What is no item: rules, categories, replies, permissions."""
