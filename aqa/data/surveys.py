"""Survey the data in one full pass before anything expensive, then read the examples."""

import hashlib
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from aqa.config.in_memory_data import InMemoryData
from aqa.data.formats import (
    Source,
    check_files,
    local_path,
    open_passages,
    parser_of,
    read_unchecked,
)
from aqa.data.hub import fingerprint
from aqa.data.in_memory import hash_in_memory
from aqa.data.retrieved import Retrieved
from aqa.errors import DataError
from aqa.records import Example
from aqa.runs.files import hash_files

HANGUL = re.compile("[가-힣ᄀ-ᇿ]")
MANY = 10  # examples; more than a coincidence
EXCEL_CELL = 32_767  # characters at most
UNDECODED = "\ufffd"  # what a program writes for a character that it can't decode


@dataclass(frozen=True, slots=True)
class Survey:
    """What a source contains. The counts are of examples as returned by read_examples.

    `sha256` hashes the stored bytes (including a folder's files, the passages file and the corpus);
    for the hub it describes the version. `passages_sha256` hashes the passages file and any corpus;
    None if the data's own passages are used. `files` holds the hash of each local file: data,
    passages, corpus. `notes` are sentences for the user.
    """

    count: int
    sha256: str
    unanswerable: int
    unlabelled: int
    generated_ids: int
    korean: int = 0  # questions
    notes: tuple[str, ...] = ()
    duplicate_ids: frozenset[str] = frozenset()
    passages_sha256: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


def survey(source: Source, on_row: Callable[[], None] | None = None) -> Survey:
    """Check and count every row; DataError names the first bad row or repeated id.

    Uses 8 bytes of memory per row, and a second pass only if hashes of ids repeat.
    """
    check_files(source)
    parser = parser_of(source)
    tally: Counter[str] = Counter()
    hashes = array("q")
    duplicate_ids: frozenset[str] = frozenset()
    with open_passages(source) as retrieved:
        for example in read_unchecked(source, parser, retrieved):
            tally.update(_facts(example))
            hashes.append(hash(example.id))
            if on_row is not None:
                on_row()
        repeated = _repeated(hashes)
        del hashes
        if repeated:
            duplicate_ids = _settle_duplicates(source, repeated, tally, retrieved)
        notes = [*parser.notes(), *_notes(source, tally, duplicate_ids)]
        notes += retrieved.notes() if retrieved else ()
    files = _hash_files(source)
    joined = [files[kind] for kind in ("passages", "corpus") if kind in files]
    return Survey(
        count=tally["examples"],
        sha256=_hash_of([_fingerprint(source, files), *joined]),
        unanswerable=tally["unanswerable"],
        unlabelled=tally["unlabelled"],
        generated_ids=parser.generated_ids,
        korean=tally["korean"],
        notes=tuple(notes),
        duplicate_ids=duplicate_ids,
        passages_sha256=_hash_of(joined) if "passages" in files else None,
        files=files,
    )


def read_examples(source: Source, survey: Survey | None = None) -> Iterator[Example]:
    """Yield the examples lazily, in file order, treating repeated ids as the source says.

    Without a survey of the same source every id is remembered, which takes memory for each row.
    """
    uses: dict[str, tuple[int, str]] = {}
    with open_passages(source) as retrieved:
        for example in read_unchecked(source, parser_of(source), retrieved):
            if survey is None or example.id in survey.duplicate_ids:
                count, first_place = uses.get(example.id, (0, example.place))
                uses[example.id] = (count + 1, first_place)
                if count and source.on_duplicate_id == "error":
                    raise DataError(_duplicate_message(example.id, first_place, example.place))
                if count and source.on_duplicate_id == "keep-first":
                    continue
                if count:
                    example = replace(example, id=f"{example.id}#{count + 1}")
            yield example


def _facts(example: Example) -> list[str]:
    """List the counts to which an example adds, including the number of examples."""
    answers, passages = example.answers, example.passages
    scores = [passage.score for passage in passages if passage.score is not None]
    texts = [example.question, *(answers or ()), *(passage.text for passage in passages)]
    marked = len(passages) > 1 and bool(example.own_passages)
    facts = {
        "examples": True,
        "korean": HANGUL.search(example.question),
        "unlabelled": answers is None,
        "unanswerable": answers is not None and not answers,
        "decomposed": any(map(_is_decomposed, texts)),
        "undecoded": any(UNDECODED in text for text in texts),
        "cut by Excel": any(len(text) == EXCEL_CELL for text in texts),
        "without passages": not passages,
        "conflicts": scores != sorted(scores, reverse=True),
        "gold named": example.gold_ids,
        "gold found": any(passage.id in example.gold_ids for passage in passages),
        "gold marked": marked,
        "gold first": marked and passages[0].text == example.own_passages[0].text,
    }
    return [name for name, holds in facts.items() if holds]


