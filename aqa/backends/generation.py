"""Generate answers for one batch of token ids, doing no work for rows that have ended."""

from collections.abc import Sequence
from typing import Any

from aqa.backends.shared_prefixes import can_share, group_by_prefix, pad_left, read_prefixes
from aqa.config import GenerationOptions

FIRST_ROUND = 8  # tokens; most answers to questions end within them


def write_answers(
    model: Any, rows: Sequence[Sequence[int]], end_ids: list[int], options: GenerationOptions
) -> list[list[int]]:
    """Give each row's new tokens, up to its end token or `max_new_tokens`.

    Rounds of 8, 16, 32, ... tokens: after each, rows that have ended leave the batch, so that one
    long answer does not keep the others' rows at work.
    """
    import torch

    answers: list[list[int]] = [[] for _ in rows]
    open_rows = list(range(len(rows)))
    with torch.inference_mode():
        ids, mask, cache = _begin(model, rows, end_ids[0])
        keeps_cache = can_share(model)
        round_tokens = FIRST_ROUND if keeps_cache else options.max_new_tokens
        left = options.max_new_tokens
        while open_rows:
            output = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                past_key_values=cache,
                max_new_tokens=min(round_tokens, left),
                eos_token_id=end_ids,
                pad_token_id=end_ids[0],
                return_dict_in_generate=True,
                **_sampling(options),
            )
            new = output.sequences[:, ids.shape[1] :].tolist()
            left -= len(new[0])
            going_on = []
            for place, (row, tokens) in enumerate(zip(open_rows, new, strict=True)):
                ends = [n for n, token in enumerate(tokens) if token in end_ids]
                answers[row] += tokens[: ends[0]] if ends else tokens
                if not ends and left > 0:
                    going_on.append(place)
            open_rows = [open_rows[place] for place in going_on]
            if open_rows:
                kept = torch.tensor(going_on)
                mask = torch.nn.functional.pad(mask[kept], (0, len(new[0])), value=1)
                ids, cache = output.sequences[kept], output.past_key_values
                cache.batch_select_indices(kept.to(model.device))
                round_tokens *= 2
    return answers


def _begin(model: Any, rows: Sequence[Sequence[int]], filling: int) -> tuple[Any, Any, Any]:
    """Ids, mask and, where rows begin alike, the keys and values of their beginnings."""
    groups = group_by_prefix(rows)
    if len(groups) < len(rows) and can_share(model):
        return read_prefixes(model, rows, groups, filling)
    return *pad_left(rows, filling), None


def _sampling(options: GenerationOptions) -> dict[str, Any]:
    """Greedy at temperature 0."""
    if not options.temperature:
        return {"do_sample": False}
    return {
        "do_sample": True,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": 0,
    }
