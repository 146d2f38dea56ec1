"""Read retrievers' run files, which name documents by id: TREC, MS MARCO and ColBERT."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqa.data.columns import fold
from aqa.data.examples import read_id
from aqa.data.files import open_bytes, text_lines
from aqa.data.passages import Listed
from aqa.data.ranks import read_rank, read_score
from aqa.errors import DataError

OF_BEIR = ["queryid", "corpusid", "score"]  # the folded header of relevance judgements


@dataclass(frozen=True, slots=True)
class RunKind:
    """The fields of a line: the positions of the question, document, rank and score."""

    name: str
    fields: tuple[int, ...]  # possible numbers of fields
    rank: int | None
    score: int
    document: int = 1


TREC = RunKind("a TREC run", (6,), rank=3, score=4, document=2)
TABBED = RunKind("a run of question, document and rank", (3, 4), rank=2, score=3)
SCORED = RunKind("a run of question, document and score", (3,), rank=None, score=2)
JUDGEMENTS = "relevance judgements (qrels), not what a retriever found; give its run"


def run_kind(path: Path) -> RunKind | None:
    """Detect the kind of a run file from its first line; DataError for relevance judgements."""
    with open_bytes(path) as file:
        line = next((line for line in iter(lambda: file.readline(4096), b"") if line.strip()), b"")
    words = line.split()
    if not words or words[0][:1] in b"{[":
        return None
    judges = len(words) == 4 and words[1] in (b"0", b"Q0") and words[3].lstrip(b"-").isdigit()
    if judges or [fold(word.decode("utf-8", "replace")) for word in words] == OF_BEIR:
        raise DataError(f"{path.name} holds {JUDGEMENTS}")
    if len(words) > 1 and words[1].upper() == b"Q0":
        return TREC
    if len(words) == TREC.fields[0] and all(map(is_number, words[3:5])):
        return TREC
    cells = line.rstrip(b"\r\n").split(b"\t")
    is_tabbed = len(cells) in TABBED.fields and all(cell and b" " not in cell for cell in cells)
    if not is_tabbed or not all(map(is_number, cells[2:])):
        return None
    return TABBED if len(cells) > 3 or cells[2].isdigit() else SCORED


def read_run(path: Path, kind: RunKind) -> Iterator[tuple[str, str, Listed]]:
    """Yield each line's place, the question's id and the document."""
    tag = None
    for place, line in text_lines(path):
        words = line.split()
        if not words:
            continue
        if len(words) not in kind.fields:
            fields = ", question Q0 document rank score tag" if kind is TREC else ""
            raise DataError(
                f"{place}: {len(words)} fields where {kind.name} has {kind.fields[0]}{fields}"
            )
        tag = tag or words[-1]
        if kind is TREC and tag != words[-1]:
            raise DataError(f"{place}: the run {words[-1]} after {tag}; give each in its own file")
        rank = "-" if kind.rank is None else words[kind.rank]
        score = words[kind.score] if len(words) > kind.score else None
        passage = Listed(
            id=read_id(words[kind.document], place),
            score=read_score(score, "score", place),
            rank=None if rank == "-" else read_rank(rank, "rank", place),
        )
        yield place, read_id(words[0], place) or "", passage


def is_number(word: Any) -> bool:
    """Whether a value is a number, or the text of one."""
    try:
        float(word)
    except (ValueError, TypeError):
        return False
    return True
