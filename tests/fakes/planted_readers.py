"""Readers with known habits, and questions under stress to ask them.

`blind` reads the gold passage wherever it is, `copier` only the first passage, `ignorer` none at
all, and `memory` has memorised the answers to some questions.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random

from aqa.config.options import EvidenceOptions
from aqa.config.stress_conditions import CONDITIONS, PLAIN
from aqa.evaluation.stress import ScoredRun, StressCard, make_card
from aqa.metrics import score_pairs
from aqa.metrics.statistics.clusters import Clusters
from aqa.prompting.stress.evidence import Pools, StressedEvidence
from aqa.records import Example, Passage

RIGHT, SURE, KNOWN = 0.75, 0.9, 0.4  # shares of questions: right; answered as usual; memorised
NAMES = ["Ostry", "Velm", "Karst", "Bolina", "Tarn", "Morva", "Lund", "Sefton", "Arka", "Dorn"]

Reader = Callable[[Example, Example, Sequence[Passage], Random, Random], str]


def questions(count: int, cluster: int = 4) -> list[Example]:
    """Questions with a passage each, `cluster` of them per article."""
    found = []
    for n in range(count):
        town = f"{NAMES[n % 10]} {NAMES[n // 10 % 10]} {NAMES[n // 100 % 10]}"
        title = f"Article {n // cluster}"
        passage = Passage(f"Person {n} lives in {town} these days.", title, f"p{n}")
        question = f"Where does person {n} live?"
        found.append(
            Example(
                f"q{n}", question, (passage,), (town,), {"title": title}, own_passages=(passage,)
            )
        )
    return found


def under_stress(
    examples: Sequence[Example], conditions: Sequence[str] = CONDITIONS, passages: int = 20
) -> dict[str, list[Example]]:
    """The same examples, plain and under each condition."""
    pools = Pools(lambda: examples)
    found = {PLAIN: list(examples)}
    for condition in conditions:
        given = {"stress": {"condition": condition, "passages": passages}}
        stressed = StressedEvidence(EvidenceOptions.model_validate(given), pools)
        found[condition] = list(stressed.changed(examples))
    return found


def blind(
    original: Example, example: Example, read: Sequence[Passage], own: Random, chance: Random
) -> str:
    """Right on most questions, always the same apart from chance; abstains without gold."""
    is_right = own.random() < RIGHT
    if chance.random() > SURE:
        is_right = chance.random() < RIGHT
    said = [a for a in example.answers or () if any(a in passage.text for passage in read)]
    if not said:
        return "" if chance.random() < 0.8 else "nowhere known"
    return said[own.randrange(len(said))] if is_right else "some place"


def copier(
    original: Example, example: Example, read: Sequence[Passage], own: Random, chance: Random
) -> str:
    """Answers from what is read first, whether or not it concerns the question."""
    text = read[0].text
    return text.partition("lives in ")[2].partition(" these")[0]


def ignorer(
    original: Example, example: Example, read: Sequence[Passage], own: Random, chance: Random
) -> str:
    """Says something about the question."""
    return original.question.removeprefix("Where does ").removesuffix(" live?")


def memory(
    original: Example, example: Example, read: Sequence[Passage], own: Random, chance: Random
) -> str:
    """Has memorised some answers, and reads for the others."""
    if own.random() < KNOWN:
        return (original.answers or ("",))[0]
    return blind(original, example, read, own, chance)


READERS: Mapping[str, Reader] = {
    "blind": blind,
    "copier": copier,
    "ignorer": ignorer,
    "memory": memory,
}
SIGN_OF = {"copier": "position", "ignorer": "evidence_ignored", "memory": "memory"}


def ask(name: str, stressed: Mapping[str, Sequence[Example]], seed: int) -> dict[str, ScoredRun]:
    """A reader's answers to all questions, scored."""
    originals = {example.id: example for example in stressed[PLAIN]}
    found = {}
    for condition, examples in stressed.items():
        answers = []
        for example in examples:
            own = Random(f"{name} {seed} {example.id}")
            chance = Random(f"{name} {seed} {example.id} {condition}")
            original, read = originals[example.id], example.passages
            answers.append(READERS[name](original, example, read, own, chance))
        references = [example.answers or () for example in examples]
        scores = {"f1": score_pairs(answers, references, "squad")["f1"].per_example}
        found[condition] = ScoredRun([one.id for one in examples], answers, references, scores)
    return found


def card_of(name: str, stressed: Mapping[str, Sequence[Example]], seed: int) -> StressCard:
    """A reader's card."""
    asked = ask(name, stressed, seed)
    plain = asked.pop(PLAIN)
    titles = [str(example.metadata["title"]) for example in stressed[PLAIN]]
    return make_card(name, plain, asked, Clusters.of(titles, "title"), "squad")
