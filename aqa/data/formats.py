"""Detect a source's format and read its examples."""

import json
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from aqa.config.in_memory_data import InMemoryData
from aqa.config.paths import expand_home
from aqa.config.shipped import PREFIX, locate_package_file
from aqa.data.columns import canonical_fields
from aqa.data.corpus import PASSAGES, with_corpus
from aqa.data.examples import RowParser
from aqa.data.files import STANDARD_INPUT, Row, complete, spooled_input
from aqa.data.hub import check_laid_out, is_hub_name, read_hub
from aqa.data.in_memory import read_in_memory
from aqa.data.retrieved import Retrieved
from aqa.data.rows import is_saved_dataset, read_row_file, read_saved_dataset
from aqa.data.shapes import plain_rows
from aqa.errors import DataError
from aqa.records import Example

MissingPassages = Literal["error", "empty"]
OnDuplicateId = Literal["error", "keep-first", "number"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where examples come from: a file, a folder, "package:NAME/FILE", the hub, or memory.

    "-" is standard input.

    `fields` maps a field (id, question, passages, answers, title) to the column to use.
    `passages` is a retriever's output, which replaces the rows' own passages; a question missing
    there is an error, or has no passages, according to `missing_passages`. `corpus` is the file
    in which `document_id`s, of the rows or of `passages`, are looked up. `normalize` "nfc"
    normalises questions, passages and answers to that Unicode form. Without `needs_passages`,
    data for scoring only need no passages and, if they have ids, no questions.
    """

    path: str | InMemoryData
    split: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    corpus: str | None = None
    on_duplicate_id: OnDuplicateId = "error"
    normalize: Literal["none", "nfc"] = "none"
    passages: str | None = None
    missing_passages: MissingPassages = "error"
    needs_passages: bool = True

    def names(self) -> dict[str, str | InMemoryData]:
        """Return what the user named, by what it contains."""
        named = {"data": self.path, "passages": self.passages, "corpus": self.corpus}
        return {kind: name for kind, name in named.items() if name is not None}


def read_unchecked(
    source: Source, parser: RowParser, retrieved: Retrieved | None
) -> Iterator[Example]:
    """Yield every example, repeated ids included; DataError if there are none."""
    empty = True
    with complete(source.path):
        for example in _examples(source, parser, retrieved):
            yield example
            empty = False
    if empty:
        raise DataError(f"{source.path} holds no examples")


def _examples(source: Source, parser: RowParser, retrieved: Retrieved | None) -> Iterator[Example]:
    rows = plain_rows(_rows(source), list(source.fields.values()))
    if retrieved is None:
        return (parser.example(place, row) for place, row in rows)
    pairs = ((parser.example(place, row), parser.has_id(row)) for place, row in rows)
    return _with_passages(pairs, retrieved, source.missing_passages)


def parser_of(source: Source) -> RowParser:
    """Make the parser of a source's rows; DataError if `fields` has an unknown field."""
    fields = canonical_fields(source.fields)
    if source.corpus is not None and source.passages is None:
        fields = {**fields, "passages": PASSAGES}
    joined = source.passages is not None
    return RowParser(fields, source.normalize == "nfc", joined, source.needs_passages)


@contextmanager
def open_passages(source: Source) -> Iterator[Retrieved | None]:
    """Index the source's passages file, if any; DataError says what is wrong with it."""
    if source.passages is None:
        yield None
        return
    passages = local_file(source.passages, "passages")
    corpus = None if source.corpus is None else local_file(source.corpus, "corpus")
    with closing(sqlite3.connect("")) as index:  # a temporary file, to save memory
        retrieved = Retrieved(passages.name, index, source.normalize == "nfc")
        retrieved.load(passages, corpus, canonical_fields(source.fields).get("id"))
        yield retrieved


def check_files(source: Source) -> None:
    """Check early that the files named by a source exist; DataError otherwise."""
    for what, name in source.names().items():
        if isinstance(name, str):
            local_path(name) if what == "data" else local_file(name, what)


def local_file(name: str, what: str) -> Path:
    """Return the path of a file to take `what` from; DataError if it does not exist."""
    path = local_path(name)
    if path is None or not path.is_file():
        problem = "no such file" if path is None or not path.exists() else "no single file"
        raise DataError(f"{name}: {problem} to read the {what} from; name one")
    return path


def local_path(name: str) -> Path | None:
    """Return the path if it exists, None for a hub data set; DataError for neither.

    "-" is standard input, which is copied to a file, since data are read more than once.
    """
    if name == STANDARD_INPUT:
        return spooled_input()
    if name.startswith(PREFIX):
        return locate_package_file(name)
    path = expand_home(name)
    if path.exists():
        return path
    if is_hub_name(name):
        return None
    raise DataError(f"{name}: no such file or folder; check the path")


def _rows(source: Source) -> Iterator[Row]:
    if isinstance(source.path, InMemoryData):
        rows = read_in_memory(source.path, source.split, source.fields)
    elif (path := local_path(source.path)) is None:
        rows = read_hub(source.path, source.split)
    else:
        rows = _read_path(source, path)
    if source.corpus is None or source.passages is not None:
        return rows
    return with_corpus(rows, local_file(source.corpus, "corpus"))


def _read_path(source: Source, path: Path) -> Iterator[Row]:
    if path.is_dir():
        if is_saved_dataset(path):
            return read_saved_dataset(path, source.split)
        check_laid_out(path)
        return read_hub(str(path), source.split)
    if source.split is not None:
        raise DataError(f"{path} is a file, which has no splits; leave --split out")
    if not path.is_file():
        raise DataError(
            f"{path} is not a regular file, and it is read more than once: save it first, or pipe"
            " it in with --data -"
        )
    return read_row_file(path)


def _with_passages(
    examples: Iterable[tuple[Example, bool]], retrieved: Retrieved, missing: MissingPassages
) -> Iterator[Example]:
    numbered = enumerate(examples)
    for number, (example, has_id) in numbered:
        match = retrieved.find(example, has_id)
        if match is None and missing == "error":
            later = [retrieved.find(*other) is None for _, other in numbered]
            raise _missing(1 + sum(later), example, has_id, retrieved, number == 0 and all(later))
        passages, gold = match or ((), "[]")
        yield replace(
            example, passages=passages, gold_ids=example.gold_ids or tuple(json.loads(gold))
        )


def _missing(
    count: int, example: Example, has_id: bool, retrieved: Retrieved, are_all: bool
) -> DataError:
    some_id = retrieved.some_id()
    like = f' (its ids are like "{some_id}")' if some_id else " (it has no ids, but questions)"
    others = f"is the first of {count} that have" if count > 1 else "has"
    forms = {unicodedata.normalize(form, example.question) for form in ("NFC", "NFD")}
    forms.discard(example.question)
    if any(retrieved.find(replace(example, question=form), has_id) for form in forms):
        mend = "its question is there in another Unicode form: add --normalize nfc"
    elif are_all and has_id and some_id:
        mend = "the two share no id: write ids alike, or leave them out of one to join by questions"
    else:
        mend = "retrieve for all, or choose --missing-passages empty"
    return DataError(
        f'{example.place}: the question "{example.id}" {others} no passages in '
        f"{retrieved.name}{like}; {mend}"
    )
