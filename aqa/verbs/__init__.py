"""The four verbs as plain functions, usable from a notebook."""
