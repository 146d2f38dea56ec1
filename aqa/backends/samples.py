"""Choose among several samples of one answer the one that agrees most with the others."""

from collections.abc import Sequence
from dataclasses import replace

from aqa.metrics.medoid import agreements, profile_of
from aqa.records import AGREEMENT, Prediction, Prompt
from aqa.runs.journal_rows import cleaned


def most_central(prompt: Prompt, samples: Sequence[Prediction], profile: str) -> Prediction:
    """Choose the medoid of the samples by F1 under the profile; see `agreements`.

    Its confidence is its mean F1 with the other samples, 0..1; failed samples count as 0, and one
    is returned only if all failed. `nbest` holds the cleaned answers, by falling agreement, and
    `answer_tokens` counts those of all samples.
    """
    written = sum(sample.answer_tokens for sample in samples)
    answered = [sample for sample in samples if sample.error is None]
    if not answered:
        return replace(samples[0], answer_tokens=written)
    texts = [cleaned(sample, prompt.template).text for sample in answered]
    passages = [passage.text for passage in prompt.evidence.passages]
    agreement_of = agreements(texts, profile_of(profile, prompt.question, passages, texts))
    index = max(range(len(agreement_of)), key=agreement_of.__getitem__)
    # The share of the other samples that were answered.
    ratio = (len(answered) - 1) / max(len(samples) - 1, 1)
    shares = [ratio * agreement for agreement in agreement_of]
    chosen = answered[index]
    by_kind = dict(chosen.other_confidences)
    if chosen.confidence is not None:
        by_kind = {chosen.confidence_kind: chosen.confidence, **by_kind}
    ranked = sorted(zip(texts, shares, strict=True), key=lambda pair: pair[1], reverse=True)
    return replace(
        chosen,
        answer_tokens=written,
        confidence=shares[index],
        confidence_kind=AGREEMENT,
        other_confidences=tuple(by_kind.items()),
        nbest=tuple(ranked),
    )
