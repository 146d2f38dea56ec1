"""Imported by Python at its start if PYTHONPATH names this folder, as in all tests."""

import loopback_only  # noqa: F401
