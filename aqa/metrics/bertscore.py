"""BERTScore, as computed by the bert-score package: similarity of answers to an encoder."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from aqa.metrics.base import MetricOptions
from aqa.metrics.embedding_cache import EmbeddingCache, cache_file
from aqa.metrics.encoder import Embedded, Encoder, match
from aqa.metrics.languages import LATIN
from aqa.metrics.pairs import Pairs
from aqa.records import Score

MODELS = {"en": "distilbert-base-uncased", "ko": "bert-base-multilingual-cased"}
_WINDOW = 2048  # comparisons at a time, whose token states are in memory

Compared = tuple[str, str]  # a prediction and a reference


class BertScore:
    """F1 of token similarities, the best over the references, without rescaling.

    An empty prediction scores 0, or 100 if the question is unanswerable; a prediction equal to a
    reference scores 100 without using the model.
    """

    def __init__(self, options: MetricOptions) -> None:
        """Store the options; the model is loaded with the first pairs."""
        self._options = options
        self._encoders: dict[str, Encoder] = {}
        self._cache = EmbeddingCache(cache_file()) if options.cache else None

    def __call__(self, pairs: Pairs) -> Score:
        """Score every pair with the model for the examples' language."""
        from bert_score import __version__

        # All scores must come from one model, so mixed languages use the multilingual one.
        language = "en" if set(pairs.languages) <= {LATIN} else "ko"
        model = self._options.model or MODELS[language]
        if model not in self._encoders:
            self._encoders[model] = Encoder(model, self._options.num_layers, self._options.bf16)
        encoder = self._encoders[model]
        name = "/".join(Path(model).parts[-2:])  # owner/model, or the end of a local path
        details = f"model:{name}|layer:{encoder.num_layers}|rescaled:no|bert-score:{__version__}"
        if self._options.bf16:
            details += "|dtype:bfloat16"
        return pairs.score("bertscore", self._values(encoder, pairs), details)

    def _values(self, encoder: Encoder, pairs: Pairs) -> list[float]:
        """Score each example, 0..100, passing only distinct non-empty texts to the model."""
        single = pairs.single()
        values = list(single.settled)
        owners: dict[Compared, list[int]] = {}
        compared = zip(single.predictions, single.references, strict=True)
        for owner, pair in zip(single.owners, compared, strict=True):
            if pair[0] in pairs.expected[owner]:
                values[owner] = 100.0
            else:
                owners.setdefault(pair, []).append(owner)
        ordered = sorted(owners, key=lambda pair: max(map(len, pair)), reverse=True)
        with self._options.progress.task("BERTScore", len(ordered), "pairs") as task:
            for pair, likeness in self._compare(encoder, ordered):
                for index in owners[pair]:
                    values[index] = max(values[index], min(100.0 * likeness, 100.0))
                task.advance()
        return values

    def _compare(
        self, encoder: Encoder, ordered: list[Compared]
    ) -> Iterator[tuple[Compared, float]]:
        """Compare pairs window by window, keeping each text's embedding while it is needed.

        Pairs come longest first, so that those in a window have similar lengths.
        """
        uses = Counter(text for pair in ordered for text in pair)
        embedded: dict[str, Embedded] = {}
        for start in range(0, len(ordered), _WINDOW):
            window = ordered[start : start + _WINDOW]
            references = dict.fromkeys(b for _, b in window if b not in embedded)
            embedded.update(self._embed_references(encoder, list(references)))
            embedded.update(encoder.encode(_missing((a for a, _ in window), embedded)))
            likeness = match([(embedded[a], embedded[b]) for a, b in window])
            yield from zip(window, likeness, strict=True)
            uses.subtract(text for pair in window for text in pair)
            for text in [text for text in embedded if not uses[text]]:
                del embedded[text]

    def _embed_references(self, encoder: Encoder, texts: list[str]) -> dict[str, Embedded]:
        """Embed texts, using and extending the cache on disk."""
        if self._cache is None:
            return dict(encoder.encode(texts))
        keys = {text: encoder.key(text) for text in texts}
        stored = self._cache.get(list(keys.values()))
        read = {
            text: Embedded.from_bytes(stored[key]) for text, key in keys.items() if key in stored
        }
        cached = {text: embedded for text, embedded in read.items() if embedded is not None}
        new = dict(encoder.encode(_missing(texts, cached)))
        self._cache.put({keys[text]: embedded.to_bytes() for text, embedded in new.items()})
        return cached | new


def _missing(texts: Iterable[str], embedded: dict[str, Embedded]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text not in embedded]
