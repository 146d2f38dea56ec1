"""Write the model card (README.md) beside trained weights, in the hub's format."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aqa.config.shipped import PREFIX
from aqa.runs.names import MERGED
from aqa.tables import Row, Table, texts
from aqa.tables.forms import to_markdown
from aqa.version import __version__

CARD = "README.md"
WAIT = 10.0  # seconds to wait for the hub's answer about a licence


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a model card says about a training.

    `base` is the base model as the user named it, "" if trained from scratch; `adapts`: the
    weights are an adapter for it; `sources` are the manifest's; `scores` is the table of
    validation scores, if any.
    """

    name: str
    backend: str
    base: str
    adapts: bool
    sources: Mapping[str, Mapping[str, str]]
    scores: Table | None


def write_card(folder: Path, facts: CardFacts) -> None:
    """Write the card of the weights in a folder, replacing one that a library may have left."""
    (folder / CARD).write_text(_card(folder, facts), encoding="utf-8")


def _card(folder: Path, facts: CardFacts) -> str:
    is_adapter = facts.adapts and folder.name != MERGED
    licence = licence_of(facts.base) if facts.base else None
    on_hub = bool(facts.base) and not (facts.base.startswith(PREFIX) or Path(facts.base).exists())
    head: dict[str, Any] = {
        **({"license": licence} if licence else {}),
        **({"base_model": facts.base} if on_hub else {}),
        "library_name": "peft" if is_adapter else "transformers",
        "pipeline_tag": "text2text-generation" if facts.backend == "t5" else "text-generation",
        "tags": ["question-answering", "aqa"],
    }
    kind = "a LoRA adapter over" if is_adapter else "a whole model, fine-tuned from"
    origin = f"{kind} `{_name(facts.base)}`" if facts.base else "a whole model, made from scratch"
    rows = [
        Row([what.replace("_", " "), _name(source["name"]), source.get("sha256", "")])
        for what, source in facts.sources.items()
    ]
    return "\n".join(
        [
            f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
            f"# {facts.name}\n",
            f"A reader that answers questions from given passages: {origin},"
            f" trained by aqa {__version__} (backend {facts.backend}).\n",
            "## Scores\n",
            to_markdown(facts.scores) if facts.scores else "It was not scored: no validation data.",
            "\n## What it was made from\n",
            to_markdown(Table(texts("what", "name", "SHA-256"), rows)),
            "\n## Use\n",
            "With this folder downloaded as `reader`:\n",
            f"    aqa predict {facts.backend} --model reader --data questions.json\n",
            "## Licence\n",
            f"{_licence_in_words(facts.base, licence)}\n",
        ]
    )


def _licence_in_words(base: str, licence: str | None) -> str:
    if not base:
        return "You choose the licence: this model was not derived from another."
    if licence is not None:
        return f"The base is under the licence {licence}; these weights are derived from it."
    return (
        "The licence of the base is not known here: read it before you share these weights, which"
        " are derived from it."
    )


def _name(name: str) -> str:
    """A model's name, without the folders if it is a local path."""
    local = Path(name).is_absolute() or Path(name).exists()
    return Path(name).name if local and not name.startswith(PREFIX) else name


def licence_of(base: str) -> str | None:
    """Find a model's licence: from its package, its own card or the hub; None if unknown."""
    if base.startswith(PREFIX):
        package = base.removeprefix(PREFIX).partition("/")[0]
        owners = importlib.metadata.packages_distributions().get(package, [])
        fields = [importlib.metadata.metadata(owner) for owner in owners[:1]]
        keys = ("License-Expression", "License")
        licences = (entry[key].lower() for entry in fields for key in keys if key in entry)
        return next(filter(None, licences), None)
    if Path(base).is_dir():
        card = Path(base, CARD)
        return _licence_in(card.read_text(encoding="utf-8")) if card.is_file() else None
    if Path(base).exists():
        return None
    return _licence_on_hub(base)


def _licence_in(card: str) -> str | None:
    if not card.startswith("---\n"):
        return None
    try:
        head = yaml.safe_load(card.split("\n---", 1)[0])
    except yaml.YAMLError:
        return None
    licence = head.get("license") if isinstance(head, dict) else None
    return licence if isinstance(licence, str) else None


def _licence_on_hub(name: str) -> str | None:
    from huggingface_hub import model_info

    try:
        card = model_info(name, timeout=WAIT).card_data
    except Exception:  # noqa: BLE001  (of any transport: a trained model is not lost for its card)
        return None
    licence = None if card is None else card.get("license")
    return licence if isinstance(licence, str) else None
