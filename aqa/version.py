"""The version of aqa, defined only here."""

__version__ = "0.1.0"
