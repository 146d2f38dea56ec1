"""One of several processes that make the rows of a training together."""

import json
from collections.abc import Iterator
from pathlib import Path


def make_rows(model: Path, folder: Path, failing: str) -> None:
    """Make rows, and write what this process sees, or the error that ends it.

    The process with rank `failing` can't read its second example.
    """
    from tiny_llama import Training, make_reader, tiny_template

    from aqa.backends.base import TrainJob
    from aqa.backends.cuts import Cuts
    from aqa.backends.local.training_arguments import training_arguments
    from aqa.backends.local.training_rows import TrainingRows
    from aqa.errors import AqaError, DataError
    from aqa.processes import process_rank
    from aqa.records import Prompt

    reader, rank = make_reader(model), str(process_rank())
    training = Training(reader, tiny_template(folder), folder)

    def train(number: int, count: int, cuts: Cuts) -> Iterator[Prompt]:
        for prompt in training.train(number, count, cuts):
            yield prompt
            if rank == failing:
                raise DataError("rows.jsonl, line 6: cut off")

    job = TrainJob(train, [], lambda _: {}, folder, resume=False)
    made = TrainingRows(reader, job)
    made.make()
    training_arguments(reader.config, reader.options, job)
    try:
        seen: object = list(made.all())
    except AqaError as error:
        seen = str(error)
    path = folder / f"seen-{rank}.json"
    path.write_text(json.dumps([seen, job.cuts.shortened]), encoding="utf-8")
