"""Check on a sample whether a reader's tokenizer knows the language of the data."""

from collections.abc import Iterable
from itertools import islice

from aqa.backends.base import Backend
from aqa.errors import DataError
from aqa.progress import Progress
from aqa.prompting.build import Inputs, read_texts

SAMPLE = 64  # examples, spread over the FIRST ones
FIRST = 2048  # examples at the start of the data
CHARACTERS = 4000  # of each example
WORTH_TELLING = 0.01  # share of unknown characters, more than a few rare ones make up


def check_known(inputs: Inputs, reader: Backend, progress: Progress) -> None:
    """Warn if the tokenizer does not know some of the data; DataError if it misses most."""
    total = min(inputs.total, FIRST)
    step = max(total // SAMPLE, 1)
    sample = [example for _, example in islice(inputs.examples(), 0, total, step)]
    targets = inputs.template.targets
    read = _share(reader, map(read_texts, sample))
    answers = _share(reader, (targets(example.answers) for example in sample))
    if max(read, answers) < WORTH_TELLING:
        return
    finding = (
        f"{inputs.source.path}: the tokenizer of {reader.options.model} does not know"
        f" {read:.0%} of the characters that are read and {answers:.0%} of those of the answers"
        f" (in {len(sample)} examples)"
    )
    if max(read, answers) > 0.5:
        raise DataError(f"{finding}: it has not learnt this language; choose a model that has")
    progress.note(f"{finding}: the model can't tell them apart")


def _share(reader: Backend, texts: Iterable[Iterable[str]]) -> float:
    counts = [reader.unknown_characters("\n".join(parts)[:CHARACTERS]) for parts in texts]
    return sum(unknown for unknown, _ in counts) / max(sum(total for _, total in counts), 1)
