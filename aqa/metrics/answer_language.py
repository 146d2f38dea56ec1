"""The metric language: whether answers are in the language of their questions."""

from aqa.errors import UsageError
from aqa.metrics.languages import language_of
from aqa.metrics.pairs import Pairs
from aqa.records import Score


def answer_language(name: str, pairs: Pairs) -> Score:
    """The share of answers in the language of their question or of a reference.

    An answer in the script of any reference is right, since names may keep their letters. An
    answer without a language (a number, an abstention) can't be wrong. Languages in Latin
    letters are not told apart.

    Raises:
        UsageError: no question is known.
    """
    if not any(pairs.questions):
        raise UsageError(
            "the metric language compares answers with their questions, which these files do not"
            " hold; name the data with --data"
        )
    values = [
        0.0 if text is None else 100.0 * _is_right(text, question, language, references)
        for text, question, language, references in zip(
            pairs.predictions, pairs.questions, pairs.languages, pairs.expected, strict=True
        )
    ]
    return pairs.score(name, values, "by:letters", refs="any")


def _is_right(text: str, question: str, language: str, references: tuple[str, ...]) -> bool:
    spoken = language_of(text)
    wanted = {language_of(question) or language, *map(language_of, references)}
    return not spoken or spoken in wanted or (spoken == "zh" and "ja" in wanted)
