"""Generate answers for one batch of token ids, doing no work for rows that have ended."""

from collections.abc import Callable, Sequence
from typing import Any

from aqa.backends.llama_qlora.prefixes import (
    Group,
    can_share,
    group_by_prefix,
    pad_left,
    read_prefixes,
    takes_padding,
)
from aqa.backends.local.decoding import ChosenTokens, Written, decoding, until_end
from aqa.config.options import GenerationOptions

FIRST_ROUND = 8  # tokens; most answers to questions end within them
Rows = Sequence[Sequence[int]]
Groups = Sequence[Group]
Cut = Callable[[Sequence[int]], int | None]  # where an answer ends by its text, if it does


def write_answers(
    model: Any,
    rows: Rows,
    groups: Groups,
    end_ids: list[int],
    options: GenerationOptions,
    cut: Cut | None = None,
) -> list[list[Written]]:
    """Give each row's answers, of `max_new_tokens` at most; one, unless several are asked for.

    `groups` are the rows that begin alike. `cut` finds where an answer ends that ends by text.
    """
    if not takes_padding(model) and len({len(row) for row in rows}) > 1:
        return _write_by_length(model, rows, end_ids, options, cut)
    each = options.num_return_sequences
    if options.num_beams > 1:
        found = _write_beams(model, rows, end_ids, options, cut)
    else:
        repeated = [row for row in rows for _ in range(each)]
        alike = [
            Group(g.length, tuple(each * row + n for row in g.members for n in range(each)))
            for g in groups
        ]
        found = _write_in_rounds(model, repeated, alike, end_ids, options, cut)
    return [found[place : place + each] for place in range(0, len(found), each)]


def _write_by_length(
    model: Any, rows: Rows, end_ids: list[int], options: GenerationOptions, cut: Cut | None
) -> list[list[Written]]:
    """The same for a model that no padding can be hidden from: rows of one length at a time."""
    found: dict[int, list[Written]] = {}
    for length in sorted({len(row) for row in rows}, reverse=True):
        places = [place for place, row in enumerate(rows) if len(row) == length]
        alike = [rows[place] for place in places]
        answers = write_answers(model, alike, group_by_prefix(alike), end_ids, options, cut)
        found |= zip(places, answers, strict=True)
    return [found[place] for place in range(len(rows))]


def _write_in_rounds(  # long: one loop, all of whose state goes from round to round
    model: Any,
    rows: Rows,
    groups: Groups,
    end_ids: list[int],
    options: GenerationOptions,
    cut: Cut | None,
) -> list[Written]:
    """Rounds of 8, 16, 32, ... tokens: after each, rows that have ended leave the batch.

    So one long answer does not keep the others' rows at work.
    """
    import torch

    tokens: list[list[int]] = [[] for _ in rows]
    probabilities: list[list[float]] = [[] for _ in rows]
    open_rows = list(range(len(rows)))
    words = {**decoding(options), "num_return_sequences": 1}
    with torch.inference_mode():
        ids, mask, cache = _begin(model, rows, groups, end_ids[0])
        round_tokens = FIRST_ROUND if can_share(model) else options.max_new_tokens
        left = options.max_new_tokens
        words |= _stopping(cut, ids.shape[1])
        while open_rows:
            chosen = ChosenTokens()
            output = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                past_key_values=cache,
                eos_token_id=end_ids,
                pad_token_id=end_ids[0],
                return_dict_in_generate=True,
                logits_processor=[chosen],
                **{**words, "max_new_tokens": min(round_tokens, left)},
            )
            new = output.sequences[:, ids.shape[1] :].tolist()
            found = chosen.log_probabilities(output.sequences)
            left -= len(new[0])
            going_on = []
            for place, row in enumerate(open_rows):
                tokens[row] += new[place]
                probabilities[row] += found[place]
                if left > 0 and not _has_ended(tokens[row], end_ids, cut):
                    going_on.append(place)
            open_rows = [open_rows[place] for place in going_on]
            if open_rows:
                kept = torch.tensor(going_on)
                mask = torch.nn.functional.pad(mask[kept], (0, len(new[0])), value=1)
                ids, cache = output.sequences[kept], output.past_key_values
                cache.batch_select_indices(kept.to(model.device))
                round_tokens *= 2
    pairs = zip(tokens, probabilities, strict=True)
    return [_until_cut(*pair, end_ids, cut) for pair in pairs]


def _has_ended(tokens: Sequence[int], end_ids: list[int], cut: Cut | None) -> bool:
    by_text = cut is not None and cut(tokens) is not None
    return by_text or not set(end_ids).isdisjoint(tokens)


def _until_cut(
    tokens: Sequence[int], probabilities: Sequence[float], end_ids: list[int], cut: Cut | None
) -> Written:
    """What was written up to its end, be that a token or a text."""
    counted = None if cut is None else cut(tokens)
    return until_end(tokens[:counted], probabilities[:counted], end_ids)


def _stopping(cut: Cut | None, prompt_length: int) -> dict[str, Any]:
    """Let `generate` stop a row where its text ends the answer."""
    if cut is None:
        return {}
    import torch

    def ended(input_ids: Any, scores: Any, **_: Any) -> Any:
        rows = input_ids[:, prompt_length:].tolist()
        return torch.tensor([cut(row) is not None for row in rows], device=input_ids.device)

    return {"stopping_criteria": [ended]}


def _begin(model: Any, rows: Rows, groups: Groups, filling: int) -> tuple[Any, Any, Any]:
    """Ids, mask and, where rows begin alike, the keys and values of their beginnings."""
    if len(groups) < len(rows) and can_share(model):
        return read_prefixes(model, rows, groups, filling)
    return *pad_left(rows, filling), None


def _write_beams(
    model: Any, rows: Rows, end_ids: list[int], options: GenerationOptions, cut: Cut | None
) -> list[Written]:
    """All tokens in one round; the answers are read once more for their log-probabilities."""
    import torch

    with torch.inference_mode():
        ids, mask = pad_left(rows, end_ids[0])
        sequences = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            eos_token_id=end_ids,
            pad_token_id=end_ids[0],
            **{**decoding(options), **_stopping(cut, ids.shape[1])},
        )
        new = sequences[:, ids.shape[1] :]
        each = options.num_return_sequences
        written: list[Written] = []
        for place, tokens in enumerate(new.split(each)):  # a row at a time: logits are large
            prompt = mask[place : place + 1].expand(each, -1).to(model.device)
            whole = torch.cat([prompt, torch.ones_like(tokens)], dim=1)
            logits = model(
                input_ids=sequences[place * each : (place + 1) * each],
                attention_mask=whole,
                position_ids=(whole.cumsum(-1) - 1).clamp(min=0),
                logits_to_keep=tokens.shape[1] + 1,
                use_cache=False,
            ).logits[:, :-1]
            logits = logits.float()
            found = logits.gather(-1, tokens[..., None]) - logits.logsumexp(-1, keepdim=True)
            pairs = zip(tokens.tolist(), found.squeeze(-1).tolist(), strict=True)
            written += [_until_cut(*pair, end_ids, cut) for pair in pairs]
    return written
