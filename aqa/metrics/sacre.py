"""BLEU and chrF by sacrebleu: corpus-level, or the mean over sentences."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from aqa.errors import DataError
from aqa.metrics.languages import LATIN
from aqa.metrics.pairs import Pairs
from aqa.records import Score


def bleu(name: str, pairs: Pairs) -> Score:
    """Score the n-grams of all answers together, clipped by several references together.

    Corpus BLEU; "bleu1" is over unigrams: their clipped precision with the brevity penalty. It is
    not a mean of values per example, and is 0 if no answer has four tokens. A missing answer is
    an empty one.
    """
    from sacrebleu.metrics.bleu import BLEU

    order = 1 if name == "bleu1" else 4
    tokens = _tokens(pairs)
    metrics = _metrics(order)
    rows = []
    for prediction, texts, token in zip(pairs.predictions, pairs.references, tokens, strict=True):
        references = [text for text in texts if text.strip()] or [""]
        stats = metrics[token].sentence_score(prediction or "", references)
        rows.append([*stats.counts, *stats.totals, stats.sys_len, stats.ref_len])
    if not rows:
        raise DataError("there are no examples to score")
    sums = [sum(column) for column in zip(*rows, strict=True)]
    counts, totals, lengths = sums[:order], sums[order:-2], sums[-2:]
    score = BLEU.compute_bleu(counts, totals, *lengths, smooth_method="exp", max_ngram_order=order)
    value = min(100.0, score.score)
    signature = pairs.signature(name, _signature(BLEU(max_ngram_order=order), tokens), "all")
    return Score(name, value, signature, influence=_influence(value, rows))


def _influence(value: float, rows: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """The infinitesimal jackknife of BLEU: its value plus each example's influence on it.

    The derivative of BLEU = BP * exp(mean(log(counts / totals))) by each example's weight; `rows`
    hold counts and totals of each order, and the lengths of answer and reference. Efron (1982),
    "The Jackknife, the Bootstrap and Other Resampling Plans", chapter 6. If an order has no
    matches, BLEU has no derivative: ().
    """
    table = np.array(rows, dtype=np.float64)
    sums = table.sum(axis=0)
    order = (table.shape[1] - 2) // 2
    if not sums[:order].all():
        return ()
    shares = table[:, : 2 * order] / sums[: 2 * order]
    moves = (shares[:, :order] - shares[:, order:]).mean(axis=1)
    length, expected = sums[-2:]
    if length < expected:  # the brevity penalty exp(1 - expected / length)
        moves += (expected * table[:, -2] / length - table[:, -1]) / length
    return tuple((value * (1 + len(rows) * moves)).tolist())


def sentence_bleu(name: str, pairs: Pairs) -> Score:
    """Mean sentence BLEU with effective order, since many answers have under four tokens."""
    tokens = _tokens(pairs)
    metrics = _metrics(4)
    values = _best(pairs, [metrics[token] for token in tokens])
    return pairs.score(name, values, f"sentences:mean|{_signature(metrics['13a'], tokens)}")


def chrf(name: str, pairs: Pairs) -> Score:
    """Mean F-score over character n-grams of up to six, for any language."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    values = _best(pairs, [metric] * len(pairs.predictions))
    return pairs.score(name, values, f"sentences:mean|{_signature(metric, ())}")


def _tokens(pairs: Pairs) -> list[str]:
    """Choose sacrebleu's tokenization per example: characters unless letters are Latin."""
    return ["13a" if language in (LATIN, "en") else "char" for language in pairs.languages]


@lru_cache(maxsize=4)
def _metrics(order: int) -> dict[str, Any]:
    from sacrebleu.metrics.bleu import BLEU

    return {
        token: BLEU(effective_order=True, max_ngram_order=order, tokenize=token)
        for token in ("13a", "char")
    }


def _best(pairs: Pairs, metrics: Sequence[Any]) -> list[float]:
    single = pairs.single()
    return single.best(
        [
            min(100.0, float(metrics[owner].sentence_score(prediction, [reference]).score))
            for owner, prediction, reference in zip(
                single.owners, single.predictions, single.references, strict=True
            )
        ]
    )


def _signature(metric: Any, tokens: Sequence[str]) -> str:
    """Return sacrebleu's signature, with all tokenizations that were used."""
    metric.num_refs = 1  # required even if nothing was scored; our signature has it, too
    signature = str(metric.get_signature()).removeprefix("nrefs:1|").replace("version", "sacrebleu")
    return signature.replace("tok:13a", f"tok:{'+'.join(sorted(set(tokens)) or ['13a'])}")