def _is_decomposed(text: str) -> bool:
    # Composing shortens only decomposed text; other text that is not NFC keeps its length.
    return not unicodedata.is_normalized("NFC", text) and len(
        unicodedata.normalize("NFC", text)
    ) < len(text)


def _repeated(hashes: "array[int]") -> set[int]:
    """Return the values that occur more than once; sorts in place."""
    import numpy as np

    values = np.frombuffer(hashes, dtype=np.int64)
    values.sort()
    return set(values[1:][values[1:] == values[:-1]].tolist())


def _settle_duplicates(
    source: Source, repeated: set[int], tally: Counter[str], retrieved: Retrieved | None
) -> frozenset[str]:
    """Find the repeated ids exactly; DataError unless the source says how to treat them."""
    first_places: dict[str, str] = {}
    duplicate_ids: set[str] = set()
    first_pair: tuple[str, str, str] | None = None
    rows = 0
    for example in read_unchecked(source, parser_of(source), retrieved):
        base, mark, _ = example.id.rpartition("#")
        if source.on_duplicate_id == "number" and mark and hash(base) in repeated:
            raise DataError(
                f'{example.place}: the id "{example.id}" may clash with the numbers given to'
                f' "{base}"; choose --on-duplicate-id keep-first'
            )
        if hash(example.id) not in repeated:
            continue
        first_place = first_places.setdefault(example.id, example.place)
        if first_place != example.place:
            rows += 1
            duplicate_ids.add(example.id)
            first_pair = first_pair or (example.id, first_place, example.place)
            if source.on_duplicate_id == "keep-first":
                tally.subtract(_facts(example))
    if first_pair is not None and source.on_duplicate_id == "error":
        raise DataError(_duplicate_message(*first_pair, rows))
    return frozenset(duplicate_ids)


def _duplicate_message(example_id: str, first: str, second: str, rows: int = 1) -> str:
    more = f" ({rows} rows repeat an id in total)" if rows > 1 else ""
    return (
        f'the id "{example_id}" appears at {first} and again at {second}{more}; '
        "choose --on-duplicate-id keep-first or number"
    )


def _hash_files(source: Source) -> dict[str, str]:
    names = source.names().items()
    paths = {kind: local_path(name) for kind, name in names if isinstance(name, str)}
    return {kind: hash_files(path) for kind, path in paths.items() if path is not None}


def _fingerprint(source: Source, files: Mapping[str, str]) -> str:
    if isinstance(source.path, InMemoryData):
        return hash_in_memory(source.path, source.split)
    return files["data"] if "data" in files else fingerprint(source.path)


def _hash_of(hashes: list[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _notes(source: Source, tally: Counter[str], duplicate_ids: frozenset[str]) -> Iterator[str]:
    if duplicate_ids:
        done = {"keep-first": "the first row of each is kept", "number": "they got numbers"}
        yield f"Ids that are repeated: {len(duplicate_ids)}; {done[source.on_duplicate_id]}."
    if tally["decomposed"]:
        yield (
            f"Examples in decomposed Unicode (NFD): {tally['decomposed']}; such text never matches"
            " composed text when scored; --normalize nfc composes it."
        )
    if tally["undecoded"]:
        yield (
            f"Examples with {UNDECODED}, which stands for a lost character: {tally['undecoded']};"
            " a program read the text in the wrong encoding: save the original as UTF-8."
        )
    if tally["cut by Excel"]:
        yield (
            f"Examples with a text of {EXCEL_CELL:,} characters: {tally['cut by Excel']}; Excel"
            " cuts longer texts there: take the data from the original file."
        )
    if tally["without passages"]:
        yield f"Examples without passages: {tally['without passages']} of {tally['examples']}."
    if tally["conflicts"]:
        yield (
            f"Questions whose passages' scores do not fall with their ranks: {tally['conflicts']};"
            " the order of the ranks is kept; --set evidence.order=score uses the scores."
        )
    if tally["gold named"] and not tally["gold found"]:
        yield (
            f"Examples that name gold passages by id: {tally['gold named']}; none of these ids is"
            " among an example's passages; are they from the same corpus?"
        )
    if (first := tally["gold first"]) == tally["gold marked"] >= MANY:
        yield (
            f"Examples whose first passage is the gold one: all {first} that mark it; a reader"
            " trained on them learns its position; --set evidence.train=mixed shuffles the"
            " passages."
        )
    if 0 < tally["unlabelled"] < tally["examples"]:
        yield f"Examples without a reference: {tally['unlabelled']} of {tally['examples']}."
