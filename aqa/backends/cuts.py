"""Count what training prompts lost to fit, and which were left out."""

from dataclasses import dataclass

from aqa.errors import DataError
from aqa.progress import Progress

NO_GOLD = (
    "{} examples are left out: no passage holds their answer, or evidence.train left the gold one"
    " out"
)


@dataclass(slots=True)
class Cuts:
    """Counts prompts that were shortened, lost the gold passage, never had one, or cannot fit.

    `unfit_reason` says why the first of those that cannot fit does not.
    """

    shortened: int = 0
    lost_gold: int = 0
    without_gold: int = 0
    unfit: int = 0
    unfit_reason: str = ""

    @property
    def left_out(self) -> int:
        """The number of examples that are not trained on."""
        return self.unfit + self.without_gold

    def leave_out(self, reason: str) -> None:
        """Count a prompt that cannot fit."""
        self.unfit += 1
        self.unfit_reason = self.unfit_reason or reason

    def add(self, others: "Cuts") -> None:
        """Add the counts of other prompts."""
        self.shortened += others.shortened
        self.lost_gold += others.lost_gold
        self.without_gold += others.without_gold
        self.unfit += others.unfit
        self.unfit_reason = self.unfit_reason or others.unfit_reason

    def check_left(self, rows: int) -> None:
        """Raise a DataError if no row is left to train on, saying why not if that is known."""
        if rows == 0:
            reason = self.unfit_reason or (self.without_gold and NO_GOLD.format(self.without_gold))
            raise DataError("no example is left to train on" + (f": {reason}" if reason else ""))

    def tell(self, progress: Progress) -> None:
        """Note what was cut, if anything."""
        if self.shortened:
            progress.note(f"{self.shortened} prompts lost passages or text to fit")
        if self.lost_gold:
            progress.note(
                f"{self.lost_gold} prompts lost the passage with the answer; raise"
                " backend.max_seq_length or what evidence allows (top_k, max_chars, max_tokens)"
            )
        if self.without_gold:
            progress.note(NO_GOLD.format(self.without_gold))
        if self.unfit:
            progress.note(f"{self.unfit} examples don't fit and are left out: {self.unfit_reason}")
