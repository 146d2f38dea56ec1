"""Join a retriever's passages to questions, by id or by the question's text."""

import json
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from aqa.data.columns import fold
from aqa.data.corpus import Corpus
from aqa.data.files import complete
from aqa.data.passages import Listed
from aqa.data.rankings import SHAPES, Ranking, read_rankings
from aqa.data.ranks import are_consecutive, list_ranks
from aqa.errors import DataError
from aqa.records import Example, Passage

ALIKE = 0.25  # below it, questions are not paraphrases
TOO_SHORT = 4  # letters, to distinguish questions
TABLES = """
PRAGMA journal_mode = OFF;
CREATE TABLE rankings (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE, question TEXT, place TEXT, gold TEXT,
    partial INTEGER
);
CREATE TABLE hits (
    ranking INTEGER, sorting REAL, rank INTEGER, score REAL, document TEXT, title TEXT, text TEXT,
    place TEXT
);
CREATE TABLE documents (id TEXT PRIMARY KEY, title TEXT, text TEXT);
CREATE INDEX by_question ON rankings (question);
"""
# Created after inserting, which is faster.
INDEXES = """
CREATE INDEX by_ranking ON hits (ranking);
CREATE INDEX by_document ON hits (document) WHERE text IS NULL;
"""


class Retrieved:
    """The content of a passages file, with documents' texts from a corpus, if given.

    Everything is in a private SQLite database. `nfc` normalises texts to that Unicode form.
    `joined` counts questions whose documents are one text; `reworded` holds the ids whose question
    has a different text.
    """

    def __init__(self, name: str, index: sqlite3.Connection, nfc: bool) -> None:
        self.name = name
        self.joined = 0
        self.reworded: set[str] = set()
        self._index = index
        self._nfc = nfc
        index.executescript(TABLES)

    def find(self, example: Example, has_id: bool) -> tuple[tuple[Passage, ...], str] | None:
        """Return the passages of a question, and the ids of gold ones as JSON; None without.

        Looks up the question's id if its row has one and the passages do, otherwise the question's
        text.
        """
        query = "SELECT number, place, gold, question FROM rankings WHERE "
        rows = self._index.execute(query + "id = ?", (example.id,)).fetchall()
        if rows:
            self._compare_questions(example, rows[0][1], rows[0][3] or "")
        else:
            condition = "question = ?" + (" AND (id IS NULL OR id = question)" if has_id else "")
            rows = self._index.execute(query + condition, (example.question,)).fetchall()
        if not rows:
            return None
        number, place, gold, _ = rows[0]
        passages = self._passages(number)
        for other, other_place, *_ in rows[1:]:
            if self._passages(other) != passages:
                raise DataError(
                    f"{example.place}: its question has passages at {place} and others at "
                    f"{other_place}; give the rows ids"
                )
        return passages, gold

    def _compare_questions(self, example: Example, place: str, question: str) -> None:
        """Check that equal ids mean equal questions, and count rewordings."""
        texts = fold(question), fold(example.question)
        if texts[0] in (texts[1], fold(example.id)) or min(map(len, texts)) < TOO_SHORT:
            return
        query = "SELECT 1 FROM rankings WHERE question = ? AND id IS NOT NULL LIMIT 1"
        is_of_other = self._index.execute(query, (example.question,)).fetchone() is not None
        if is_of_other or likeness(question, example.question) < ALIKE:
            raise DataError(
                f'{example.place}: its id "{example.id}" is that of another question at {place}'
                f' ("{question:.60}"); give both files the same ids, or leave the ids out of one'
            )
        self.reworded.add(example.id)

    def some_id(self) -> str | None:
        """Return the id of the first ranking that has one."""
        query = "SELECT id FROM rankings WHERE id IS NOT NULL LIMIT 1"
        row = self._index.execute(query).fetchone()
        return row and str(row[0])

    def notes(self) -> Iterator[str]:
        """Yield notes for the user on what may have been misread."""
        if self.reworded:
            yield (
                f"Questions that are worded differently in {self.name}: {len(self.reworded)}; they"
                " are joined by their ids."
            )
        if self.joined:
            yield (
                f"Rows whose documents are joined in one text: {self.joined}; each is taken as one"
                " passage, unless --corpus FILE separates the documents."
            )

    def load(self, path: Path, corpus: Path | None, id_column: str | None) -> None:
        """Index the file; DataError if its format is unknown or its content unusable."""
        with complete(path):
            self._add(read_rankings(path, corpus is not None, id_column))
            if corpus is not None:
                self._check_documents()
                self._add_corpus(corpus)
            self._check_ranks()

    def _add(self, rankings: Iterable[Ranking]) -> None:
        """Index rankings; DataError if there are none, or an id appears twice."""
        number, key = 0, None
        for count, ranking in enumerate(rankings, 1):
            if not (ranking.partial and key == (ranking.id, ranking.question)):
                number = self._continued(ranking) or count
            if number == count:
                self._index.execute(
                    "INSERT INTO rankings VALUES (?, ?, ?, ?, ?, ?)",
                    (number, ranking.id, self._form(ranking.question), ranking.place,
                     json.dumps(ranking.gold_ids), ranking.partial),
                )  # fmt: skip
            key = (ranking.id, ranking.question) if ranking.partial else None
            self.joined += ranking.joined
            self._index.executemany(
                "INSERT INTO hits VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (number, _sorting(hit, ranking.partial), hit.rank, hit.score, hit.id,
                     self._form(hit.title), self._form(hit.text), ranking.place)
                    for hit in ranking.passages
                ),
            )  # fmt: skip
        if not number:
            raise DataError(f"{self.name} holds no passages; {SHAPES}")
        self._index.executescript(INDEXES)

    def _add_corpus(self, path: Path) -> None:
        """Index the documents named without a text; DataError if one is missing."""
        corpus = Corpus(path, self._index)
        unknown = "SELECT DISTINCT document FROM hits WHERE text IS NULL"
        corpus.want(document for (document,) in self._index.execute(unknown).fetchall())
        corpus.load(all_of_them=False, form=self._form_of)
        count, first = self._index.execute(
            "SELECT count(DISTINCT document), min(rowid) FROM hits "
            "WHERE text IS NULL AND document NOT IN (SELECT id FROM documents)"
        ).fetchone()
        if count:
            place, document = self._index.execute(
                "SELECT place, document FROM hits WHERE rowid = ?", (first,)
            ).fetchone()
            others = f", the first of {count} such documents" if count > 1 else ""
            raise DataError(
                f"{place}: document {document} is not in {corpus.name}{others}; "
                "give the corpus that the retriever searched"
            )

    def _check_documents(self) -> None:
        row = self._index.execute(
            "SELECT coalesce(id, question), document, max(hits.place) FROM hits"
            " JOIN rankings ON number = ranking WHERE text IS NULL"
            " GROUP BY ranking, document HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
        if row:
            raise DataError(
                f'{row[2]}: document {row[1]} appears twice for "{row[0]}"; keep it once'
            )

    def _check_ranks(self) -> None:
        # Retrievers without ranks may write the same one everywhere.
        self._index.execute(
            "UPDATE hits SET rank = NULL, sorting = -score WHERE ranking IN (SELECT ranking"
            " FROM hits GROUP BY ranking HAVING count(DISTINCT rank) = 1 AND count(rank) > 1"
            " AND count(rank) = count(*))"
        )
        hits = self._index.execute(
            "SELECT ranking, rank FROM hits ORDER BY ranking, sorting NULLS LAST, rowid"
        )
        for number, group in groupby(hits, key=lambda hit: int(hit[0])):
            ranks = [rank for _, rank in group]
            if any(rank is not None for rank in ranks) and not are_consecutive(ranks):
                query = "SELECT coalesce(id, question), place FROM rankings WHERE number = ?"
                name, place = self._index.execute(query, (number,)).fetchone()
                ranked = f'the passages of "{name}" have the ranks {list_ranks(ranks)}'
                raise DataError(f"{place}: {ranked}")

    def _continued(self, ranking: Ranking) -> int | None:
        """Return the number of the ranking that a partial one continues."""
        if ranking.id is None and not ranking.partial:
            return None
        row = self._index.execute(
            "SELECT number, place, partial FROM rankings WHERE id = ?1 "
            "OR (?1 IS NULL AND id IS NULL AND question = ?2 AND partial)",
            (ranking.id, self._form(ranking.question)),
        ).fetchone()
        if row is None:
            return None
        number, place, partial = row
        if not (partial and ranking.partial):
            raise DataError(
                f'the id "{ranking.id}" has passages at {place} and again at {ranking.place};'
                " leave one of these out, or give their order in a column rank or score"
            )
        return int(number)

    def _passages(self, number: int) -> tuple[Passage, ...]:
        hits = self._index.execute(
            "SELECT coalesce(hits.text, documents.text),"
            " coalesce(nullif(hits.title, ''), documents.title, ''), document, score "
            "FROM hits LEFT JOIN documents ON hits.text IS NULL AND documents.id = document "
            "WHERE ranking = ? ORDER BY sorting NULLS LAST, hits.rowid",
            (number,),
        )
        return tuple(
            Passage(text, title, document, score, rank)
            for rank, (text, title, document, score) in enumerate(hits, 1)
        )

    def _form(self, text: str | None) -> str | None:
        return text and self._form_of(text)

    def _form_of(self, text: str) -> str:
        return unicodedata.normalize("NFC", text) if self._nfc else text


def _sorting(hit: Listed, partial: bool) -> float | None:
    """The sort key of a hit: its rank, or for partial rankings its score."""
    if hit.rank is not None:
        return hit.rank
    return -hit.score if partial and hit.score is not None else None


def likeness(first: str, second: str) -> float:
    """Return the share of letter pairs that two texts have in common, 0..1 (Dice 1945)."""
    pairs, others = _pairs(first), _pairs(second)
    total = pairs.total() + others.total()
    return 2 * (pairs & others).total() / total if total else float(first == second)


def _pairs(text: str) -> Counter[str]:
    letters = fold(text)
    return Counter(letters[index : index + 2] for index in range(len(letters) - 1))
