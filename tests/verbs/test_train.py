"""What the verb train itself does, for any reader."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from aqa_stub import StubBackend, StubOptions

from aqa.backends.base import Trainable, TrainEstimate, TrainJob
from aqa.backends.cuts import Cuts
from aqa.config.backend_options import RawConfig
from aqa.config.load import build_config, set_value
from aqa.errors import ConfigError, DataError, FolderInUseError, RunError
from aqa.evaluation.inputs import Scoring
from aqa.evaluation.scoring import evaluate
from aqa.progress import SilentProgress
from aqa.prompting.training_evidence import RULES
from aqa.records import Prompt
from aqa.runs.fingerprints import differences
from aqa.runs.folder import hold
from aqa.runs.names import METRICS, MODEL, PREDICTIONS
from aqa.verbs.train import dry_run, train
from aqa.verbs.train_plan import TrainingPlan

ROW = '{{"id": "{}", "question": "who", "passages": [{}], "answers": ["Anna"]}}\n'


class Trained(StubBackend, Trainable[StubOptions]):
    """A stub that can be trained."""

    def estimate(self) -> TrainEstimate:
        return TrainEstimate(0, 0, 0)

    def train(self, job: object, on_step: object) -> Path:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def trained(as_stub: Callable[[type], None]) -> None:
    as_stub(Trained)


def plan(
    folder: Path, max_length: int, others: Mapping[str, object] | None = None, **train: object
) -> TrainingPlan:
    data, prompt = folder / "rows.jsonl", folder / "t.txt"
    texts = {"near": '"Anna", "one two"', "far": '"one two", "Anna"', "none": '"one", "two"'}
    rows = [ROW.format(name, passages) for name, passages in texts.items()]
    data.write_text("".join(rows), encoding="utf-8")
    prompt.write_text("{context}", encoding="utf-8")
    layer: RawConfig = {
        "data": {"path": str(data)},
        "prompt": str(prompt),
        "backend": {"max_length": max_length},
        "evidence": {"train": train},
    }
    for key, value in (others or {}).items():
        set_value(layer, key, value)
    return TrainingPlan(build_config(StubBackend.Options, [layer]), SilentProgress())


def told(made: TrainingPlan) -> tuple[list[str], list[str]]:
    """The ids of the training prompts, and the messages about the others."""
    cuts = Cuts()
    prompts: Iterator[Prompt] = made.train_prompts(cuts)
    ids = [prompt.id for prompt in prompts]
    progress = SilentProgress()
    cuts.tell(progress)
    return ids, progress.notes


@pytest.mark.parametrize("rank", ["0", "1"])
def test_no_process_trains_where_another_training_is_at_work(
    rank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one locks the folder, and each of the others the rows that it makes there."""
    for name, value in (("RANK", rank), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    config, run = plan(tmp_path, 100).config, tmp_path / "run"
    lock = hold(run, name={"0": ".lock", "1": ".lock.1"}[rank])
    with pytest.raises(FolderInUseError):
        train(config, run, SilentProgress())
    lock.release()
    with pytest.raises(NotImplementedError):  # from the stub, which reached its training
        train(config, run, SilentProgress())
    hold(run, name=f".lock.{rank}").release()


@pytest.mark.parametrize("model", ["run", "run/merged"])
def test_a_fresh_start_keeps_the_model_that_it_begins_with(model: str, tmp_path: Path) -> None:
    (tmp_path / model).mkdir(parents=True)
    config = plan(tmp_path, 100, {"backend.model": str(tmp_path / model)}).config
    with pytest.raises(RunError, match=r"from which the training starts, and --fresh would delete"):
        train(config, tmp_path / "run", SilentProgress(), fresh=True)
    with pytest.raises(NotImplementedError):
        train(config, tmp_path / "ru", SilentProgress(), fresh=True)


def test_nothing_is_said_where_all_fits(tmp_path: Path) -> None:
    assert told(plan(tmp_path, 100)) == (["near", "far", "none"], [])


def test_answers_that_are_cut_away_are_told(tmp_path: Path) -> None:
    """Question and answer take four words, which leaves two for passages."""
    ids, notes = told(plan(tmp_path, 6))
    assert ids == ["near", "far", "none"]
    assert notes[0].startswith("2 prompts lost passages")
    assert notes[1].startswith("1 prompts lost the passage with the answer")


def test_answers_that_the_plan_leaves_out_are_told(tmp_path: Path) -> None:
    """Nothing is cut to the reader's length, so raising that would not help."""
    ids, (note,) = told(plan(tmp_path, 100, {"evidence.top_k": 1}))
    assert ids == ["near", "far", "none"]
    assert note.startswith("1 prompts lost the passage with the answer")
    assert "top_k" in note


def test_nothing_is_unanswerable_where_gold_is_never_left_out(tmp_path: Path) -> None:
    """Its template has no phrase for that, which is required only when needed."""
    train = {"passages": "mixed", "distractors": 0, "unanswerable_probability": 1.0}
    assert told(plan(tmp_path, 100, **train))[0] == ["near", "far"]
    with pytest.raises(ConfigError, match="no no_answer phrase"):
        plan(tmp_path, 100, **train, gold_probability=0.5)


def test_drawn_evidence_is_known_by_its_rules(tmp_path: Path) -> None:
    assert plan(tmp_path, 100, passages="mixed").fingerprint()["evidence_rules"] == RULES
    assert "evidence_rules" not in plan(tmp_path, 100, passages="gold").fingerprint()


@pytest.mark.parametrize(
    ("section", "changed"), [("data", {"dev_split": "test"}), ("evaluation", {"profile": "squad"})]
)
def test_the_best_weights_are_chosen_in_one_way(
    section: str, changed: Mapping[str, str], tmp_path: Path
) -> None:
    """Trainings from before it was recorded can still be resumed."""
    made = plan(tmp_path, 100)
    before = json.loads(json.dumps(made.fingerprint()))
    options = getattr(made.config, section).model_copy(update=changed)
    made.config = made.config.model_copy(update={section: options})
    assert list(differences(before, made.fingerprint())) == list(changed)
    del before["dev_split"], before["profile"]
    assert not differences(before, made.fingerprint())


def test_a_loss_needs_a_target_for_each_validation_question(tmp_path: Path) -> None:
    """Without a no-answer phrase such questions have none, and perhaps all are such."""
    dev = tmp_path / "dev.json"
    dev.write_text('[{"question": "who", "passages": ["x"], "answers": []}]', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"1 questions have no answer.* to take the loss of"):
        plan(tmp_path, 100, {"data.dev_path": str(dev), "training.metric_for_best_model": "loss"})
    plan(tmp_path, 100, {"data.dev_path": str(dev)})


@pytest.mark.parametrize("workers", [{"workers.count": 2}, {"workers.engine": "ray"}])
def test_a_training_has_no_workers(workers: Mapping[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="are for prediction; several processes train by"):
        plan(tmp_path, 100, workers)


def test_examples_without_a_gold_passage_are_counted(tmp_path: Path) -> None:
    ids, notes = told(plan(tmp_path, 100, passages="gold"))
    assert ids == ["near", "far"]
    assert notes == [
        "1 examples are left out: no passage holds their answer, or evidence.train left the gold"
        " one out"
    ]


@pytest.mark.parametrize(
    ("max_length", "lost"), [(3, {"unfit": 2}), (4, {"shortened": 2, "lost_gold": 2})]
)
def test_parts_of_a_training_are_the_whole(
    max_length: int, lost: Mapping[str, int], tmp_path: Path
) -> None:
    made, whole = plan(tmp_path, max_length, passages="gold"), Cuts()
    prompts = list(made.train_prompts(whole))
    assert replace(whole, unfit_reason="") == Cuts(without_gold=1, **lost)
    for count in (1, 2, 3, 5):
        parts, cuts = [], Cuts()
        for number in range(count):
            own = Cuts()
            parts += made.train_part(number, count, own)
            cuts.add(own)
        assert (parts, cuts) == (prompts, whole)


def test_validation_data_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    dev = tmp_path / "dev.jsonl"
    dev.write_text(ROW.format("long", '"Anna"').replace("who", "who " * 200), encoding="utf-8")
    config = plan(tmp_path, 100, {"data.dev_path": str(dev)}).config
    refusal = "^no validation example fits: long: instructions"
    with pytest.raises(DataError, match=refusal):
        train(config, tmp_path / "run", SilentProgress())
    with pytest.raises(DataError, match=refusal):
        dry_run(config, SilentProgress())


def test_a_dry_run_refuses_data_of_which_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^no example is left to train on: near: instructions"):
        dry_run(plan(tmp_path, 3).config, SilentProgress())
    config = plan(tmp_path, 100, {"data.limit": 1}, passages="gold").config
    (tmp_path / "rows.jsonl").write_text(ROW.format("none", '"a", "b"'), encoding="utf-8")
    with pytest.raises(DataError, match=r"^no example is left to train on: 1 examples are"):
        dry_run(config, SilentProgress())


def test_a_dry_run_counts_what_a_training_would(tmp_path: Path) -> None:
    """The only passage of a row is its gold one, even if it does not contain the answer."""
    rows = [
        {"id": "only", "question": "who", "passages": ["x"], "answers": ["Anna"]},
        {"id": "none", "question": "who", "passages": ["x", "y"], "answers": ["Anna"]},
        {"id": "no", "question": "who", "passages": ["x"], "answers": []},
        {"id": "later", "question": "who", "passages": ["x"], "answers": []},
        {"id": "unlabelled", "question": "who", "passages": ["x"]},
    ]
    data, prompt = tmp_path / "rows.json", tmp_path / "t.txt"
    data.write_text(json.dumps(rows), encoding="utf-8")
    prompt.write_text("---\nno_answer: none\n---\n{context}", encoding="utf-8")

    def counted(**given: object) -> tuple[Mapping[str, int], int]:
        layer: RawConfig = {
            "data": {"path": str(data), **given},
            "prompt": str(prompt),
            "backend": {"max_length": 100},
            "evidence": {"train": "gold"},
        }
        found = dry_run(build_config(StubBackend.Options, [layer]), SilentProgress())
        return found.counts, found.cut["left_out"]

    more = {"dev": 0, "steps": 2}
    assert counted(limit=3) == ({"train": 2, "train_unanswerable": 1, **more}, 1)
    assert counted(limit=4) == ({"train": 3, "train_unanswerable": 2, **more}, 1)
    dev = tmp_path / "dev.json"
    dev.write_text(json.dumps([{**rows[0], "question": "Who?"}, {**rows[1], "question": "how"}]))
    layer: RawConfig = {
        "data": {"path": str(data), "dev_path": str(dev), "limit": 3},
        "prompt": str(prompt),
    }
    progress = SilentProgress()
    found = dry_run(build_config(StubBackend.Options, [layer]), progress)
    seen = found.validation_in_training_data
    assert seen is not None
    assert (seen["same_questions"], seen["not_seen"]) == (1, 1)
    assert any("1 are in the training data as well" in note for note in progress.notes)
    with pytest.raises(ConfigError, match="1 of 5 training examples have no reference"):
        counted()


@pytest.mark.parametrize(
    ("called", "told"), [(["path"], True), (["path", "dev_path"], False), ([], False)]
)
def test_validation_data_that_only_the_config_names_are_told(
    called: list[str], told: bool, tmp_path: Path
) -> None:
    rows = str(plan(tmp_path, 100).config.data.path)
    paths = {"path": rows, "dev_path": rows}
    file: RawConfig = {"data": paths, "prompt": str(tmp_path / "t.txt")}
    call: RawConfig = {"data": {name: paths[name] for name in called}}
    progress = SilentProgress()
    TrainingPlan(build_config(StubBackend.Options, [file, call]), progress)
    note = f"The best weights are chosen on {rows}, which the config names, not on your own data"
    assert any(note in each for each in progress.notes) == told


def test_validation_data_that_are_missing_are_missed_first(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    paths = {"path": str(tmp_path / "bad.json"), "dev_path": str(tmp_path / "none.json")}
    config = build_config(StubBackend.Options, [{"data": paths}])
    with pytest.raises(DataError, match=r"none\.json: no such file"):
        TrainingPlan(config, SilentProgress())


class Learner(Trained):
    """A stub that learns nothing, and is scored like all readers."""

    def train(self, job: TrainJob, on_step: object) -> Path:
        (job.folder / MODEL).mkdir()
        (job.folder / MODEL / "weights").touch()
        job.score(self.generate(job.dev))
        return job.folder / MODEL


def test_dev_predictions_are_scored_as_they_are_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_stub: Callable[[type], None]
) -> None:
    made = plan(tmp_path, 100)
    as_stub(Learner)
    config = made.config.model_copy(
        update={"data": made.config.data.model_copy(update={"dev_path": made.config.data.path})}
    )
    monkeypatch.setattr("aqa.evaluation.inputs.read_predictions", None)
    progress = SilentProgress()
    done = train(config, tmp_path / "run", progress)
    seen = "Of the 3 validation questions, 3 are also in the training data, word for word"
    assert any(note.startswith(seen) for note in progress.notes)
    monkeypatch.undo()
    assert done.report is not None
    scoring = Scoring(["em", "f1"], config.evaluation.profile)
    read = evaluate([tmp_path / "run" / PREDICTIONS], None, scoring, SilentProgress())
    assert done.report.to_json() == read.to_json()
    assert done.report.to_json() == json.loads((tmp_path / "run" / METRICS).read_bytes())
    assert 0 < done.report.systems[0].scores["em"].value < 100
