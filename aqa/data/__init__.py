"""Examples from files, folders and data sets of the hub, streamed, whatever their format."""

from aqa.data.formats import OnDuplicateId, Source
from aqa.data.surveys import Survey, read_examples, survey

__all__ = ["OnDuplicateId", "Source", "Survey", "read_examples", "survey"]
