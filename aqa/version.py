"""The version of aqa; it is nowhere else."""

__version__ = "0.1.0"
