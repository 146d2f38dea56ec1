"""Show the verbs' results on standard output: tables for people, JSON for programs."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from aqa.display.terminal import SafeConsole, rich_table, safe_json
from aqa.errors import RunError
from aqa.runs.journal_rows import evidence_fields
from aqa.tables import Column, Row, Table, figures, texts

if TYPE_CHECKING:
    from aqa.records import Prompt
    from aqa.spent import CostEstimate
    from aqa.verbs.cancel import CancelResult
    from aqa.verbs.detection_cost import DetectionCost
    from aqa.verbs.predict import PredictResult
    from aqa.verbs.preview import Preview
    from aqa.verbs.train import DryRun


LEFT_OUT = {
    "duplicate": "seen before",
    "top_k": "ranked too low",
    "budget": "over the budget",
    "reader": "too much for the reader",
}


def output() -> Console:
    """Return a console for standard output."""
    return SafeConsole(sys.stdout)


def say(text: str | Text, style: str | None = None) -> None:
    """Print a line; terminals wrap it if it is too long."""
    output().print(text, style=style, soft_wrap=True)


def draw(table: Table) -> None:
    """Print a table."""
    console = output()
    console.print(rich_table(table, console.width))


def print_json(value: object) -> None:
    """Print a value as JSON."""
    print(safe_json(value))  # noqa: T201  (data, not a message)


def show_dry_run(dry_run: "DryRun", as_json: bool) -> None:
    """Show a training's counts, lengths, cuts and needs; as JSON also its whole config."""
    facts = dry_run.to_json()
    if as_json:
        print_json(facts)
        return
    rows = {
        name.replace("_", " "): _pairs(value) if isinstance(value, dict) else f"{value:,}"
        for name, value in facts.items()
        if name != "config"
    }
    draw(_facts(rows))
    say("nothing was written; --json shows the whole config, too", "dim")


def show_cost(
    estimate: "CostEstimate", as_json: bool, detection: "DetectionCost | None" = None
) -> None:
    """Show what a prediction through an API would cost, and what it would show."""
    if as_json:
        print_json(asdict(estimate) | ({"to_see": detection.to_json()} if detection else {}))
        return
    low, high = estimate.output_tokens
    rows = {
        "model": estimate.model,
        "examples": f"{estimate.examples:,}"
        + (f", {estimate.samples} samples of each" if estimate.samples > 1 else "")
        + (f", {estimate.unfit} too long" if estimate.unfit else "")
        + (f", {estimate.cached:,} in the cache" if estimate.cached else "")
        + (f"; {estimate.answered:,} were answered before" if estimate.answered else ""),
        "input tokens": f"{estimate.input_tokens:,}" + ("" if estimate.exact else " (estimated)"),
        "output tokens": f"{low:,} to {high:,}",
    }
    if estimate.cost is not None:
        rows["price"] = "${:,.4f} to ${:,.4f}".format(*estimate.cost)
    rows["price" if estimate.cost is None else "prices"] = estimate.price
    if estimate.seconds is not None:
        rows["time at the limits"] = f"{estimate.seconds:,.0f} s"
    draw(_facts(rows))
    if detection is not None:
        say(str(detection))
    say("nothing was sent, nothing was written", "dim")


def _facts(values: Mapping[str, str]) -> Table:
    rows = [Row(pair) for pair in values.items()]
    return Table(texts("what", "value"), rows, plain=True, has_heads=False)


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def prediction_facts(result: "PredictResult") -> dict[str, object]:
    """Return counts, paths, savings and problems as plain values."""
    facts: dict[str, object] = {
        "predictions": str(result.predictions),
        "examples": result.examples,
        "answered": result.answered,
        "failed": result.failed,
        "resumed": result.resumed,
        "cached": result.cached,
    }
    if result.withheld:
        facts["withheld"] = result.withheld
    if result.cached:
        facts["saved"] = dict(result.saved)
    short = result.shortfall
    if short.cut:
        facts["cut"] = short.cut
    if short.reason:
        facts["commonest_failure"] = short.to_json()
    if result.decision is not None:
        facts["decision"] = result.decision.to_json()
    return facts


def _examples(number: int) -> str:
    return f"{number} example{'s' if number != 1 else ''}"


def show_predictions(result: "PredictResult", as_json: bool) -> None:
    """Show counts, where the answers are, and what to run next."""
    if as_json:
        print_json(prediction_facts(result))
        return
    say(
        f"{_examples(result.examples)}: {result.answered} answered, {result.failed} failed"
        + (f" ({result.resumed} from before)" if result.resumed else "")
        + (f"; {result.withheld} withheld for low confidence" if result.withheld else "")
    )
    if result.cached:
        read, written, usd = result.saved.values()
        tokens = f"{(read or 0) + (written or 0):,} tokens"
        saved = tokens if usd is None else f"${usd:,.4f} ({tokens})"
        say(f"from the cache: {result.cached:,} answers, which saved {saved}")
    if result.decision is not None:
        say(str(result.decision))
    short = result.shortfall
    if result.failed:
        say(f"most common failure ({short.failed_so:,} of {result.failed:,}): {short.reason}")
        say("ask the failed ones again with --retry-errors")
    if short.cut:
        say(
            f'{short.cut:,} answers reached the token limit and are marked "cut"; raise'
            " generation.max_new_tokens"
        )
    say(f"predictions: {result.predictions}")
    say(f"next: aqa evaluate {quote(str(result.predictions))}")


