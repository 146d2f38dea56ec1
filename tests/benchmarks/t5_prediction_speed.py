"""Speed of predicting with a T5 of flan-t5-small's shape: aqa, generate, CTranslate2 and a loop.

All arms get the same token ids of real questions (alternately SQuAD and KorQuAD) and answer
greedily with the maximum number of tokens, since weights are random. Loading is not timed; each arm
has answered a few questions before.

long      evidence of up to 384 tokens, answers of 8: aqa, `generate` in float32 in file order and
          batches of eight, CTranslate2 in int8 in batches sorted by length
short     bare questions, answers of 64: aqa (which uses CTranslate2 for these), CTranslate2
fid       ten passages per question, answers of 8: aqa, a loop over questions in float32

Run: python tests/benchmarks/t5_prediction_speed.py [--questions 64] [--rounds 2]
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from arms import Costs, Parser, interleave, print_table, print_verdict, ratio, typical
from t5_shape import make_model, make_prompts, make_reader, questions
from transformers import AutoModelForSeq2SeqLM

from aqa.backends.local.batches import pad_right
from aqa.backends.t5.backend import T5Backend
from aqa.library_output import quiet
from aqa.records import Example, Passage, Prompt

LONGEST = 384
BATCH = 8
PASSAGES = 10

Ids = list[list[int]]
Arm = Callable[[], object]


def by_generate(model: Any, rows: Ids, new_tokens: int) -> Arm:
    """transformers' generate in file order, right-padded batches of eight."""

    def work() -> None:
        with torch.inference_mode():
            for start in range(0, len(rows), BATCH):
                ids, mask = pad_right(rows[start : start + BATCH])
                model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=new_tokens,
                    min_new_tokens=new_tokens,
                    do_sample=False,
                )

    return work


def by_ctranslate2(folder: Path, reader: T5Backend, rows: Ids, new_tokens: int) -> Arm:
    """CTranslate2 in int8, which sorts by length and makes batches itself."""
    import ctranslate2

    target = folder.with_name("by-hand-int8")
    if not target.is_dir():
        ctranslate2.converters.TransformersConverter(str(folder)).convert(
            str(target), quantization="int8"
        )
    translator = ctranslate2.Translator(
        str(target), intra_threads=torch.get_num_threads(), inter_threads=1
    )
    tokens = [reader._tokenizer.convert_ids_to_tokens(row) for row in rows]

    def work() -> None:
        translator.translate_batch(
            tokens,
            beam_size=1,
            max_batch_size=4096,
            batch_type="tokens",
            max_decoding_length=new_tokens,
            min_decoding_length=new_tokens,
        )

    return work


def by_aqa(reader: T5Backend, prompts: list[Prompt]) -> Arm:
    """The reader as `aqa predict` calls it."""

    def work() -> None:
        answers = [p for _, p in reader.generate(prompts)]
        assert len(answers) == len(prompts)

    return work


def by_loop(model: Any, questions: list[Ids], new_tokens: int) -> Arm:
    """One question at a time, as in FiD's script: encode its passages and concatenate them."""
    from transformers.modeling_outputs import BaseModelOutput

    def work() -> None:
        with torch.inference_mode():
            for passages in questions:
                ids, mask = pad_right(passages)
                states = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
                model.generate(
                    encoder_outputs=BaseModelOutput(last_hidden_state=states.flatten(0, 1)[None]),
                    attention_mask=mask.flatten()[None],
                    max_new_tokens=new_tokens,
                    min_new_tokens=new_tokens,
                    do_sample=False,
                )

    return work


def ids_of(reader: T5Backend, prompts: list[Prompt]) -> Ids:
    """The ids that aqa's model gets."""
    return [list(reader.encode(prompt).prompt_ids) for prompt in prompts]


def parts_of(reader: T5Backend, prompt: Prompt) -> Ids:
    """The ids that aqa's model gets, passage by passage."""
    encoding = reader.encode(prompt)
    ids = iter(encoding.prompt_ids)
    return [list(islice(ids, length)) for length in encoding.part_lengths]


