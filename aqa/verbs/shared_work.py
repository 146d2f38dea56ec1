"""Share one run between processes: each takes windows of questions until all are answered.

One process leads, by default the first: it holds the run folder, shows progress and merges
all answers. Any process may die: the others take over its part, including the lead.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from aqa.backends.base import Backend
from aqa.errors import FolderInUseError, RunError
from aqa.processes import process_rank
from aqa.prompting.build import Inputs
from aqa.records import Example
from aqa.runs.fingerprints import another_run, differences
from aqa.runs.folder import Run, hold, read_manifest
from aqa.runs.segments import POLL_SECONDS, SegmentFollower, join_segments
from aqa.runs.shared_queue import Share, open_queue, take_part
from aqa.verbs.session import Answered, Answering, Session

LEAD_SECONDS = 60.0  # before another process leads, if the first has not come
BEGIN_SECONDS = 1800.0  # within which the leader must let the others begin


class SharedAnswering(Answering):
    """Answers the windows that this process takes; the leader also yields the others' rows.

    Each answer is in this process's journal segment before it is yielded.
    """

    def __init__(self, session: Session, share: Share, others: SegmentFollower | None):
        super().__init__(session)
        self._share, self._others = share, others
        self._journal = share.journal

    def _ask(self) -> Iterator[Answered]:
        with self._share, ExitStack() as stack:
            reader = None
            for has_work in self._share.rounds():
                if has_work:
                    reader = reader or stack.enter_context(self._reader)
                    prompts = self._prompts(_examples(self._inputs, self._share))
                    for answer in self._recorded(reader.generate(prompts)):
                        yield answer
                        yield from self._follow(1.0)
                yield from self._follow(1.0)
            stack.close()  # the weights
            if self._others:
                self._share.close()
                yield from self._follow(0.0)

    def _follow(self, seconds: float) -> Iterator[Answered]:
        if self._others:
            yield from map(self._counted, self._others.rows(seconds))


def lead(session: Session, launch: str) -> Generator[Answered, None, None]:
    """Answer with the other processes of this launch, merging all answers into the journal."""
    journal, inputs = session.journal, session.inputs
    fingerprint = inputs.fingerprint(session.reader)
    window = session.reader.config.generation.window
    queue = {"launch": launch, "window": window, "fingerprint": fingerprint}
    session.run.update({"launch": launch})
    open_queue(
        journal.folder,
        queue,
        (journal.is_done(index, session.since) for index in range(inputs.total)),
    )
    share = take_part(journal.folder, str(process_rank()), launch)
    assert share is not None
    yield from SharedAnswering(session, share, share.others()).run()
    join_segments(journal, window, session.since)


def follow(inputs: Inputs, reader: Backend, folder: Path, launch: str) -> bool:
    """Answer alongside the leading process; return whether to take its place because it died.

    Raises:
        FolderInUseError: another launch is working there.
        RunError: the leader stopped, or is working on another run.
    """
    share = _awaited_share(folder, launch)
    if share is None:
        return read_manifest(folder).get("status") != "done"
    if different := differences(share.fingerprint, inputs.fingerprint(reader)):
        with share:
            raise RunError(another_run(folder, different))
    run = Run(folder, writes=False)
    session = Session(inputs, reader, run, share.journal, 0, batches=False)
    for _ in SharedAnswering(session, share, None).run():
        pass
    return _is_free(folder)


def _awaited_share(folder: Path, launch: str) -> Share | None:
    """Wait for this process's share; None if all is done or nobody leads."""
    start = time.monotonic()
    while (share := take_part(folder, str(process_rank()), launch)) is None:
        manifest, waited = read_manifest(folder), time.monotonic() - start
        status = manifest.get("status") if manifest.get("launch") == launch else None
        if status not in (None, "running", "done"):
            raise RunError(f"{folder}: the leading process stopped; see its message")
        patience = 0.0 if status else LEAD_SECONDS + process_rank()
        if status == "done" or (waited >= patience and _is_free(folder)):
            return None
        if waited > BEGIN_SECONDS:
            raise FolderInUseError(folder)
        time.sleep(POLL_SECONDS)
    return share


def _is_free(folder: Path) -> bool:
    try:
        hold(folder).release()
    except FolderInUseError:
        return False
    return True


def _examples(inputs: Inputs, share: Share) -> Iterator[tuple[int, Example]]:
    """Yield the examples of the windows that can be taken now, each with its index."""
    examples, position = inputs.examples(), 0
    while (taken := share.take()) is not None:
        if taken.start < position:  # a window that a dead process left
            examples, position = inputs.examples(), 0
        for index, example in islice(examples, taken.start - position, taken.stop - position):
            if share.needs(index):
                yield index, example
        position = taken.stop
