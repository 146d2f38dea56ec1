"""Check that a model predicts each token from earlier ones only."""

from typing import Any

from aqa.errors import ModelError

AHEAD = 0.01  # share of the largest logit: above rounding errors, below the effect of reading ahead


def check_causal(model: Any, title: str, one: Any, other: Any) -> None:
    """Check that two logits of one token, with different tokens after it, are the same.

    Encoders have causal classes too, and a few decoders omit their mask or mix up positions when
    they read a whole answer. Trained that way, a model sees each answer in advance, or learns what
    it cannot use when writing.

    Raises:
        ModelError: they differ.
    """
    if (one.float() - other.float()).abs().max() > AHEAD * one.abs().max():
        raise ModelError(
            f"{title}: in transformers, this kind of model ({model.config.model_type}) sees later"
            " tokens, or reads otherwise than it writes, so it can't learn to write answers; use"
            " another model"
        )
