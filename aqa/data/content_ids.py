"""Ids for what has none, made from what it says."""

import hashlib


def short_hash(text: str) -> str:
    """Give the first 16 hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_id(title: str, text: object) -> str:
    """Make an id for a passage that has none."""
    return short_hash(f"{title}\n{text}")
