"""The backend `llama-qlora`: causal models with LoRA adapters."""
