"""aqa: fine-tune, run and compare generative readers on the same evidence."""

from aqa.version import __version__

__all__ = ["__version__"]
