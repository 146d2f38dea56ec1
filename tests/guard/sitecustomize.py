"""Python imports this at its start wherever PYTHONPATH names the folder, as in all tests."""

import loopback_only  # noqa: F401
