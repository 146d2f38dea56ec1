"""`aqa train ensemble`: learn a rule from the members' answers and write it to a run folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqa.backends.ensemble.learned import LearnedEnsemble
from aqa.config.ensemble_options import EnsembleOptions
from aqa.config.load import as_raw
from aqa.config.options import RunConfig
from aqa.evaluation.ensembles import Learned, fit, learn
from aqa.evaluation.findings import explain_power, verdict
from aqa.metrics.statistics.clusters import Matrix
from aqa.metrics.statistics.intervals import mean_interval
from aqa.metrics.votes import NOBODY, Cascade, Single
from aqa.progress import Progress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.runs.files import hash_files, write_json
from aqa.runs.folder import Run, check_begun, check_previous, open_run
from aqa.runs.journal_rows import answer_fields
from aqa.runs.names import PREDICTIONS
from aqa.tables import Cell, Figure, Row, Table, Tone, figures, shown_interval, texts
from aqa.verbs.ensemble_data import RULES, Learning, find_members, read_answers, wanted_rules


@dataclass(frozen=True, slots=True)
class EnsembleResult:
    """A trained ensemble, with its table of scores and findings."""

    folder: Path
    weights: Path
    ensemble: LearnedEnsemble
    table: Table
    findings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        rule = {"rule": self.ensemble.rule.name, "findings": list(self.findings)}
        return {"backend": "ensemble", "folder": str(self.folder), **rule, **self.ensemble.facts}


def train(
    config: RunConfig,
    folder: Path,
    progress: Progress,
    resume: bool = False,
    fresh: bool = False,
    command: str = "",
) -> EnsembleResult:
    """Learn a rule from members' answers to the data; write it and the held-out answers.

    Raises:
        AqaError: the answers are too few or have other data or evidence; there is nothing to
            learn; or the run folder is in use or holds another training.
    """
    check_begun(folder, resume)
    options = config.backend
    assert isinstance(options, EnsembleOptions)
    inputs = Inputs(config, load_template(config.prompt), progress)
    runs = find_members(options, inputs)
    evidence = next((run.config.evidence for run in runs if run.config is not None), None)
    if evidence is not None:
        config = config.model_copy(update={"evidence": evidence})
    dev = read_answers(runs, inputs, config, progress)
    names = wanted_rules(dev, options, progress)
    learned = learn(dev.answered, dev.metric, names, config.seed)
    fingerprint = {
        "data": inputs.data_fingerprint(),
        "members": [run.member.reader or run.member.given for run in runs],
        "options": {name: getattr(options, name) for name in ("rule", "nbest", "cluster")},
        "seed": config.seed,
    }
    with open_run(folder, "train") as run:
        check_previous(run, fingerprint, resume, fresh)
        run.start(
            {
                "verb": "train",
                "command": command,
                "config": as_raw(config),
                "fingerprint": fingerprint,
                "evidence": next((other.plan for other in runs if other.plan is not None), {}),
                "sources": {name: source.to_json() for name, source in inputs.sources().items()},
                "counts": {"train": len(dev.aligned.expected)},
            }
        )
        with run.recording():
            return _written(dev, learned, run)


def _written(dev: Learning, learned: Learned, run: Run) -> EnsembleResult:
    facts = _facts(dev, learned)
    profile = dev.aligned.profile
    ensemble = LearnedEnsemble(learned.rule, tuple(dev.members), dev.candidates, profile, facts)
    weights = ensemble.write(run.folder)
    predictions = run.folder / PREDICTIONS
    write_json(predictions, _held_out_rows(dev, learned))
    run.update(
        {
            "status": "done",
            "weights_sha256": ensemble.sha256(),
            "predictions_sha256": hash_files(predictions),
        }
    )
    findings = _findings(dev, learned, facts)
    return EnsembleResult(run.folder, weights, ensemble, _table(dev, learned), findings)


def _facts(dev: Learning, learned: Learned) -> dict[str, Any]:
    means = dev.answered.scores.mean(axis=0)[:: dev.candidates].tolist()
    facts: dict[str, Any] = {
        "score": dev.metric,
        "questions": len(dev.aligned.expected),
        "groups": dev.answered.clusters.count,
        "by": dev.answered.clusters.by,
        "members_scores": {
            member.name: mean for member, mean in zip(dev.members, means, strict=True)
        },
        "held_out": dict(learned.rules),
        "oracle": learned.oracle,
        "gain": learned.gain.to_json(),
        "is_gain": learned.is_gain,
    }
    if Cascade.name in learned.rules:
        facts[Cascade.name] = _cascade(dev, learned)
    return facts


def _cascade(dev: Learning, learned: Learned) -> dict[str, Any]:
    """How often the cascade asks its expensive reader, and what that costs."""
    rule = learned.rule
    if not isinstance(rule, Cascade):
        rule = fit(Cascade.name, dev.answered)
        assert isinstance(rule, Cascade)
    names, costs = [member.name for member in dev.members], dev.answered.costs
    asked_dear = float(rule.asks_dear(dev.answered.votes).mean())
    return {
        "cheap": names[rule.cheap // dev.candidates],
        "dear": names[rule.dear // dev.candidates],
        "asks_dear": 100 * asked_dear,
        "usd_per_question": costs[rule.cheap] + asked_dear * costs[rule.dear],
        "usd_per_question_dear": costs[rule.dear],
    }


def _findings(dev: Learning, learned: Learned, facts: Mapping[str, Any]) -> tuple[str, ...]:
    rule, names = learned.rule, [member.name for member in dev.members]
    gain = [verdict(learned.gain), *explain_power([learned.gain], dev.sample)]
    members = zip(names, dev.answers, strict=True)
    failed = {name: sum(not answer.candidates for answer in answers) for name, answers in members}
    failures = " and ".join(f"{count:,} of {name}" for name, count in failed.items() if count)
    gain += [f"failed answers count 0: {failures}"] if failures else []
    findings = [f"Held out: {'; '.join(gain)}."]
    if isinstance(rule, Single):
        name = names[rule.reader // dev.candidates]
        findings.append(f"Chosen: {name} alone, as no rule is better beyond chance.")
    elif not isinstance(rule, Cascade):
        findings.append(f"Chosen: {RULES[rule.name]} of {', '.join(names)}.")
    if cascade := facts.get(Cascade.name):
        cheap, dear = cascade["cheap"], cascade["dear"]
        saved = cascade["usd_per_question_dear"] - cascade["usd_per_question"]
        money = f"saves ${1000 * saved:,.2f} in 1,000 questions" if saved > 0 else ""
        part = f"{dear} for the {cascade['asks_dear']:.0f} % of which {cheap} is less sure"
        if isinstance(rule, Cascade):
            findings.append(f"Chosen: {cheap}, and {part}{', which ' if money else ''}{money}.")
        elif money:
            findings.append(
                f"A cascade, {cheap} and {part}, scores {learned.rules[Cascade.name]:.1f}"
                f" {dev.metric} and {money}; choose it with --set backend.rule=cascade."
            )
    return tuple(findings)


def _table(dev: Learning, learned: Learned) -> Table:
    answered = dev.answered

    def row(name: str, values: Matrix, is_last: bool) -> Row:
        low, high, _ = mean_interval(values.tolist(), answered.clusters)
        cells: list[Cell] = [name, Figure(float(values.mean())), shown_interval(low, high)]
        return Row(cells, ends_section=is_last)

    members = zip(dev.members, answered.scores.T[:: dev.candidates], strict=True)
    rows = [row(member.name, scores, member is dev.members[-1]) for member, scores in members]
    for name, mean in learned.rules.items():
        tone: Tone = "strong" if name == learned.rule.name else ""
        rows.append(Row([RULES[name], Figure(mean), ""], tone))
    rows.append(row("chosen among them", answered.scored(learned.held_out), False))
    rows.append(Row(["oracle", Figure(learned.oracle), ""], "muted"))
    heads = [*texts("reader"), *figures(dev.metric, "95 % interval")]
    return Table(heads, rows, f"{answered.clusters.examples:,} questions; rules held out")


def _held_out_rows(dev: Learning, learned: Learned) -> dict[str, Any]:
    """The rows of predictions.json: held-out answers, chosen by rules fitted without them."""
    rows = {}
    held_out = zip(dev.aligned.expected.items(), learned.held_out.tolist(), strict=True)
    for index, ((key, references), reader) in enumerate(held_out):
        member, number = divmod(reader, dev.candidates) if reader != NOBODY else (0, 0)
        row = dev.aligned.systems[member].rows[key]
        own = ("question", "clusters", "evidence")
        fields = {name: row.metadata[name] for name in own if name in row.metadata}
        text = None
        if reader != NOBODY:
            text = dev.answers[member][index].candidates[number][0]
            fields |= {"abstained": not text, "member": dev.members[member].name}
        else:
            fields["error"] = "no member answered"
        rows[key] = fields | answer_fields(references, text)
    return rows