def check_answered(run: object, result: "PredictResult") -> None:
    """Raise RunError if no example was answered."""
    if not result.answered:
        reason = result.shortfall.reason
        raise RunError(f"{run}: none of {result.examples} examples was answered: {reason}")


def show_cancelled(result: "CancelResult", as_json: bool) -> None:
    """Show what was answered when a run's batches were cancelled."""
    facts = {"examples": result.examples, "answered": result.answered, "failed": result.failed}
    if as_json:
        print_json({"cancelled": True, **facts})
        return
    say(
        f"no batch is open any more; {_examples(result.examples)}: {result.answered} answered,"
        f" {result.failed} failed; run it again without --cancel to resume"
    )


def show_previews(previews: Sequence["Preview"], tokens: bool, as_json: bool) -> None:
    """Show prompts as the model receives them."""
    if as_json:
        print_json([preview_json(preview) for preview in previews])
        return
    for preview in previews:
        prompt = preview.prompt
        output().rule(Text(prompt.id))
        if preview.encoding is not None:
            text = Text()
            for number, piece in enumerate(preview.read):
                text.append(piece, style="dim" if tokens and number % 2 else "")
            for piece in preview.trained:
                text.append(piece, style="green" if tokens else "")
            say(text)
        else:
            for turn in preview.turns:
                role = f"{turn.role}: " if turn.role else ""
                say(Text.assemble((role, "bold"), turn.content))
        draw(plan_table(prompt))
        say(Text(describe(preview), style="cyan"))
    if tokens and any(preview.trained for preview in previews):
        say(Text.assemble(("green", "green"), " is trained on, the rest is masked"))


def plan_table(prompt: "Prompt") -> Table:
    """Make a table of each passage's rank, fate and whether it has the answer."""
    evidence = prompt.evidence
    fate = {drop.passage.rank: LEFT_OUT[drop.reason] for drop in evidence.dropped}
    fate |= {p.rank: f"read as {number}" for number, p in enumerate(evidence.reading_order, 1)}
    passages = [*evidence.passages, *(drop.passage for drop in evidence.dropped)]
    heads = [
        *figures("rank", "score"),
        Column("passage", fills=True),
        *texts("what became of it", "answer"),
    ]
    rows = []
    for passage in sorted(passages, key=lambda passage: passage.rank):
        score = "" if passage.score is None else f"{passage.score:.4g}"
        text = " ".join(evidence.text_of(passage).split())
        gold = "here" if passage.rank in (prompt.gold_ranks or ()) else ""
        rows.append(Row([passage.rank, score, text, fate[passage.rank], gold]))
    return Table(heads, rows, plain=True)


def describe(preview: "Preview") -> str:
    """Summarise in one line which passages were left out and why, what was cut, and tokens."""
    evidence = preview.prompt.evidence
    parts = [f"passages used: {len(evidence.passages)}"]
    if evidence.dropped:
        reasons = Counter(LEFT_OUT[drop.reason] for drop in evidence.dropped)
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        parts[0] += f" of {len(evidence.passages) + len(evidence.dropped)} ({why})"
    if evidence.cut_characters:
        parts.append(f"{evidence.cut_characters} characters cut from the last one")
    if evidence.reader_cut_characters:
        parts.append(f"{evidence.reader_cut_characters} characters cut by the reader")
    if preview.prompt.gold_in_evidence is not None:
        parts.append(
            "the answer is in the evidence"
            if preview.prompt.gold_in_evidence
            else "the answer is NOT in the evidence"
        )
    if preview.encoding is not None:
        read, trained = len(preview.encoding.prompt_ids), len(preview.encoding.target_ids)
        parts.append(f"{read} tokens read, {trained} trained on")
        parts.append(f"begin-of-text tokens: {preview.begin_tokens}")
        if len(lengths := preview.encoding.part_lengths) > 1:
            parts.append(
                f"passages are read separately, with {', '.join(map(str, lengths))} tokens"
            )
    return "; ".join(parts)


def preview_json(preview: "Preview") -> dict[str, object]:
    """Return a preview as plain values."""
    prompt, encoding = preview.prompt, preview.encoding
    value: dict[str, object] = {
        "id": prompt.id,
        "messages": [{"role": turn.role, "content": turn.content} for turn in prompt.messages],
        "target": prompt.target,
        "evidence": evidence_fields(prompt),
    }
    if preview.request:
        value["request"] = preview.request
    if encoding is not None:
        value |= {
            "text": preview.text,
            "prompt_ids": list(encoding.prompt_ids),
            "target_ids": list(encoding.target_ids),
            "begin_of_text_tokens": preview.begin_tokens,
        }
        if len(encoding.part_lengths) > 1:
            value["part_lengths"] = list(encoding.part_lengths)
    return value
