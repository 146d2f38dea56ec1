"""Draw progress, messages and results, for the command line and notebooks."""
