"""BERTScore: how alike two answers are to an encoder, by the bert-score package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aqa.errors import ModelError, UsageError
from aqa.metrics.base import MetricOptions
from aqa.metrics.normalize import mostly_hangul
from aqa.metrics.pairs import Pairs
from aqa.records import Score

MODELS = {"en": "distilbert-base-uncased", "ko": "bert-base-multilingual-cased"}
_CHUNK = 2048  # comparisons at a time: bert-score keeps every token's state of a call in memory


class BertScore:
    """F1 over the likeness of tokens, the best over the references, never rescaled.

    An empty prediction scores 0, and 100 where the question is unanswerable.
    """

    def __init__(self, options: MetricOptions) -> None:
        """Check the language; the model is loaded with the first pairs."""
        if options.language not in (None, *MODELS):
            raise UsageError(
                f'bertscore has no default model for the language "{options.language}"; '
                'use "en" or "ko", or name a model.'
            )
        self._options = options
        self._scorers: dict[str, Any] = {}

    def score(self, pairs: Pairs) -> Score:
        """Score every pair with the model of the references' language."""
        language = self._options.language or ("ko" if mostly_hangul(pairs.references) else "en")
        model = self._options.model or MODELS[language]
        if model not in self._scorers:
            self._scorers[model] = _load(model, self._options.num_layers)
        scorer = self._scorers[model]
        name = "/".join(Path(model).parts[-2:])  # owner/model, or the end of a folder's path
        details = f"model:{name}|layer:{scorer.num_layers}|rescaled:no|bert-score:{_version()}"
        return pairs.score("bertscore", _values(scorer, pairs), details)


def _version() -> str:
    from bert_score import __version__

    return str(__version__)


def _values(scorer: Any, pairs: Pairs) -> list[float]:
    """Score each example, 0..100; only two texts that both say something meet the model."""
    values: list[float] = []
    owners: list[int] = []
    compared: list[tuple[str, str]] = []
    for index, (prediction, texts) in enumerate(
        zip(pairs.predictions, pairs.references, strict=True)
    ):
        references = [text for text in texts if text.strip()]
        agree = prediction is not None and not prediction.strip() and not references
        values.append(100.0 if agree else 0.0)
        if prediction is not None and prediction.strip():
            owners += [index] * len(references)
            compared += [(prediction, reference) for reference in references]
    for start in range(0, len(compared), _CHUNK):
        likeness = _likeness(scorer, compared[start : start + _CHUNK])
        for index, value in zip(owners[start : start + _CHUNK], likeness, strict=True):
            values[index] = max(values[index], min(100.0 * value, 100.0))
    return values


def _likeness(scorer: Any, compared: Sequence[tuple[str, str]]) -> list[float]:
    predictions, references = map(list, zip(*compared, strict=True))
    _, _, f1 = scorer.score(predictions, references)
    values: list[float] = f1.tolist()
    return values


def _load(model: str, num_layers: int | None) -> Any:
    from bert_score import BERTScorer
    from bert_score.utils import model2layers

    if num_layers is None and model not in model2layers:
        raise ModelError(
            f"bertscore does not know which layer of {model} to compare: give the number of "
            "layers, such as 9 for an encoder of 12."
        )
    try:
        scorer = BERTScorer(model_type=model, num_layers=num_layers)
    except AssertionError as error:  # how bert-score refuses a layer
        raise ModelError(f"bertscore can't use {model}: {error}.") from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"bertscore can't load the model {model}: give a local folder, or a model on the hub "
            f"while the hub can be reached ({str(error).splitlines()[0]})"
        ) from error
    tokenizer = scorer._tokenizer
    longest = getattr(scorer._model.config, "max_position_embeddings", None)
    if longest and tokenizer.model_max_length > longest:  # a folder that doesn't say
        tokenizer.model_max_length = longest - 2  # RoBERTa's first two positions are no words'
    return scorer
