"""What `aqa train ensemble` came to, on the terminal."""

from shlex import quote
from typing import TYPE_CHECKING

from aqa.cli.tables import output, print_json
from aqa.display.tables import drawn

if TYPE_CHECKING:
    from aqa.verbs.ensemble_training import EnsembleResult


def show_ensemble(result: "EnsembleResult", as_json: bool) -> None:
    """Scores of members and rules, what was chosen, and what to run next."""
    if as_json:
        print_json(result.to_json())
        return
    console = output()
    console.print(drawn(result.table))
    for sentence in result.findings:
        console.print(sentence, soft_wrap=True, markup=False, highlight=False)
    console.print(f"{result.weights.name}: {result.weights}", soft_wrap=True)
    console.print(
        f"next: aqa predict ensemble --model {quote(str(result.folder))}"
        " --data YOUR_QUESTIONS.json",
        soft_wrap=True,
    )
