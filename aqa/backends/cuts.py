"""What the prompts of a training lost on their way to a reader."""

from dataclasses import dataclass

from aqa.progress import Progress


@dataclass(slots=True)
class Cuts:
    """How many prompts lost text or the answer itself, had no gold passage, or can not fit.

    `unfit_reason` is what is wrong with the first one that can't fit.
    """

    shortened: int = 0
    lost_gold: int = 0
    without_gold: int = 0
    unfit: int = 0
    unfit_reason: str = ""

    @property
    def left_out(self) -> int:
        """How many examples are not trained on."""
        return self.unfit + self.without_gold

    def leave_out(self, reason: str) -> None:
        """Count a prompt that can't fit."""
        self.unfit += 1
        self.unfit_reason = self.unfit_reason or reason

    def add(self, others: "Cuts") -> None:
        """Count those of further prompts."""
        self.shortened += others.shortened
        self.lost_gold += others.lost_gold
        self.without_gold += others.without_gold
        self.unfit += others.unfit
        self.unfit_reason = self.unfit_reason or others.unfit_reason

    def tell(self, progress: Progress) -> None:
        """Say what was cut, if anything was."""
        if self.shortened:
            progress.note(f"{self.shortened} prompts lost passages or text to fit")
        if self.lost_gold:
            progress.note(
                f"{self.lost_gold} prompts lost the passage with the answer; raise"
                " backend.max_seq_length or what evidence allows (top_k, max_chars, max_tokens)"
            )
        if self.without_gold:
            progress.note(
                f"{self.without_gold} examples are left out: no passage holds their answer, or"
                " evidence.train left the gold one out"
            )
        if self.unfit:
            progress.note(f"{self.unfit} examples can't fit and are left out: {self.unfit_reason}")
