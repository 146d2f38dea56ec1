"""What a reply or a failure means for the example that was asked."""

from dataclasses import replace
from statistics import fmean

from aqa.backends.openai_api.access import Access
from aqa.backends.openai_api.chat import Parameters
from aqa.backends.openai_api.errors import Failure
from aqa.backends.openai_api.replies import Reply
from aqa.records import MEAN_LOGPROB, MIN_LOGPROB, Prediction, Prompt
from aqa.spent import Spent


def as_prediction(
    prompt: Prompt, reply: Reply, spent: Spent, access: Access, parameters: Parameters
) -> Prediction:
    """What a reply means for the example that it answers; `spent` is what all attempts took."""
    counted = reply.spent or Spent()
    if reply.text is None:
        failure = as_failure(prompt, reply.error or "", spent, access)
        raw = None if reply.rejected is None else access.without_key(reply.rejected)
        return replace(
            failure,
            raw=raw,
            prompt_tokens=counted.input,
            answer_tokens=counted.output,
            model=access.shown(reply.model),
        )
    structured = reply.structured
    if structured is not None:
        structured = replace(structured, text=access.without_key(structured.text))
    found = parameters.logprobs(prompt, reply)
    return Prediction(
        prompt.id,
        access.without_key(reply.text),
        prompt_tokens=counted.input,
        answer_tokens=counted.output,
        spent=_rounded(spent),
        structured=structured,
        model=access.shown(reply.model),
        cut=reply.cut,
        confidence=fmean(found) if found else None,
        confidence_kind=MEAN_LOGPROB if found else "",
        other_confidences=((MIN_LOGPROB, min(found)),) if found else (),
    )


def as_failure(prompt: Prompt, reason: str, spent: Spent, access: Access) -> Prediction:
    """An example that is given up."""
    return Prediction(prompt.id, error=access.shown(reason), spent=_rounded(spent))


def unless_schema(failure: Failure, parameters: Parameters) -> Failure:
    """The failure, which is one of all requests if the answers' schema is refused."""
    if not parameters.refuses_schema(failure.param, failure.reason):
        return failure
    reason = f"the server takes no JSON schema for answers ({failure.reason})"
    return replace(failure, kind="run", reason=reason)


def _rounded(spent: Spent) -> Spent:
    return spent if spent.cost is None else replace(spent, cost=round(spent.cost, 9))


def kind_of(reply: Reply) -> str:
    """What a reply counts as among the requests of a run."""
    if reply.error is None:
        return "answered"
    return "misfit" if reply.misfit else "unanswered"
