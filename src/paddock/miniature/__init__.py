"""A small generated world with known truth."""
