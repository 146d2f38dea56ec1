"""Translate the predecessor's configs: its flat keys, and the sections of its T5 reader."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aqa.errors import ConfigError

# Flat keys and where each one lives now; they work in files and in --set.
FLAT_KEYS = {
    "model_name": "backend.model",
    "data_path": "data.path",
    "prompt_path": "prompt",
    "output_dir": "output_dir",
    "bnb_4bit_quant_type": "backend.bnb_4bit_quant_type",
    "num_train_epochs": "training.num_train_epochs",
    "bert_model": "evaluation.bert_model",
}
# Arguments of transformers with the same names as our training options.
OF_TRAINING = (
    "num_train_epochs", "max_steps", "learning_rate", "lr_scheduler_type", "warmup_steps",
    "weight_decay", "max_grad_norm", "per_device_train_batch_size", "gradient_accumulation_steps",
    "gradient_checkpointing", "optim", "label_smoothing_factor", "logging_steps", "eval_strategy",
    "eval_steps", "save_total_limit", "report_to", "group_by_length",
)  # fmt: skip
# The T5 reader's sections, with the names of transformers' arguments.
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "model_args": {
        "model_name_or_path": "backend.model",
        "model_revision": "backend.revision",
        "trust_remote_code": "backend.trust_remote_code",
    },
    "data_args": {
        "dataset_name": "data.path",
        "train_file": "data.path",
        "validation_file": "data.dev_path",
        "max_train_samples": "data.limit",
        "max_eval_samples": "data.dev_limit",
        "max_seq_length": "backend.max_seq_length",
        "max_source_length": "backend.max_seq_length",
        "max_answer_length": "generation.max_new_tokens",
        "max_target_length": "generation.max_new_tokens",
        "val_max_answer_length": "generation.max_new_tokens",
        "num_beams": "generation.num_beams",
        "top_k_retrieval": "evidence.top_k",
    },
    "training_args": {
        **{name: f"training.{name}" for name in OF_TRAINING},
        "evaluation_strategy": "training.eval_strategy",
        "generation_max_length": "generation.max_new_tokens",
        "generation_num_beams": "generation.num_beams",
        "output_dir": "output_dir",
        "seed": "seed",
    },
}
# What aqa always or never does: these values change nothing, others are refused.
SETTLED: Mapping[str, tuple[Sequence[object], str]] = {
    "use_fast_tokenizer": ((True,), "tokenizers are always fast ones"),
    "config_name": ((None,), "the configuration comes with the model"),
    "tokenizer_name": ((None,), "the tokenizer comes with the model"),
    "overwrite_cache": ((True, False), ""),
    "preprocessing_num_workers": (range(129), ""),
    "dataloader_num_workers": (range(129), ""),
    "per_device_eval_batch_size": (range(1, 4097), ""),  # we batch by tokens
    "pad_to_max_length": ((False,), "rows are padded to the longest in their batch"),
    "ignore_pad_token_for_loss": ((True,), "padding is never trained on"),
    "doc_stride": ((None,), "a context is not read in windows; evidence options say what is cut"),
    "do_train": ((True, False), ""),  # decided by the verb
    "do_eval": ((True, False), ""),
    "do_predict": ((True, False), ""),
    "overwrite_output_dir": ((False,), "only --fresh overwrites a run folder"),
    "predict_with_generate": ((True,), "evaluation generates answers"),
    "load_best_model_at_end": ((True,), "the best checkpoint is kept"),
    "metric_for_best_model": ((), "use training.metric_for_best_model: f1, em or loss"),
    "save_strategy": (("epoch", "steps"), "checkpoints are written at evaluations"),
    "save_steps": (range(10**6), ""),
    "logging_strategy": (("steps",), "losses are reported every logging_steps"),
    "warmup_ratio": ((0,), "give warmup_steps, a number of steps"),
    "adafactor": ((False,), "write optim: adafactor"),
    "fp16": (
        (False,),
        "T5 overflows in float16: leave it out, and bfloat16 is used where possible",
    ),
    "bf16": ((True, False), ""),  # decided by the hardware
}
WORDS = {"yes": True, "on": True, "no": False, "off": False}  # YAML's other spellings
BEST_METRICS = {"exact_match": "em", "em": "em", "f1": "f1", "eval_f1": "f1", "loss": "loss"}


def translate(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield a config's values under our dotted keys; any key may be the predecessor's.

    Raises:
        ConfigError: a key in its sections has no meaning here; the message names the nearest.
    """
    for key, value in raw.items():
        if key not in SECTIONS:
            yield FLAT_KEYS.get(str(key), str(key)), value
        elif not isinstance(value, Mapping):
            raise ConfigError(f"{key} is a section of keys, not a {type(value).__name__}")
        else:
            yield from _translate_section(key, value)


def _translate_section(section: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if value is None and (key in SECTIONS[section] or key in SETTLED):
            continue  # transformers' notation for the default
        if key in SECTIONS[section]:
            yield SECTIONS[section][key], value
        elif key == "metric_for_best_model" and value in BEST_METRICS:
            yield "training.metric_for_best_model", BEST_METRICS[value]
        elif key in SETTLED:
            allowed, reason = SETTLED[key]
            if WORDS.get(str(value).lower(), value) not in allowed:
                raise ConfigError(f"{section}.{key} = {value!r} is not supported: {reason}")
        else:
            near = difflib.get_close_matches(str(key), [*SECTIONS[section], *SETTLED], n=1)
            hint = f"did you mean {near[0]}?" if near else "leave it out"
            raise ConfigError(f"unknown config key {section}.{key}; {hint}")
