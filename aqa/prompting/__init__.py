"""From an example to the prompt that a reader gets."""
