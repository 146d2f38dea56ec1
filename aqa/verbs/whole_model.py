"""After a training: its adapter and base as one model, and that for another engine."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from aqa.backends.base import Merged
from aqa.backends.cuts import Cuts
from aqa.records import Prompt
from aqa.runs.folder import Run
from aqa.runs.hashes import hash_files
from aqa.verbs.model_card import CardFacts, write_card
from aqa.verbs.train_plan import TrainingPlan

MERGE_PROMPTS = 32  # whose answers by adapter and merged model are compared


def write_whole(
    plan: TrainingPlan, run: Run, dev: Sequence[Prompt], card: CardFacts
) -> tuple[Merged | None, Merged | None]:
    """Merge what was trained, and export that, as far as the config asks for it."""
    if not (plan.config.merge or plan.config.export):
        return None, None
    compared = (dev or list(islice(plan.train_prompts(Cuts()), MERGE_PROMPTS)))[:MERGE_PROMPTS]
    merged = _merge(plan, run, compared, card)
    return merged, _export(plan, run, compared, merged.folder)


def _merge(plan: TrainingPlan, run: Run, prompts: Sequence[Prompt], card: CardFacts) -> Merged:
    """Merge the weights into their base, and compare both on a few prompts."""
    merged = plan.reader.merge(run.folder, prompts)
    write_card(merged.folder, card)
    facts = {"compared": merged.compared, "different": merged.different}
    run.update({"merged": facts, "merged_sha256": hash_files(merged.folder)})
    return merged


def _export(plan: TrainingPlan, run: Run, prompts: Sequence[Prompt], model: Path) -> Merged | None:
    """Write the merged model for another engine, if asked to."""
    if plan.config.export is None:
        return None
    kind = plan.config.export.partition(":")[2] or "f16"
    exported = plan.reader.export(model, kind, prompts)
    facts = {"compared": exported.compared, "different": exported.different}
    run.update({"exported": {"file": exported.folder.name, **facts}})
    return exported
