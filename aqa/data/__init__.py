"""Stream examples from files, folders and hub data sets of any common format."""

from aqa.data.formats import OnDuplicateId, Source
from aqa.data.surveys import Survey, read_examples, survey

__all__ = ["OnDuplicateId", "Source", "Survey", "read_examples", "survey"]
