"""The metric judge: the mean of a judge's verdicts; see `aqa.evaluation.judge`."""

from aqa.errors import UsageError
from aqa.metrics.pairs import Pairs
from aqa.records import Score


def judge(name: str, pairs: Pairs) -> Score:
    """Score a correct answer 100, a partially correct one 50, an incorrect or unsupported one 0.

    Abstentions are not judged: they are right if the question is unanswerable, else wrong.

    Raises:
        UsageError: no judge was asked.
    """
    if pairs.verdicts is None:
        raise UsageError("the metric judge needs verdicts; only aqa evaluate asks it")
    details = f"{pairs.verdicts.signature}|failed-verdicts:{pairs.verdicts.failed}"
    return pairs.score(name, pairs.verdicts.values, details, refs="all")
