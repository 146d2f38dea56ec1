"""Kinds of local models: a family, with a typical tokenizer and chat template."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tiny_families import BART_SIZES, CAUSAL, GEMMA, OLD_SIZES, SEQ2SEQ, SIZES, T5_SIZES, save_model
from tiny_llama import INSTRUCTION, byte_level, texts
from tiny_t5 import bart_tokenizer, t5_tokenizer

WORDS = "system user assistant model developer final channel question: context:"


def bpe(special: Sequence[str], **roles: str) -> Any:
    """Byte-level BPE, like GPT-2, Llama 3, Qwen and most others."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = byte_level(special, texts(INSTRUCTION, WORDS), size=340)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)


def sentencepiece(special: Sequence[str] = (), **roles: str) -> Any:
    """SentencePiece's BPE with byte fallback, like Llama 2 and Gemma."""
    made = {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "user_defined_symbols": list(special),
    }
    tokenizer = from_sentencepiece("LlamaTokenizer", "tokenizer.model", made, **roles)
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    return tokenizer


def from_sentencepiece(kind: str, name: str, made: Mapping[str, Any], **roles: str) -> Any:
    """A tokenizer of transformers' class `kind`, from only a SentencePiece file."""
    import tempfile

    import sentencepiece as library
    import transformers

    file = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(texts(INSTRUCTION, WORDS) * 4),
        model_writer=file,
        vocab_size=340,
        hard_vocab_limit=False,
        minloglevel=2,
        **made,
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(file.getvalue())
        return getattr(transformers, kind).from_pretrained(folder, **roles)


def translator(kind: str, model_type: str, language: str) -> Any:
    """A tokenizer that adds a language code to a text."""
    return from_sentencepiece(
        kind,
        "sentencepiece.bpe.model",
        {"model_type": model_type},
        src_lang=language,
        tgt_lang=language,
    )


CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OWN_SYSTEM = "{{ '<|im_start|>system\nYou are a model.<|im_end|>\n' }}"
QWEN2 = "{% if messages[0].role != 'system' %}" + OWN_SYSTEM + "{% endif %}" + CHATML
QWEN3 = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% if date_string is not defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}"
    "{% if loop.first %}{{ 'Today Date: ' + date_string + '\n\n' }}{% endif %}"
    "{{ m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'system' %}"
    "{{ bos_token + '[INST] <<SYS>>\n' + m.content + '\n<</SYS>>\n\n' }}"
    "{% elif m.role == 'user' %}"
    "{% if loop.first %}{{ bos_token + '[INST] ' }}{% endif %}{{ m.content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
ALTERNATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}"
)
MISTRAL = (
    ALTERNATE + "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + eos_token }}"
    "{% endif %}{% endfor %}"
)
GEMMA_TURNS = (
    ALTERNATE + "{{ bos_token }}{% for m in messages %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{% if m.content is string %}{{ m.content | trim }}{% else %}"
    "{% for part in m.content %}{{ part.text | trim }}{% endfor %}{% endif %}"
    "{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI3 = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
HARMONY = (
    "{{ '<|start|>system<|message|>Current date: ' + strftime_now('%Y-%m-%d') + '<|end|>' }}"
    "{% for m in messages %}{% if m.role == 'system' %}"
    "{{ '<|start|>developer<|message|>' + m.content + '<|end|>' }}{% elif m.role == 'user' %}"
    "{{ '<|start|>user<|message|>' + m.content + '<|end|>' }}{% else %}"
    "{{ '<|start|>assistant<|channel|>final<|message|>' + m.content }}"
    "{{ '<|return|>' if loop.last else '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
EXAONE = (
    "{% for m in messages %}{{ '[|' + m.role + '|]' + m.content }}"
    "{{ '\n' if m.role == 'user' else '[|endofturn|]\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}"
)
FALCON = (
    "{% for m in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}"
    "{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}"
    "{{ '\nUser: ' + m.content }}{% else %}{{ '\nFalcon: ' + m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n\nFalcon:' }}{% endif %}"
)
GRANITE = (
    "{% for m in messages %}{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' }}"
    "{{ m.content + '<|end_of_text|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}"
)
ZEPHYR = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}"
    "{{ eos_token if m.role == 'assistant' else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Kind:
    """A family's configuration, the changes that make it tiny, its tokenizer and chat template.

    `variables` are passed to the template, as our options set them; `first` names the decoder's
    first token, if that is not the padding token.
    """

    config: str
    sizes: Mapping[str, Any]
    tokenizer: Callable[[], Any]
    chat_template: str | None = None
    settings: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    first: str | None = None

    def save(self, folder: Path) -> Path:
        """Save the model with its tokenizer."""
        import transformers

        tokenizer = self.tokenizer()
        tokenizer.chat_template = self.chat_template
        ends = {
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "decoder_start_token_id": (
                tokenizer.convert_tokens_to_ids(self.first)
                if self.first
                else tokenizer.pad_token_id
            ),
        }
        config = getattr(transformers, self.config)(**{**ends, **self.sizes})
        kind = "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else "AutoModelForCausalLM"
        return save_model(kind, config, tokenizer, folder)


def chatml() -> Any:
    names = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    made = bpe(names, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.add_tokens(["<think>", "</think>"])  # not special, like Qwen's
    return made


def llama3() -> Any:
    names = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    return bpe(names, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")


def harmony() -> Any:
    names = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|endoftext|>")
    return bpe(names, eos_token="<|return|>", pad_token="<|endoftext|>")


def exaone() -> Any:
    names = ("[PAD]", "[BOS]", "[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]")
    return bpe(names, bos_token="[BOS]", eos_token="[|endofturn|]", pad_token="[PAD]")


def granite() -> Any:
    names = ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>")
    return bpe(names, bos_token="<|end_of_text|>", eos_token="<|end_of_text|>")


def end_of_text() -> Any:
    """Like GPT-2's: one special token for everything."""
    end = "<|endoftext|>"
    return bpe((end,), bos_token=end, eos_token=end, pad_token=end)


def gemma() -> Any:
    names = ("<start_of_turn>", "<end_of_turn>")
    return sentencepiece(names, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def llama2() -> Any:
    return sentencepiece(bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def phi3() -> Any:
    names = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>")
    return sentencepiece(names, bos_token="<s>", eos_token="<|endoftext|>", unk_token="<unk>")


def mbart25() -> Any:
    return translator("MBartTokenizer", "unigram", "en_XX")


def mbart50() -> Any:
    return translator("MBart50Tokenizer", "unigram", "en_XX")


def nllb() -> Any:
    tokenizer = translator("NllbTokenizer", "bpe", "eng_Latn")
    tokenizer.add_special_tokens({"additional_special_tokens": ["eng_Latn", "kor_Hang"]})
    tokenizer.src_lang = "eng_Latn"  # its id is known only now
    return tokenizer


def byt5() -> Any:
    from transformers import ByT5Tokenizer

    return ByT5Tokenizer()


DATE = {"date_string": "26 Jul 2024"}
LLAMA = CAUSAL["llama"][1]
ROOMY = {"max_position_embeddings": 512}
UNDROPPED = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
CAUSAL_KINDS: Mapping[str, Kind] = {
    "llama-3.2": Kind("LlamaConfig", LLAMA, llama3, LLAMA3, variables=DATE),
    "llama-2": Kind("LlamaConfig", LLAMA, llama2, LLAMA2),
    "mistral": Kind("MistralConfig", {**SIZES, "sliding_window": 24}, llama2, MISTRAL),
    "zephyr": Kind("MistralConfig", {**SIZES, "sliding_window": None}, llama2, ZEPHYR),
    "qwen2": Kind("Qwen2Config", SIZES, chatml, QWEN2),
    "qwen3": Kind("Qwen3Config", {**SIZES, "head_dim": 16}, chatml, QWEN3),
    "qwen3-not-thinking": Kind(
        "Qwen3Config",
        {**SIZES, "head_dim": 16},
        chatml,
        QWEN3,
        ("backend.enable_thinking=false",),
        {"enable_thinking": False},
    ),
    "gemma2": Kind(*CAUSAL["gemma2"], gemma, GEMMA_TURNS),
    "gemma3": Kind("Gemma3TextConfig", GEMMA, gemma, GEMMA_TURNS),
    "phi3": Kind("Phi3Config", {**SIZES, "sliding_window": None}, phi3, PHI3),
    "gpt-oss": Kind(*CAUSAL["gptoss"], harmony, HARMONY),
    "exaone4": Kind(
        "Exaone4Config",
        {**SIZES, "sliding_window": 16, "sliding_window_pattern": 2},
        exaone,
        EXAONE,
    ),
    "granite": Kind("GraniteConfig", SIZES, granite, GRANITE),
    "olmo2": Kind("Olmo2Config", SIZES, chatml, CHATML),
    "mixtral": Kind(*CAUSAL["mixtral"], chatml, CHATML),
    "falcon": Kind(*CAUSAL["falcon"], end_of_text, FALCON),
    "gpt2": Kind("GPT2Config", {**OLD_SIZES, **UNDROPPED, "n_positions": 512}, end_of_text),
    "gpt-neox": Kind("GPTNeoXConfig", {**SIZES, **ROOMY}, end_of_text),
    "opt": Kind("OPTConfig", {**CAUSAL["opt"][1], **ROOMY, "dropout": 0.0}, llama2),
    "bloom": Kind(*CAUSAL["bloom"], end_of_text),
    "mpt": Kind(*CAUSAL["mpt"], end_of_text),
}
STILL = {"dropout_rate": 0.0}
BART = {**BART_SIZES, "max_position_embeddings": 1024, "dropout": 0.0}
LAYERS_KEPT = {"encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0}
UNDROPPED_NLLB = {"dropout": 0.0, "attention_dropout": 0.0, **LAYERS_KEPT}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}


def seq2seq(family: str, tokenizer: Callable[[], Any], **changed: Any) -> Kind:
    name, sizes = SEQ2SEQ[family]
    return Kind(name, {**sizes, **changed}, tokenizer)


def plain_bart_tokenizer() -> Any:
    return bart_tokenizer(writes_specials=False)


SEQ2SEQ_KINDS: Mapping[str, Kind] = {
    "t5": Kind("T5Config", {**T5_SIZES, **STILL}, t5_tokenizer),
    "t5-v1.1": Kind("T5Config", {**T5_SIZES, **STILL, **GATED}, t5_tokenizer),
    "byt5": Kind("T5Config", {**T5_SIZES, **STILL, **GATED}, byt5),
    "mt5": seq2seq("mt5", t5_tokenizer, **STILL),
    "umt5": Kind("UMT5Config", {**T5_SIZES, **STILL}, t5_tokenizer),
    "longt5": seq2seq("longt5", t5_tokenizer, **STILL),
    "switch": seq2seq("switch", t5_tokenizer, **STILL),
    "bart": Kind("BartConfig", {**BART, "decoder_start_token_id": 2}, bart_tokenizer),
    "kobart": Kind("BartConfig", {**BART, "decoder_start_token_id": 2}, plain_bart_tokenizer),
    "mbart": seq2seq("mbart", mbart50, dropout=0.0, decoder_start_token_id=2),
    "mbart-25": replace(seq2seq("mbart", mbart25, dropout=0.0), first="en_XX"),
    "nllb": seq2seq("m2m100", nllb, **UNDROPPED_NLLB, decoder_start_token_id=2),
    "pegasus": seq2seq("pegasus", t5_tokenizer, dropout=0.0),
    "led": seq2seq("led", bart_tokenizer, dropout=0.0, decoder_start_token_id=2),
    "t5gemma": seq2seq("t5gemma", t5_tokenizer, dropout_rate=0.0),
    "t5gemma2": seq2seq("t5gemma2", t5_tokenizer, dropout_rate=0.0, decoder_start_token_id=2),
    "fsmt": seq2seq("fsmt", bart_tokenizer, dropout=0.0, decoder_start_token_id=2),
}
