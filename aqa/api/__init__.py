"""The Python API: the verbs, for data in memory or in files; re-exported by `aqa`."""
