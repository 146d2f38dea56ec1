"""One judge, or several of the same answers, of whom the majority counts."""

from collections.abc import Sequence
from functools import reduce
from operator import add

from aqa.evaluation.judge.cases import Cases, Judged
from aqa.evaluation.judge.judge import Judging
from aqa.metrics.agreement import panel_agreement
from aqa.metrics.verdicts import majority, most_given
from aqa.spent import CostEstimate


class Panel:
    """Judges that are asked one after the other; each has a journal and a cap on cost of its own.

    They differ by their models alone. `joined` tells that a retriever's passages were joined to the
    data.
    """

    def __init__(self, judges: Sequence[Judging], joined: bool) -> None:
        self._judges = {judge.model: judge for judge in judges}
        self.joined = joined

    @property
    def signature(self) -> str:
        """Who judges, and how."""
        first = next(iter(self._judges.values()))
        several = "|panel:majority" * (len(self._judges) > 1)
        return first.signature_of("+".join(self._judges)) + several

    def check_access(self) -> None:
        """Raise a ConfigError where one of the judges can't be asked."""
        for judge in self._judges.values():
            judge.check_access()

    def ask(self, cases: Cases) -> Judged:
        """Get every judge's verdicts on all cases, and the majority's; of one judge those alone.

        Raises:
            AqaError: a server can't be asked, or a cap on cost is reached; verdicts are kept.
        """
        found = {model: judge.ask(cases) for model, judge in self._judges.items()}
        first = next(iter(found.values()))
        if len(found) == 1:
            return first
        opinions = {key: [own.verdicts[key] for own in found.values()] for key in first.verdicts}
        agreed = panel_agreement([list(map(most_given, given)) for given in opinions.values()])
        # Money is added up only where all know theirs.
        spent = [own.facts["spent"] for own in found.values()]
        known = [name for name in spent[0] if all(name in own for own in spent)]
        facts = {
            "asked": sum(own.facts["asked"] for own in found.values()),
            "spent": {name: sum(own[name] for own in spent) for name in known},
            "folder": ", ".join(str(own.facts["folder"]) for own in found.values()),
            "panel": agreed.to_json(),
            "judges": {model: dict(own.facts) for model, own in found.items()},
        }
        verdicts = {key: (majority(given),) for key, given in opinions.items()}
        return Judged(verdicts, facts, judges=found)

    def estimate(self, cases: Cases) -> CostEstimate:
        """Tell what the verdicts of all would cost that are not known yet."""
        return reduce(add, (judge.estimate(cases) for judge in self._judges.values()))
