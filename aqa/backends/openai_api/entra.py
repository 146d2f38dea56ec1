"""Tokens of Entra ID for Azure, by the package azure-identity: whoever has signed in there."""

import asyncio
from collections.abc import Awaitable, Callable

from aqa.backends.openai_api.access import Access
from aqa.errors import ConfigError, MissingExtraError

SCOPE = "https://cognitiveservices.azure.com/.default"  # Azure OpenAI's


def token_provider(access: Access) -> Callable[[], Awaitable[str]]:
    """Give the function that gives the token of a request; it is renewed before it ends.

    Raises:
        MissingExtraError: the package is missing.
    """
    try:
        from azure.core.exceptions import AzureError
        from azure.identity import DefaultAzureCredential, get_bearer_token_provider
    except ImportError as error:
        raise MissingExtraError("azure-identity", "azure") from error
    ask = get_bearer_token_provider(DefaultAzureCredential(), SCOPE)

    async def token() -> str:
        try:
            found: str = await asyncio.to_thread(ask)
        except AzureError as error:
            lines = str(error).strip().splitlines()
            reason = lines[0] if lines else type(error).__name__
            raise ConfigError(f"Entra ID gives no token: {reason}") from error
        access.tokens.add(found)
        return found

    return token
