"""Typed options of the backend ensemble."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from aqa.config.backend_options import BackendOptions


class EnsembleOptions(BackendOptions):
    """Several readers that answer as one, by a rule that is learned from their answers."""

    name: Literal["ensemble"] = "ensemble"
    model: str = ""  # of a prediction: its run folder
    # Of a training: run folders, or files of other tools, with answers to --data; cheap ones first.
    members: list[str] = Field(default_factory=list)
    rule: Literal["auto", "majority", "mbr", "weighted", "cascade"] = "auto"  # or else that one
    nbest: int = Field(1, ge=1)  # answers of each member's n-best list that count as members
    cluster: str = "auto"  # what questions hang together by, as --cluster of evaluate
    # Of a prediction: run folders with members' answers to --data, known by what they hold
    # (those in a member's own run folder are found without), and files for members that are files.
    answers: list[str] = Field(default_factory=list)
    max_cost: float | None = Field(None, gt=0)
    max_tokens_total: int | None = Field(None, ge=1)

    def idle(self) -> Mapping[str, str]:
        """What each member decides for itself."""
        return {
            "generation": "each member writes its answers by its own options",
            "training": "an ensemble learns a rule, and no weights",
            "evidence.train": "an ensemble learns from answers",
            "evaluation.answer": "each member's answers are kept as they are",
            "merge": "an ensemble has no adapter",
            "export": "an ensemble has no weights",
            "data.dev_path": "an ensemble learns from the answers to --data",
        }
