"""The engine CTranslate2 for T5 models: converted once, then faster at long answers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aqa.backends.local.decoding import GeneratedAnswer
from aqa.backends.local.devices import local_device
from aqa.backends.local.generation_config import set_decoder_start, take_over_generation
from aqa.backends.local.loading import load_config, load_whole
from aqa.backends.model_files import ModelFiles, cached_model, write_once
from aqa.config.backend_options import T5Options
from aqa.config.options import GenerationOptions
from aqa.errors import ConfigError, MissingExtraError, ModelError
from aqa.library_output import quiet
from aqa.progress import Progress

MODEL_TYPES = ("t5", "mt5")
SOURCE = "source.json"  # what a converted model was made from
CONVERSION = 3  # version of the conversion; older conversions are redone

# Measured with T5-small on two CPU cores. With AMX, transformers in bfloat16 takes half as long as
# CTranslate2 in int8 for 16 prompts of 384 tokens with answers of 8, and three times as long for 8
# prompts of 64 with answers of 32. Without AMX CTranslate2 is at least 1.8x as fast in both cases.
READ_PER_WRITTEN = 16

# CTranslate2 ends a beam search after beam_size * patience finished answers, good or bad. At its
# default of 1, 22 of 500 short answers were worse than those of transformers, which continues while
# a better one is possible; at 2 all 500 were equal.
PATIENCE = 2

# Each thread translates its own batches, small enough for its cache. T5-small in int8 on two cores,
# 64 prompts of 67 to 334 tokens and answers of 8: 1.4 s at 1,024 to 2,048 tokens; two threads that
# share a batch take 2.0 s at 4,096 and 2.8 s at 1,024.
WORKER_TOKENS = 1536


def choose_engine(options: T5Options, generation: GenerationOptions, model_type: str) -> str:
    """Return the engine asked for, or the one that is probably faster here.

    Raises:
        ConfigError: CTranslate2 is asked for something it cannot do.
        MissingExtraError: it is not installed.
    """
    if options.engine == "transformers":
        return "transformers"
    obstacle = _obstacle(options, generation, model_type)
    installed = find_spec("ctranslate2") is not None
    if options.engine == "ctranslate2":
        if obstacle:
            raise ConfigError(
                f"backend.engine = ctranslate2 does not work with {obstacle}; choose transformers"
            )
        if not installed:
            raise MissingExtraError("ctranslate2", "fast")
        return "ctranslate2"
    import torch

    able = installed and not obstacle and local_device() == "cpu"
    long_answers = generation.max_new_tokens * READ_PER_WRITTEN > options.max_seq_length
    fast_products = torch.cpu.get_capabilities().get("amx_bf16", False)
    return "ctranslate2" if able and (long_answers or not fast_products) else "transformers"


def _obstacle(options: T5Options, generation: GenerationOptions, model_type: str) -> str:
    if options.fusion == "fid":
        return "backend.fusion = fid, whose decoder attends to passages encoded separately"
    if options.device_map:
        return "backend.device_map: its weights are on one device"
    if generation.temperature:
        return "generation.temperature: it writes greedily or with beams"
    return "" if model_type in MODEL_TYPES else f"models of the kind {model_type}"


class Ctranslate2Engine:
    """A converted model with its tokenizer."""

    def __init__(self, folder: Path, kind: str, tokenizer: Any) -> None:
        import ctranslate2
        import torch

        self._tokenizer = tokenizer
        self._workers = torch.get_num_threads()
        self._translator = ctranslate2.Translator(
            str(folder),
            device="cpu",
            compute_type=kind,
            inter_threads=self._workers,
            intra_threads=1,
        )
        torch.set_num_threads(self._workers)  # otherwise this thread would keep just one

    def write_answers(
        self, rows: Sequence[Sequence[int]], options: GenerationOptions, encoded_tokens: int
    ) -> Iterator[list[GeneratedAnswer]]:
        """Yield each row's answers as soon as its batch is done.

        At most `encoded_tokens` go through the encoder at once.
        """
        shared = sum(map(len, rows)) // self._workers
        tokens = min(encoded_tokens // self._workers, WORKER_TOKENS, shared)
        results = self._translator.translate_batch(
            [self._tokenizer.convert_ids_to_tokens(list(row)) for row in rows],
            beam_size=options.num_beams,
            patience=PATIENCE,
            max_batch_size=max(tokens // options.num_beams, 1),
            batch_type="tokens",
            num_hypotheses=options.num_return_sequences,
            length_penalty=options.length_penalty,
            max_input_length=0,  # by default, input is cut at 1,024 tokens
            min_decoding_length=0,
            max_decoding_length=options.max_new_tokens,
            return_scores=True,
            return_end_token=True,
            asynchronous=True,
        )
        for coming in results:
            result = coming.result()
            yield [
                self._written(*pair, options.length_penalty)
                for pair in zip(result.hypotheses, result.scores, strict=True)
            ]

    def _written(self, tokens: list[str], score: float, length_penalty: float) -> GeneratedAnswer:
        count = max(len(tokens), 1)
        ended = tokens[-1:] == [self._tokenizer.eos_token]
        ids = self._tokenizer.convert_tokens_to_ids(tokens[:-1] if ended else tokens)
        return GeneratedAnswer(ids, score * count**length_penalty, count)


def convert_model(
    files: ModelFiles, options: T5Options, weights: str | None, progress: Progress
) -> Path:
    """Convert a model once, while other processes wait. `weights` is the hash of a local model.

    The result is stored beside a local model's folder, or in the user's cache for a hub model.

    Raises:
        ModelError: CTranslate2 cannot convert it.
    """
    base = Path(files.base)
    if not base.is_dir():
        base = cached_model(files.base.replace("/", "--"))
    target = base.with_name(f"{base.name}-ctranslate2-{options.ctranslate2_type}")
    source = {"weights": weights, "revision": options.revision, "conversion": CONVERSION}
    if weights is None:  # a hub id does not identify its current version
        commit = getattr(load_config(files, options), "_commit_hash", None)
        source |= {"hub": files.base, "commit": commit}

    def write(draft: Path) -> None:
        title = f"Converting {files.spec} to CTranslate2 (once)"
        with progress.task(title, 1, "models") as task:
            _convert(files, options, source, draft)
            task.advance()

    return write_once(target, write, lambda folder: _source_of(folder) == source)


def _source_of(folder: Path) -> Any:
    try:
        return json.loads((folder / SOURCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _convert(
    files: ModelFiles, options: T5Options, source: Mapping[str, object], draft: Path
) -> None:
    with quiet():
        from ctranslate2.converters import TransformersConverter

    class Converter(TransformersConverter):  # type: ignore[misc]
        """Loads models like aqa, and knows which ones scale their decoder's outputs."""

        def load_model(self, model_class: Any, _: str, **settings: Any) -> Any:
            """Load the model and tell CTranslate2 how it starts and scales outputs.

            CTranslate2 goes by `tie_word_embeddings`, which transformers 5 sets to true for every
            T5. With wrong scaling (T5 1.1, flan-T5, mT5), the best token of a step stays the same,
            but all log-probabilities are wrong, and so are beams.
            """
            model = load_whole(model_class, files, use_safetensors=True, **settings)
            take_over_generation(model)
            set_decoder_start(model, files.spec)
            scaled = getattr(model.config, "scale_decoder_outputs", False)
            model.config.tie_word_embeddings = scaled
            return model

    converter = Converter(
        files.base, revision=options.revision, trust_remote_code=options.trust_remote_code
    )
    try:
        with quiet():
            converter.convert(str(draft), quantization=options.ctranslate2_type)
    except (AttributeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{files.spec}: CTranslate2 can't convert this model ({first}); choose"
            " backend.engine = transformers"
        ) from error
    path = draft / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if config["unk_token"] is None:  # CTranslate2 requires one, though the tokenizer needs none
        path.write_text(json.dumps({**config, "unk_token": config["eos_token"]}), encoding="utf-8")
    (draft / SOURCE).write_text(json.dumps(source), encoding="utf-8")
