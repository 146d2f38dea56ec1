"""aqa: fine-tune, run and compare generative readers on the same evidence."""

__version__ = "0.1.0"
