"""Turn lines of a batch's answers into predictions, by the same rules as live answers."""

import json
from collections import Counter, defaultdict
from typing import Any

from aqa.backends.openai_api.attempts import ATTEMPTS
from aqa.backends.openai_api.batch.lines import RequestLines, answer_of
from aqa.backends.openai_api.error_bodies import status_in
from aqa.backends.openai_api.failures import Failure, Kind, classify_body, classify_status
from aqa.backends.openai_api.policy import ALIKE, FATAL
from aqa.backends.openai_api.prices import priced
from aqa.backends.openai_api.replies import BadBodyError, Reply
from aqa.backends.openai_api.service import Service
from aqa.records import Prediction, Prompt
from aqa.spent import Spent

MOST_BATCHES = 5  # in which a question may fail for one reason that is not its own
UNANSWERED = {"batch_expired", "batch_cancelled"}  # the batch ended before it was answered
LACKING = Failure("broken", "the server's answers lack it", maybe_paid=True)

Json = dict[str, Any]


class Results:
    """Reads the lines of all batches of a run.

    `lost` is what was paid for unusable lines.
    """

    def __init__(self, service: Service) -> None:
        """A question may have several samples, see `SampledQuestions`."""
        self._service, self._price = service, service.ledger.batch_price
        self._access, self._parameters = service.access, service.parameters
        self._samples = service.config.generation.samples
        self._attempts: defaultdict[int, Counter[Kind]] = defaultdict(Counter)  # failed ones
        self._failures: dict[int, Failure] = {}  # of examples without an answer
        self.lost = Spent()

    @property
    def progress(self) -> int:
        """A number that grows with whatever was learnt or has failed, so that more may follow."""
        failed = sum(attempts.total() for attempts in self._attempts.values())
        return len(self._parameters.learnt) + failed

    @property
    def endpoint(self) -> str:
        """The endpoint for live requests; Azure's batches name it without the version."""
        endpoint = self._parameters.endpoint
        return endpoint.removeprefix("/v1") if self._access.api_version else endpoint

    def body(self, prompt: Prompt) -> Json:
        """Return the request body for a prompt, without refused parameters."""
        return self._parameters.body(prompt.messages, self.sample(prompt))

    def sample(self, prompt: Prompt) -> int:
        """Return which sample of its question a prompt is for, from 0."""
        return prompt.index % self._samples

    def read(
        self, prompt: Prompt, line: Json | None, completed: bool, requests: RequestLines
    ) -> Prediction | None:
        """Return an answer or failure; None if the example must be asked again.

        `completed`: the batch finished normally; `requests` holds its requests.
        """
        self._service.requests["sent"] += 1
        outcome = self._outcome(line, completed)
        if outcome is None:
            return None
        if isinstance(outcome, Reply):
            return self._answered(prompt, outcome)
        self._service.requests[outcome.kind] += 1
        if outcome.maybe_paid:
            self.lost += self._service.worst(prompt, self._price)
        if outcome.refused:
            body = requests.body(prompt.index)
            outcome = self._parameters.learn(body, outcome)
            if json.loads(json.dumps(self.body(prompt))) != body:
                return None
        if self._may_follow(prompt.index, outcome):
            return None
        return self.failed(prompt, outcome.after(self._attempts[prompt.index].total()))

    def why_in_vain(self) -> str | None:
        """Return why asking the rest would be pointless; None if it may not be."""
        failures = list(self._failures.values())
        for_all = {"fatal"} if self._service.has_answered else {"fatal", "denied"}
        hopeless = [index for index, failure in self._failures.items() if failure.kind in for_all]
        if sum(self._attempts[index].total() for index in hopeless) >= FATAL:
            return self._failures[hopeless[0]].reason
        if len(failures) >= ALIKE and not self._service.has_answered:
            return f"no answer yet, and {len(failures)} questions failed: {failures[0].reason}"
        return None

    def failed(self, prompt: Prompt, reason: str) -> Prediction:
        """Return the prediction for an example that is given up."""
        return self._service.failure(prompt, reason, priced(Spent(), self._price))

    def _answered(self, prompt: Prompt, reply: Reply) -> Prediction | None:
        worst = self._service.worst(prompt, self._price)
        spent = self._service.counted(reply, worst, self._price)
        self._failures.pop(prompt.index, None)
        if reply.error is None:
            return self._service.prediction(prompt, reply, spent)
        if self._may_follow(prompt.index, self._service.as_failure(reply)):
            self.lost += spent
            return None
        return self._service.prediction(prompt, reply, spent)

    def _may_follow(self, index: int, failure: Failure) -> bool:
        """Note a failed attempt; return whether there may be another one."""
        self._failures[index] = failure
        tried = self._attempts[index]
        tried[failure.kind] += 1
        return tried[failure.kind] < (ATTEMPTS[failure.kind] if failure.is_own else MOST_BATCHES)

    def _outcome(self, line: Json | None, completed: bool) -> Reply | Failure | None:
        if line is None:
            return LACKING if completed else None
        error, answer = line.get("error"), answer_of(line)
        if answer is not None:
            status, body = answer
            if status == 200:
                text = body if isinstance(body, str) else json.dumps(body)
                try:
                    return self._parameters.read(text.encode(errors="replace"))
                except BadBodyError as broken:
                    return classify_body(broken, self._access)
            problem = body.get("error", body) if isinstance(body, dict) else body
            return classify_status(status, {}, problem, self._access)
        if not error:  # another API's line
            return LACKING
        if isinstance(error, dict) and error.get("code") in UNANSWERED:
            return None
        return classify_status(status_in(error) or 500, {}, error, self._access)
