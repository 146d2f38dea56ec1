"""See that a model writes each token by those before it alone."""

from collections.abc import Callable
from typing import Any

from aqa.backends.local.devices import input_device
from aqa.errors import ModelError

AHEAD = 0.01  # of the largest logit: more than rounding, and less than what encoders see


def check_causal(model: Any, title: str, logits_of: Callable[[Any], Any]) -> None:
    """See that what a model says of the first tokens does not depend on the last one.

    Encoders have causal classes, too, and a few decoders leave out their mask, or mix places up,
    where they read an answer at once. Trained so, a model would find each answer in front of it,
    and write none. `logits_of` are those of a row of token ids.

    Raises:
        ModelError: it does.
    """
    import torch

    row = torch.tensor([[5, 6, 7]], device=input_device(model))
    with torch.no_grad():  # what a model keeps from it may be used in training, too
        found, before = logits_of(row)[:, :2].float(), logits_of(row[:, :2]).float()
    if (found - before).abs().max() > AHEAD * before.abs().max():
        raise ModelError(
            f"{title}: a model of this kind ({model.config.model_type}), as transformers has it,"
            " reads ahead, so it can't learn to write answers; name another model"
        )