def show(title: str, costs: Costs) -> None:
    """Print one table."""
    print(title)
    rows = [["arm", "seconds", "times aqa's"]]
    for name, found in costs.items():
        rows.append([name, f"{typical(found).wall:.2f}", f"{ratio(costs, name, 'aqa'):.2f}"])
    print_table(rows)


def main() -> None:
    """Print tables and verdicts."""
    parser = Parser(__doc__, questions=(64, 4), rounds=(2, 1), threads=(None, None))
    arguments = parser.parse_args()
    print(f"{arguments.questions} questions, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as name:
        examples = questions(arguments.questions)
        folder = make_model(Path(name, "shape"), examples)
        _long(folder, examples, arguments.rounds)
        _short(folder, examples, arguments.rounds)
        _fid(folder, examples[: max(1, arguments.questions // 4)], arguments.rounds)


def _reader(folder: Path, new_tokens: int, **backend: object) -> T5Backend:
    generation: dict[str, object] = {"max_new_tokens": new_tokens}
    settings: dict[str, object] = {"max_seq_length": LONGEST, **backend}
    return make_reader(folder, backend=settings, generation=generation)


def _plain(folder: Path) -> Any:
    """The model as returned by from_pretrained: in float32, as it was saved."""
    with quiet():
        return AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


def _long(folder: Path, examples: list[Example], rounds: int) -> None:
    with _reader(folder, 8, engine="auto") as reader:
        prompts = make_prompts(reader, examples, with_target=False)
        rows = ids_of(reader, prompts)
        arms = {
            "aqa": by_aqa(reader, prompts),
            "generate": by_generate(_plain(folder), rows, 8),
            "ctranslate2": by_ctranslate2(folder, reader, rows, 8),
        }
        by_aqa(reader, prompts[:BATCH])()
        costs = interleave(arms, rounds)
    lengths = sorted(map(len, rows))
    show(f"long evidence, {lengths[0]} to {lengths[-1]} tokens, 8 new ones", costs)
    print_verdict("generate / aqa, seconds", ratio(costs, "generate", "aqa"), 3.0)
    print_verdict("ctranslate2 / aqa, seconds", ratio(costs, "ctranslate2", "aqa"), 1.5)


def _short(folder: Path, examples: list[Example], rounds: int) -> None:
    bare = [replace(example, passages=()) for example in examples]
    with _reader(folder, 64, engine="auto") as reader:
        prompts = make_prompts(reader, bare, with_target=False)
        rows = ids_of(reader, prompts)
        arms = {
            "aqa": by_aqa(reader, prompts),
            "ctranslate2": by_ctranslate2(folder, reader, rows, 64),
        }
        by_aqa(reader, prompts[:BATCH])()
        costs = interleave(arms, rounds)
    show("bare questions, 64 new tokens", costs)
    print_verdict("ctranslate2 / aqa, seconds", ratio(costs, "ctranslate2", "aqa"), 0.9)


def _fid(folder: Path, examples: list[Example], rounds: int) -> None:
    texts = [example.passages[0].text for example in examples]
    filled = [
        replace(
            example,
            passages=tuple(
                Passage(texts[(number + offset) % len(texts)], rank=offset + 1)
                for offset in range(PASSAGES)
            ),
        )
        for number, example in enumerate(examples)
    ]
    with _reader(folder, 8, fusion="fid") as reader:
        prompts = make_prompts(reader, filled, with_target=False)
        parts = [parts_of(reader, prompt) for prompt in prompts]
        by_aqa(reader, prompts[:2])()
        arms = {"aqa": by_aqa(reader, prompts), "loop": by_loop(_plain(folder), parts, 8)}
        costs = interleave(arms, rounds)
    show(f"fid, {len(prompts)} questions of {PASSAGES} passages, 8 new tokens", costs)
    print_verdict("loop / aqa, seconds", ratio(costs, "loop", "aqa"), 2.0)


if __name__ == "__main__":
    main()
