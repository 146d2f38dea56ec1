"""The Hugging Face hub: whether it can be reached is found out once, not for every file."""

import os
from functools import cache

WAIT = 10.0  # seconds for its answer


@cache
def ready_hub() -> None:
    """Where the hub can't be reached, let its libraries keep to what was downloaded before.

    They would try each file for 24 seconds, and a model whose files are all there is asked for
    half a dozen that it does not have.
    """
    from huggingface_hub import constants, get_session

    if constants.is_offline_mode():
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=WAIT)
    except Exception:  # noqa: BLE001  (of any transport)
        for name in ("HF_HUB_OFFLINE", "HF_EVALUATE_OFFLINE"):
            os.environ[name] = "1"  # for what is imported or started later
        constants.HF_HUB_OFFLINE = True
