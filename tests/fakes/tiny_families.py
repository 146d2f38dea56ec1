"""Models of many families with random weights and the tokenizers of the tiny readers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tiny_llama import make_tokenizer
from tiny_t5 import bart_tokenizer, save, t5_tokenizer

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
OLD_SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 4}
GEMMA = {**SIZES, "head_dim": 16, "sliding_window": 64, "query_pre_attn_scalar": 16}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
# A family's configuration in transformers, and the changes that make it tiny.
CAUSAL: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("LlamaConfig", {**SIZES, "max_position_embeddings": 1024}),
    "gemma2": ("Gemma2Config", GEMMA),
    "gemma3": ("Gemma3Config",
        {"text_config": {**GEMMA, "vocab_size": 320}, "vision_config": VISION,
            "mm_tokens_per_image": 4}),
    "gptoss": ("GptOssConfig",
        {**SIZES, "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2,
            "intermediate_size": 32, "sliding_window": 32, "max_position_embeddings": 4096}),
    "gptj": ("GPTJConfig", {**OLD_SIZES, "rotary_dim": 8, "n_positions": 1024}),
    "gpt2": ("GPT2Config", {**OLD_SIZES, "n_positions": 256}),
    "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mpt": ("MptConfig", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 1024}),
    "opt": ("OPTConfig",
        {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "max_position_embeddings": 256, "word_embed_proj_dim": 32}),
    "doge": ("DogeConfig", {**SIZES, "max_position_embeddings": 1024}),
    "falcon": ("FalconConfig",
        {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "multi_query": True,
            "alibi": False, "max_position_embeddings": 1024}),
    "mixtral": ("MixtralConfig", {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3moe": ("Qwen3MoeConfig", {**SIZES, **EXPERTS, "head_dim": 16, "num_experts": 4}),
    "deepseekv3": ("DeepseekV3Config",
        {**SIZES, **EXPERTS, "num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 2,
            "topk_group": 1, "first_k_dense_replace": 1, "kv_lora_rank": 16, "q_lora_rank": 16,
            "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16}),
    "jamba": ("JambaConfig",
        {**SIZES, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
            "num_experts": 2, "num_experts_per_tok": 1, "mamba_d_state": 8, "mamba_dt_rank": 8,
            "use_mamba_kernels": False}),
    "llama4": ("Llama4TextConfig",
        {**SIZES, "head_dim": 16, "intermediate_size_mlp": 64, "num_local_experts": 2,
            "num_experts_per_tok": 1, "attention_chunk_size": 32, "max_position_embeddings": 4096}),
}  # fmt: skip
T5_SIZES = {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_heads": 4, "num_layers": 2}
BART_SIZES = {
    "d_model": 32,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
}
SEQ2SEQ: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mt5": ("MT5Config", {**T5_SIZES, "feed_forward_proj": "gated-gelu"}),
    "longt5": ("LongT5Config", {**T5_SIZES, "local_radius": 15, "global_block_size": 8}),
    "switch": ("SwitchTransformersConfig",
        {**T5_SIZES, "num_decoder_layers": 2, "num_experts": 2, "expert_capacity": 16,
            "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1}),
    "mbart": ("MBartConfig", {**BART_SIZES, "max_position_embeddings": 1024}),
    "m2m100": ("M2M100Config", {**BART_SIZES, "max_position_embeddings": 1024}),
    "pegasus": ("PegasusConfig", {**BART_SIZES, "max_position_embeddings": 1024}),
    "bigbird_pegasus": ("BigBirdPegasusConfig",
        {**BART_SIZES, "block_size": 4, "num_random_blocks": 1, "max_position_embeddings": 1024}),
    "led": ("LEDConfig",
        {**BART_SIZES, "attention_window": 32, "max_encoder_position_embeddings": 1024,
            "max_decoder_position_embeddings": 64}),
    "prophetnet": ("ProphetNetConfig",
        {"hidden_size": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "num_encoder_layers": 2,
            "num_decoder_layers": 2, "num_encoder_attention_heads": 4,
            "num_decoder_attention_heads": 4}),
    "fsmt": ("FSMTConfig", {**BART_SIZES, "src_vocab_size": 320, "tgt_vocab_size": 320}),
    "marian": ("MarianConfig", {**BART_SIZES, "max_position_embeddings": 1024}),
    "t5gemma": ("T5GemmaConfig",
        {"encoder": {**GEMMA, "vocab_size": 320}, "decoder": {**GEMMA, "vocab_size": 320}}),
    "t5gemma2": ("T5Gemma2Config",
        {"encoder": {"text_config": {**GEMMA, "vocab_size": 320}, "vision_config": VISION},
            "decoder": {**GEMMA, "vocab_size": 320}}),
}  # fmt: skip


def save_causal(family: str, folder: Path, chat: bool = True, **changed: Any) -> Path:
    """A causal model; `changed` are values of its configuration. Without `chat`, no template."""
    tokenizer = make_tokenizer() if chat else make_tokenizer(None)
    ends = {"bos_token_id": 0, "eos_token_id": 4, "pad_token_id": 5}
    if family == "gemma3":
        ends["image_token_id"] = 3
    config = make_config(CAUSAL, family, {"vocab_size": len(tokenizer), **ends, **changed})
    return save_model("AutoModelForCausalLM", config, tokenizer, folder)


def save_seq2seq(
    family: str, folder: Path, tokenizer: Callable[[], Any] | None = None, **changed: Any
) -> Path:
    """An encoder-decoder with T5's tokenizer, or with BART's for families like it."""
    made = (tokenizer or (bart_tokenizer if "BART" in kin(family) else t5_tokenizer))()
    start = made.pad_token_id if "T5" in kin(family) else made.eos_token_id
    ends = {
        "bos_token_id": 0,
        "pad_token_id": made.pad_token_id,
        "eos_token_id": made.eos_token_id,
        "decoder_start_token_id": start,
    }
    config = make_config(SEQ2SEQ, family, {"vocab_size": len(made), **ends, **changed})
    return save_model("AutoModelForSeq2SeqLM", config, made, folder)


def kin(family: str) -> str:
    return "BART" if "encoder_layers" in SEQ2SEQ[family][1] else "T5"


def make_config(
    table: Mapping[str, tuple[str, Mapping[str, Any]]], family: str, values: Mapping[str, Any]
) -> Any:
    import transformers

    name, sizes = table[family]
    return getattr(transformers, name)(**{**sizes, **values})


def save_model(kind: str, config: Any, tokenizer: Any, folder: Path) -> Path:
    """Save weights with a spread wide enough for a frozen output layer to be confident."""
    import torch
    import transformers

    torch.manual_seed(7)
    model = getattr(transformers, kind).from_config(config)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(std=0.2)
    return save(model, tokenizer, folder)
