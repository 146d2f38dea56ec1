"""The backend `gpt4`: models behind an API that speaks OpenAI's protocol."""
