"""A reader that stays loaded, for one run after another."""

from threading import Lock
from typing import Self, cast

from aqa.backends.base import Backend
from aqa.config.options import RunConfig
from aqa.errors import RunError
from aqa.progress import Progress


class Staying(Backend):
    """The part of a derived reader that is loaded when it is first entered, until it is freed.

    So it answers one run at a time: they would take each other's memory, and a server's answers.
    """

    def __init__(self, config: RunConfig, progress: Progress) -> None:
        super().__init__(config, progress)
        self._answers, self._is_loaded = Lock(), False

    def __enter__(self) -> Self:
        if not self._answers.acquire(blocking=False):
            raise RunError(
                "this reader is answering another aqa.predict; take the rest of those answers"
                " first, or close() them"
            )
        try:
            if not self._is_loaded:
                super().__enter__()
                self._is_loaded = True
        except BaseException:
            self._answers.release()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        """Stay loaded, for the next run."""
        self._answers.release()

    def used_with(self, progress: Progress) -> Self:
        """Note things here from now on."""
        self._progress = progress
        return self

    def free(self) -> None:
        """Free the memory; what is asked after that loads it again."""
        if self._is_loaded:
            self._is_loaded = False
            super().__exit__(None, None, None)


def staying(reader_type: type[Backend]) -> type[Backend]:
    """Derive a reader that stays."""
    return cast(type[Backend], type(reader_type.__name__, (Staying, reader_type), {}))
