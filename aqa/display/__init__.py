"""How progress, messages and results are drawn: what the command line and notebooks share."""
