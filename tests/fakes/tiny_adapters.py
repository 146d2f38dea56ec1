"""LoRA adapters from other trainers: with a tokenizer, for an extended vocabulary."""

from pathlib import Path
from typing import Any
from warnings import catch_warnings

from tiny_llama import TURNS, make_tokenizer

from aqa.library_output import quiet

CHATML = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chat_tokenizer() -> Any:
    """A base model's tokenizer, with the template of its training."""
    return make_tokenizer(TURNS)


def wider_tokenizer() -> Any:
    """The same with two more tokens, which its template needs."""
    tokenizer = make_tokenizer(CHATML)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token = "<|im_end|>"
    return tokenizer


def save_adapter(
    base: Path, folder: Path, tokenizer: Any = None, kind: str = "LoraConfig", **options: Any
) -> Path:
    """An adapter with random weights, for an extended vocabulary if the tokenizer has one."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if tokenizer is not None and len(tokenizer) > model.config.vocab_size:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    settings = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    with quiet(), catch_warnings(action="ignore"):  # of what can't be merged
        adapted = peft.get_peft_model(model, getattr(peft, kind)(**{**settings, **options}))
    with torch.no_grad():
        for weights in adapted.parameters():
            if weights.requires_grad:
                weights += 0.3 * torch.randn_like(weights)
    with quiet(), catch_warnings(action="ignore"):  # about the extended vocabulary
        adapted.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def plain_answers(base: Path, folder: Path, chats: list[list[dict[str, str]]]) -> list[str]:
    """The answers by peft's own loading and a plain `generate` of transformers."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if len(tokenizer) > model.config.vocab_size:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with quiet():
        model = PeftModel.from_pretrained(model, folder).eval()
    ends = {tokenizer.eos_token_id, *model.generation_config.eos_token_id}
    found = []
    for chat in chats:
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        written = model.generate(
            input_ids=ids, max_new_tokens=8, do_sample=False, eos_token_id=list(ends)
        )
        new = written[0, ids.shape[1] :]
        found.append(tokenizer.decode(new, skip_special_tokens=True))
    return found
