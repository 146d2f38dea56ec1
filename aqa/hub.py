"""Check once whether the Hugging Face hub can be reached, rather than for every file."""

import os
from functools import cache

WAIT = 10.0  # seconds for its answer


@cache
def ready_hub() -> None:
    """If the hub can't be reached, make its libraries use only what was downloaded before.

    Otherwise they would try each file for 24 seconds, including half a dozen that even a fully
    downloaded model does not have.
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
