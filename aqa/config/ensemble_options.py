"""The options of the backend ensemble."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from aqa.config.backend_options import BackendOptions


class EnsembleOptions(BackendOptions):
    """Several readers that answer as one, by a rule learned from their answers."""

    name: Literal["ensemble"] = "ensemble"
    model: str = ""  # for prediction: the run folder of `aqa train ensemble`
    # For training: run folders, or other tools' files, with answers to --data; cheapest first.
    members: list[str] = Field(default_factory=list)
    rule: Literal["auto", "majority", "mbr", "weighted", "cascade"] = "auto"  # auto: the best
    nbest: int = Field(1, ge=1)  # answers from each member's n-best list that may vote
    cluster: str = "auto"  # how questions are grouped, like --cluster of evaluate
    # For prediction: more run folders with members' answers to --data (those inside a member's
    # own run folder are found without), and files for members that are files.
    answers: list[str] = Field(default_factory=list)
    trust_members: bool = False  # allow members' own code (trust_remote_code), and vllm options
    max_cost: float | None = Field(None, gt=0)
    max_tokens_total: int | None = Field(None, ge=1)

    def idle(self) -> Mapping[str, str]:
        """Options that each member sets for itself."""
        return {
            "prompt": "each member uses its own",
            "generation": "each member uses its own options",
            "training": "an ensemble learns a rule, not weights",
            "evidence.train": "an ensemble learns from answers",
            "evaluation.answer": "each member's answers are kept as they are",
            "merge": "an ensemble has no adapter",
            "export": "an ensemble has no weights",
            "data.dev_path": "an ensemble learns from the answers to --data",
        }
