"""See that a model writes each token by those before it alone."""

from typing import Any

from aqa.errors import ModelError

AHEAD = 0.01  # of the largest logit: more than rounding, and less than what encoders see


def check_causal(model: Any, title: str, one: Any, other: Any) -> None:
    """See that a model says the same of a token, whatever stands behind it; it gave both logits.

    Encoders have causal classes, too, and a few decoders leave out their mask, or mix places up,
    where they read an answer at once. Trained so, a model finds each answer in front of it, or
    learns what it does not write by.

    Raises:
        ModelError: it does not.
    """
    if (one.float() - other.float()).abs().max() > AHEAD * one.abs().max():
        raise ModelError(
            f"{title}: a model of this kind ({model.config.model_type}), as transformers has it,"
            " reads ahead, so it can't learn to write answers; name another model"
        )
