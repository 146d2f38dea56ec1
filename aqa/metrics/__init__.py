"""The table of metrics, and EM/F1 in one call."""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module

from aqa.errors import UsageError
from aqa.metrics.base import Metric, MetricOptions
from aqa.metrics.f1 import exact_match, f1
from aqa.metrics.kiwi import has_kiwi
from aqa.metrics.languages import KOREAN, LATIN, example_languages
from aqa.metrics.normalize import PROFILES, choose_profile, second_score
from aqa.metrics.pairs import Pairs
from aqa.records import Score

# A metric is a function of its name and the pairs, or, with a model, a class made from options.
METRICS = {
    "em": "f1:exact_match",
    "f1": "f1:f1",
    "precision": "f1:precision",
    "recall": "f1:recall",
    "match": "match:match",
    **dict.fromkeys(("lenient", "lenient_f1"), "lenient:lenient"),
    **dict.fromkeys(("rouge1", "rouge2", "rougeL"), "rouge:rouge"),
    **dict.fromkeys(("bleu", "bleu1"), "sacre:bleu"),
    "sentence_bleu": "sacre:sentence_bleu",
    "chrf": "sacre:chrf",
    "bertscore": "bertscore:BertScore",
    "language": "answer_language:answer_language",
    **dict.fromkeys(("citation_precision", "citation_recall"), "citation:citation"),
    "judge": "judge:judge",
}

TOGETHER = {"citation": ("citation_precision", "citation_recall")}


def metric_names(words: Sequence[str]) -> list[str]:
    """Return each metric once, expanding names that stand for several."""
    return list(dict.fromkeys(name for word in words for name in TOGETHER.get(word, (word,))))


def load_metric(name: str, options: MetricOptions | None = None) -> Metric:
    """Import the metric with that name; "hf:NAME" is any metric of Hugging Face evaluate."""
    if name.startswith("hf:"):
        from aqa.metrics.hugging_face import HuggingFaceMetric

        return HuggingFaceMetric(name)
    if name not in METRICS:
        names = {metric.lower(): metric for metric in (*METRICS, *TOGETHER, "evidence")}
        close = get_close_matches(name.lower(), names, n=1)
        hint = (
            f"did you mean {names[close[0]]!r}?"
            if close
            else f"known are {', '.join(names.values())} and hf:NAME."
        )
        raise UsageError(f"unknown metric {name!r}; {hint}")
    module, _, attribute = METRICS[name].partition(":")
    metric = getattr(import_module(f"aqa.metrics.{module}"), attribute)
    return metric(options or MetricOptions()) if isinstance(metric, type) else partial(metric, name)


def possible_scores(metrics: Sequence[str]) -> list[str] | None:
    """Return the scores that the metrics (or, without any, all) may yield; None if unknown.

    Hugging Face's metrics name their scores themselves.
    """
    if any(name.startswith("hf:") for name in metrics):
        return None
    names = [name for name in metric_names(metrics) if name != "evidence"] or list(METRICS)
    seconds = [profile.second for profile in PROFILES.values()] if "f1" in names else []
    return list(dict.fromkeys([*names, *seconds]))


def default_metrics(languages: Sequence[str]) -> list[str]:
    """Return the metrics for the examples' languages, cheap ones first; none needs a model.

    ROUGE-L only sees words in Latin letters; chrF suits every script; `lenient` is for Korean
    and needs the extra `korean`.
    """
    if set(languages) <= {LATIN}:
        return ["em", "f1", "rougeL"]
    return ["em", "f1", "chrf", *(["lenient"] if KOREAN in languages and has_kiwi() else [])]


def score_pairs(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str]],
    profile: str = "auto",
    questions: Sequence[str] = (),
) -> dict[str, Score]:
    """Score exact match and the profile's second score ("f1"; "rouge_w" for klue-mrc).

    A prediction of None is missing and scores 0; references of () mean unanswerable. With the
    profile `auto`, the examples' language decides how they are compared; see
    `example_languages`.
    """
    by_language = profile in ("auto", "mixed")
    languages = example_languages(references, questions) if by_language else ()
    chosen = choose_profile(profile, languages)
    pairs = Pairs(predictions, references, chosen, known_languages=languages)
    scores = (exact_match("em", pairs), f1("f1", pairs))
    return {score.name: score for score in scores}


class RunningScores:
    """EM and the second score while predictions come in, for a live display.

    `auto` works like `mixed`, since choosing a single profile takes all the references.
    """

    def __init__(self, profile: str = "auto") -> None:
        self._profile = "mixed" if profile == "auto" else choose_profile(profile, ())
        self._count, self._exact, self._second = 0, 0.0, 0.0

    def add(
        self, prediction: str | None, references: Sequence[str], question: str = ""
    ) -> tuple[float, float]:
        """Score one prediction (None: failed) and return its (em, second), 0..100."""
        languages = example_languages([references], [question])
        pairs = Pairs([prediction], [references], self._profile, known_languages=languages)
        (exact,), (second,) = pairs.agreement
        self._count += 1
        self._exact += exact
        self._second += second
        return exact, second

    def means(self) -> dict[str, float]:
        """Return the means so far by score name; empty before the first prediction."""
        if not self._count:
            return {}
        second = second_score(self._profile)
        return {"em": self._exact / self._count, second: self._second / self._count}
