"""Find the results in replies of search engines and vector stores that a row contains."""

from collections.abc import Mapping

from aqa.data.columns import COLUMNS, fold
from aqa.data.passages import one_each
from aqa.data.shape import are_objects, as_objects
from aqa.data.unnamed import nested_passages

# Keys under which replies have their results: Elasticsearch, Qdrant, Weaviate, Pinecone, Milvus.
# Chroma's reply is an object of lists.
REPLIES = {
    "hits", "responses", "result", "results", "points", "matches", "objects", "get", "response",
}  # fmt: skip
WITHIN_REPLIES = {*REPLIES, "data"}
IN_REPLIES = {*WITHIN_REPLIES, *COLUMNS["passages"]}
CHROMA = {"ids", "documents", "metadatas", "distances"}
UNNAMED = (
    "a reply does not say what was asked: write a line for each question,"
    ' {"id": ID, "passages": REPLY}'
)


def usual_row(row: Mapping[str, object]) -> Mapping[str, object]:
    """Move the passages in replies, or rows of FlashRAG or RankLLM, to usual columns."""
    for name, value in row.items():
        if fold(name) in IN_REPLIES and (results := hits(value)) is not value:
            row = {**row, name if fold(name) in COLUMNS["passages"] else "passages": results}
    if row.keys() >= CHROMA:
        row = {**row, "documents": _of_chroma(row)}
    output, query, texts = row.get("output"), row.get("query"), row.get("documents")
    indices = (result.get("index") for result in as_objects(row.get("results")))  # Cohere, Jina
    order = [index for index in indices if isinstance(index, int)]
    if isinstance(texts, list) and sorted(order) == list(range(len(texts))):
        row = {**row, "documents": [texts[index] for index in order], "results": None}
    if isinstance(output, dict) and "retrieval_result" in output:
        return {**row, "output": None, "passages": output["retrieval_result"]}
    if isinstance(query, dict) and {"text", "content"} & query.keys():  # the latter in Dify
        return {**row, "query": query.get("text", query.get("content")), "qid": query.get("qid")}
    return row


def hits(value: object) -> object:
    """Return the results in a reply about one question, best first by their order."""
    inner = value
    if isinstance(value, dict):
        names = [name for name in value if fold(name) in WITHIN_REPLIES]
        if value.keys() >= CHROMA:
            return _of_chroma(value)
        if names or (len(value) == 1 and are_objects(*value.values())):  # Weaviate: by class
            inner = value[next(iter(names or value))]
    elif are_objects(_only(value)):  # Milvus: a list per question
        inner = _only(value)
    if inner is value and isinstance(value, dict):
        lists = [listed for _, listed in nested_passages(value)]
        return lists[0] if len(lists) == 1 else value
    return value if inner is value else hits(inner)


def _of_chroma(reply: Mapping[str, object]) -> object:
    ids, texts = (_only(reply[name]) for name in ("ids", "documents"))
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return texts
    return one_each({"id": ids, "text": texts}, "its documents")


def _only(value: object) -> object:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        return value[0]
    return value
