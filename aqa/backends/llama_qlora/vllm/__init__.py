"""The engine vLLM: servers, started here or elsewhere, that are asked for answers by token ids."""
