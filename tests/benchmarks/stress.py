"""How often stress cards identify readers with planted habits, and how often they are wrong.

The readers are those of tests/fakes/planted_readers.py, asked random parts of the same questions,
keeping articles whole. A reader is identified if its own habit is found; a false alarm is any
finding on the reader that reads the gold passage wherever it is.

Run: python tests/benchmarks/stress.py [--seeds 200] [--questions 200]
"""

import sys
from pathlib import Path
from random import Random

from arms import Parser, print_table, print_verdict

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from planted_readers import READERS, SIGN_OF, card_of, questions, under_stress

CLUSTER = 4
POPULATION = 400


def main() -> None:
    asked = Parser(__doc__, seeds=(200, 3), questions=(200, 60)).parse_args()
    everything = under_stress(questions(POPULATION if not asked.quick else 80, CLUSTER))
    titles = list(dict.fromkeys(one.metadata["title"] for one in everything["plain"]))
    told = dict.fromkeys(READERS, 0)
    for seed in range(asked.seeds):
        drawn = set(Random(seed).sample(titles, asked.questions // CLUSTER))
        part = {
            name: [one for one in examples if one.metadata["title"] in drawn]
            for name, examples in everything.items()
        }
        for name in READERS:
            findings = card_of(name, part, seed).findings
            told[name] += SIGN_OF[name] in findings if name in SIGN_OF else bool(findings)
    rows = [("reader", "found", "of seeds %")]
    for name, count in told.items():
        sign = SIGN_OF.get(name, "anything (false alarm)")
        rows.append((name, sign, f"{100 * count / asked.seeds:.1f}"))
    print_table(rows)
    least = min(100 * told[name] / asked.seeds for name in SIGN_OF)
    print_verdict("told apart, % of seeds, the least", least, 95.0)
    print_verdict("false alarms, % of seeds", 100 * told["blind"] / asked.seeds, 5.0, True)


if __name__ == "__main__":
    main()
