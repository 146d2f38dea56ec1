"""`aqa.estimate_cost`: what a prediction through an API would cost, and what it would show."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Literal

from aqa.api.config import Data, PathLike, Settings, as_path
from aqa.api.displayable import Displayable
from aqa.api.flag_translation import ASKED, TranslatingProgress, translate_errors
from aqa.api.predict import SCORES, run_folder, variants_of
from aqa.api.reader import AnyReader, resolve
from aqa.config.ranges import POINTS, Choice, check_list
from aqa.display.console import watched_progress
from aqa.errors import UsageError
from aqa.evaluation.sequential_testing import StopRule
from aqa.spent import CostEstimate
from aqa.tables import Table
from aqa.verbs.detection_cost import DetectionCost, estimate_detection
from aqa.verbs.ensembles import dry_run
from aqa.verbs.predict import Resume
from aqa.verbs.variants import costs_table, dry_run_variants

if TYPE_CHECKING:
    from pandas import DataFrame

UNNAMED = "this reader"  # in place of a run folder that is not named


@translate_errors(ASKED)
def estimate_cost(
    reader: AnyReader,
    data: Data | None = None,
    *,
    model: PathLike | None = None,
    settings: Settings | None = None,
    output_dir: PathLike | None = None,
    prompts: Sequence[PathLike] = (),
    stress: Sequence[str] = (),
    to_see: float | None = None,
    against: PathLike | None = None,
    decide_by: Literal["em", "f1"] = "f1",
    quiet: bool = False,
) -> "Estimate":
    """Estimate what `aqa.predict` would cost; nothing is sent or written.

    Args:
        reader: as for `aqa.predict`; must use an API.
        data: as for `aqa.predict`.
        model: as for `aqa.predict`.
        settings: as for `aqa.predict`.
        output_dir: the run folder, whose answers are not paid for again.
        prompts: as for `aqa.predict`.
        stress: as for `aqa.predict`.
        to_see: a difference in points: estimate how many questions show it, and their cost.
        against: the run that `to_see` compares with.
        decide_by: the score of that difference.
        quiet: hide progress, which terminals and notebooks show by default.

    Raises:
        AqaError: something is wrong with data, config or prompt; or no API is used.
    """
    config = resolve(reader, model, settings, data)
    progress = TranslatingProgress(watched_progress(quiet), ASKED)
    folder = as_path(UNNAMED if output_dir is None else output_dir)
    POINTS.check("to_see", to_see)
    Choice(SCORES).check("decide_by", decide_by)
    check_list("prompts", prompts)
    check_list("stress", stress)
    if (to_see is None) != (against is None) or (to_see is None and decide_by != "f1"):
        raise UsageError("give to_see and against together, and decide_by only with them")
    if prompts or stress:
        if to_see is not None:
            raise UsageError("to_see works on a single run; leave out prompts and stress")
        variants = variants_of(config, folder, prompts, stress)
        return Estimate(dry_run_variants(variants, progress, Resume()))
    if to_see is None or against is None:
        return Estimate({"": dry_run(config, folder, progress, Resume())})
    resume = Resume(stop=StopRule(run_folder(against), score=decide_by))
    resume.check_files()
    estimate, detection_cost = estimate_detection(config, folder, progress, resume, to_see)
    return Estimate({"": estimate}, detection_cost)


@dataclass(frozen=True, slots=True, repr=False)
class Estimate(Displayable):
    """What a prediction would cost, and what detecting a difference of `to_see` would.

    `runs` are the estimates of all runs by name; without prompts and stress, the name is "".
    """

    runs: Mapping[str, CostEstimate]
    to_see: DetectionCost | None = None

    @property
    def total(self) -> CostEstimate:
        """All runs together: `cost` in US dollars (least, most), tokens and seconds."""
        return reduce(add, self.runs.values())

    def to_frame(self) -> "DataFrame":
        """Make a pandas table with a row for each run."""
        from pandas import DataFrame

        return DataFrame([{"run": name, **asdict(cost)} for name, cost in self.runs.items()])

    def _tables(self) -> list[Table]:
        return [costs_table(self.runs)]

    def _sentences(self) -> list[str]:
        return [] if self.to_see is None else [str(self.to_see)]
