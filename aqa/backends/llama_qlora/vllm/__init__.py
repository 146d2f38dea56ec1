"""The engine vLLM: servers, started here or elsewhere, that answer prompts of token ids."""
