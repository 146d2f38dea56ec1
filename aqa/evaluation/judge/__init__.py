"""A language model as judge of the answers."""
