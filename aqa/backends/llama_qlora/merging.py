"""Merge a trained adapter into its base model, and compare the answers of both."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from warnings import catch_warnings

from aqa.backends.base import Merged
from aqa.backends.llama_qlora.models import never_quantized
from aqa.backends.local.loading import load_config, own_quantization
from aqa.backends.local.reader import LocalReader
from aqa.backends.model_errors import is_out_of_memory, message_of
from aqa.config.backend_options import BackendOptions
from aqa.config.load import as_raw
from aqa.config.options import RunConfig
from aqa.errors import ModelError
from aqa.library_output import quiet
from aqa.records import Prompt
from aqa.runs.files import atomic_folder
from aqa.runs.folder import write_inherited
from aqa.runs.names import MERGED

CONFIG = "config.json"  # transformers' own name


def merge_adapter(
    open_reader: Callable[[RunConfig], LocalReader],
    config: RunConfig,
    run_folder: Path,
    prompts: Sequence[Prompt],
) -> Merged:
    """Write the merged model to `run_folder/merged`, and compare greedy answers to `prompts`.

    `open_reader` must dequantise a 4-bit base: the adapter was trained over those weights, not the
    original ones. The manifest in the folder makes `aqa predict` load the weights as they are. They
    are rounded to the compute dtype once more than with an adapter, so a few answers may differ.
    """
    options = config.backend
    adapted = _greedy(config, options.model_copy(update={"model": str(run_folder)}))
    folder = run_folder / MERGED
    merged = merged_config(config, folder)
    settled = config.model_copy(update={"backend": merged.backend})
    template_sha256 = prompts[0].template.sha256 if prompts else ""
    with open_reader(adapted) as reader:
        before = {prompt.id: answer.raw for prompt, answer in reader.generate(prompts)}
        with atomic_folder(folder) as draft:
            _write(reader, draft)
            write_inherited(draft, as_raw(settled), template_sha256)
    with open_reader(merged) as reader:
        anew = map(replace, prompts)  # without token ids: it has its own tokenizer
        after = {prompt.id: answer.raw for prompt, answer in reader.generate(anew)}
    different = sum(before[key] != after[key] for key in before)
    return Merged(folder, len(before), different)


def merged_config(config: RunConfig, folder: Path) -> RunConfig:
    """Return the config of the merged model in a folder, for greedy answers."""
    changes = {"model": str(folder), "quantization": "none"}
    return _greedy(config, config.backend.model_copy(update=changes))


def _greedy(config: RunConfig, backend: BackendOptions) -> RunConfig:
    changes = {"temperature": 0.0, "num_beams": 1, "num_return_sequences": 1}
    greedy = config.generation.model_copy(update=changes)
    return config.model_copy(update={"backend": backend, "generation": greedy})


def _write(reader: LocalReader, folder: Path) -> None:
    """Merge the adapter in place and save the whole.

    Raises:
        ModelError: peft can't merge adapters of this kind, or transformers can't save the result.
    """
    try:
        with quiet():
            _untie(reader.model)
            model = reader.model.merge_and_unload(safe_merge=True)
        write_model(reader, model, folder)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"{reader.files.adapter}: this adapter can't be merged into its base"
            f" ({message_of(error)}); use the two as they are"
        ) from error


def _untie(model: Any) -> None:
    """Give the output layer its own weights if an adapter changes only it, or the embedding.

    If both share their weights, peft would change them for both.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch.nn import Parameter

    base = model.get_base_model()
    layers = (base.get_input_embeddings(), base.get_output_embeddings())
    adapted = [isinstance(layer, BaseTunerLayer) for layer in layers]
    embedding, output = (
        layer.get_base_layer() if changes else layer
        for layer, changes in zip(layers, adapted, strict=True)
    )
    if any(adapted) and output.weight is embedding.weight:
        output.weight = Parameter(output.weight.detach().clone(), requires_grad=False)
        for config in (base.config, base.config.get_text_config()):
            config.tie_word_embeddings = False


def write_model(reader: LocalReader, model: Any, folder: Path) -> None:
    """Save the loaded model and its tokenizer."""
    with quiet():
        if own_quantization(load_config(reader.files, reader.options)):
            model = never_quantized(model)
        model.save_pretrained(folder)
        reader.save_tokenizer(folder)
    path = folder / CONFIG
    saved = json.loads(path.read_bytes())
    completed = {**rope_keys(saved, type(model.config)), **saved}
    path.write_text(json.dumps(completed, indent=2) + "\n", encoding="utf-8")


def rope_keys(config: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """Return what `rope_parameters` holds under the keys used before transformers 5.

    Programs of that time, such as llama.cpp's converter, look for the rotary base only there, and
    silently assume 10,000. Models with sliding windows have a second base. The scaling is left out
    if this `kind` of config (Laguna's) would now apply it to all layers.
    """
    rope = config.get("rope_parameters") or {}
    main = rope.get("full_attention", rope)
    keys = {"rope_theta": main["rope_theta"]} if "rope_theta" in main else {}
    if main.get("rope_type", "default") != "default":
        keys["rope_scaling"] = {**main, "type": main["rope_type"]}
    if theta := rope.get("sliding_attention", {}).get("rope_theta"):
        keys["rope_local_base_freq"] = theta
    if main is not rope and "rope_scaling" in keys:
        with catch_warnings(action="ignore"):  # about the old key
            reread = kind.from_dict({**keys, **config}).rope_parameters
        if "full_attention" not in reread:
            del keys["rope_scaling"]
    return keys
