"""The files of answers of a batch, fetched until they hold as many as the server counts."""

import time
from collections.abc import Collection
from pathlib import Path

from aqa.backends.openai_api.attempts import back_off
from aqa.backends.openai_api.batch.lines import Answers
from aqa.backends.openai_api.batch.server import Batch, BatchServer, NotThereError
from aqa.errors import ModelError
from aqa.runs.hashes import hash_files

GONE = 6  # times that a file is not there before it is gone: new ones may be late
ALIKE = 3  # downloads of the same well-formed files, after which these are the server's own


def fetch_answers(
    server: BatchServer,
    batch: Batch,
    paths: tuple[Path, Path],
    asked: Collection[int],
    requests: int,
    any_will_do: bool,
) -> Answers:
    """Fetch what a batch answered to so many requests, unless it lies at the paths.

    What is no file of answers, such as a gateway's page, or is cut, or is not named yet, is fetched
    again for the server's patience: never is a batch asked twice for it. Where `any_will_do`, what
    is there by then is taken.

    Raises:
        NotThereError: the server no longer has the files.
        ModelError: it gives less than it counts.
    """
    expected = max(requests if batch.status == "completed" else 0, batch.finished)
    until, attempts, alike = time.monotonic() + server.patience, 0, 0
    seen: list[str] = []
    while True:
        is_complete = _download(server, batch, paths, attempts)
        found = Answers(paths, asked)
        if len(found) >= expected:
            return found
        if found.are_nameless and not any_will_do:
            raise ModelError(
                f"the answers of the batch {batch.id} lack the custom_id of their questions, so"
                " they can't be used; give the batch up with --cancel, and ask without --batch-api"
            )
        digests = [hash_files(path) for path in paths if path.exists()]
        alike = alike + 1 if digests == seen else 1
        seen = digests
        whole = is_complete and len(found) > 0 and found.are_whole
        if alike >= ALIKE and (whole or any_will_do):
            return found
        attempts += 1
        pause = back_off(attempts)
        if time.monotonic() + pause > until:
            raise ModelError(
                f"the files of the batch {batch.id} hold {len(found):,} of the {expected:,}"
                " answers that the server counts; they stay there, and the same command"
                " fetches them again; --cancel takes what they hold"
            )
        time.sleep(pause)
        batch = server.retrieve(batch.id)


def _download(server: BatchServer, batch: Batch, paths: tuple[Path, Path], attempts: int) -> bool:
    """Fetch a batch's files, at first what is not here; tell whether the server has all of them."""
    named = zip((batch.answers, batch.errors), paths, strict=True)
    files = [(id_, path) for id_, path in named if id_ is not None]
    try:
        if attempts or not all(path.exists() for _, path in files):
            for id_, path in files:
                server.download(id_, path)
    except NotThereError:
        if attempts + 1 >= GONE:
            raise
        return False
    return batch.answers is not None or not batch.answered
