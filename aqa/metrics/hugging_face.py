"""Any metric of Hugging Face evaluate, by name or as a local module: `hf:NAME`."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isclose, isfinite
from pathlib import Path
from typing import Any, Literal

from aqa.config.paths import expand_home
from aqa.errors import DataError, ModelError, UsageError
from aqa.hub import ready_hub
from aqa.metrics.pairs import Pairs
from aqa.records import Score

PREFIX = "hf:"
# The score of identical texts reveals a metric's scale. These have enough words for any metric.
SAME = (
    "the old lighthouse keeper wrote a long letter to his sister in the north",
    "늙은 등대지기는 북쪽에 사는 누이에게 긴 편지를 쓰고 나서 바다를 오래 바라보았다",
)
# What third-party code may raise for texts that it was not made for.
COMPLAINTS = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

Texts = Sequence[str]


class HuggingFaceMetric:
    """One number of a metric, scaled to 0..100 if its scale is known.

    A metric that scores identical texts 1 is multiplied by 100; one that scores them 100 is
    unchanged. Any other (error rates, lengths) is unchanged and has no values per example, since
    higher may not be better. If the metric has values per example, the score is their mean, under
    the rules of our metrics; otherwise it is the metric's own number for all examples, in which
    missing answers and references are empty texts.
    """

    def __init__(self, spec: str) -> None:
        """Take NAME, or NAME#NUMBER for one of several numbers that a metric returns."""
        self._source, _, self._wanted = spec.removeprefix(PREFIX).partition("#")
        if not self._source:
            raise UsageError("hf: names no metric; write hf:NAME, or hf:PATH of a local module")
        self._module: _Module | None = None

    def __call__(self, pairs: Pairs) -> Score:
        """Score every pair.

        Raises:
            ModelError: the metric can't be loaded, or fails on these texts.
            UsageError: it does not compare texts, or the number to use is ambiguous.
        """
        from importlib.metadata import version

        self._module = self._module or _Module(self._source, self._wanted)
        module = self._module
        name = f"{PREFIX}{module.name}" + (f"#{self._wanted}" if self._wanted else "")
        details = [f"number:{module.number}", f"scale:{module.scale}"]
        details += [f"evaluate:{version('evaluate')}"]
        if module.hash:
            details.append(f"module:{module.hash[:8]}")
        values = module.values(pairs) if module.factor else None
        if values is not None:
            return pairs.score(name, values, "|".join(details))
        details_text = "|".join([*details, "examples:together"])
        return Score(
            name, module.together(pairs), pairs.signature(name, details_text), better=module.better
        )


class _Module:
    """A loaded metric: its input format, which of its numbers is used, and its scale."""

    def __init__(self, source: str, wanted: str) -> None:
        self._compute = _load(source)
        self._shape = _shape(source, self._compute.features)
        self.name = Path(source).stem
        self.hash = str(getattr(self._compute, "_hash", None) or "")
        self._source = source
        parameters = inspect.signature(self._compute._compute).parameters
        # The parameter by which ROUGE and similar metrics return a number per example.
        self._extra = {"use_aggregator": False} if "use_aggregator" in parameters else {}
        self.number = wanted
        results = [self._run([text], [[text]]) for text in SAME]
        self.number = wanted or self._choose(results[0])
        # For a single text, a metric with values per example returns a list of one.
        self.is_per_example = isinstance(self._pick(results[0], 1), list)
        peak = max(_mean(self._pick(result, 1)) for result in results)
        self.factor = next(
            (100 / full for full in (1, 100) if isclose(peak, full, rel_tol=0.01)), None
        )
        self.scale = "as-given" if self.factor is None else f"{self.factor:g}x"
        self.better: Literal["higher", "lower", ""] = "higher"
        if self.factor is None:
            self.better = "lower" if isclose(peak, 0, abs_tol=1e-9) else ""

    def values(self, pairs: Pairs) -> list[float] | None:
        """Return a number per example, 0..100; None if the metric returns only one for all."""
        single = pairs.single()
        if not self.is_per_example or not single.owners:
            return list(single.settled) if self.is_per_example else None
        references: list[Texts] = [[text] for text in single.references]
        if self._takes_all:
            owners = list(dict.fromkeys(single.owners))
            texts = [pairs.predictions[owner] or "" for owner in owners]
            references = [pairs.expected[owner] for owner in owners]
            single = replace(single, predictions=texts, owners=owners)
        numbers = self._pick(self._run(single.predictions, references), len(references))
        if not isinstance(numbers, list):
            return None
        return single.best([value * (self.factor or 1) for value in numbers])

    def together(self, pairs: Pairs) -> float:
        """The metric's own number for all examples, each with the reference that fits it best."""
        if not pairs.references:
            raise DataError("there are no examples to score")
        predictions = [text or "" for text in pairs.predictions]
        references: list[Texts] = [texts or ("",) for texts in pairs.references]
        if not self._takes_all:
            references = [
                [self._best(prediction, list(dict.fromkeys(texts)))]
                for prediction, texts in zip(predictions, references, strict=True)
            ]
        result = self._run(predictions, references)
        return _mean(self._pick(result, len(predictions))) * (self.factor or 1)

    def _best(self, prediction: str, texts: list[str]) -> str:
        if len(texts) == 1:
            return texts[0]
        choose = min if self.better == "lower" else max
        return choose(
            texts, key=lambda text: _mean(self._pick(self._run([prediction], [[text]]), 1))
        )

    @property
    def _takes_all(self) -> bool:
        return self._shape != "text"

    def _run(self, predictions: Texts, references: Sequence[Texts]) -> Mapping[str, Any]:
        rows = [
            _row(self._shape, str(number), prediction, texts)
            for number, (prediction, texts) in enumerate(zip(predictions, references, strict=True))
        ]
        try:
            result = self._compute.compute(
                predictions=[row[0] for row in rows],
                references=[row[1] for row in rows],
                **self._extra,
            )
        except COMPLAINTS as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"{PREFIX}{self._source}: this metric can't score these texts ({first}); it may"
                " need options or other columns, so use another metric"
            ) from error
        return result if isinstance(result, dict) else {self.name: result}

    def _choose(self, result: Mapping[str, Any]) -> str:
        """Choose the number to use: the only one, the metric's namesake, or "score"."""
        plain = {key: _plain(value) for key, value in result.items()}
        numbers = [key for key, value in plain.items() if isinstance(value, float)]
        numbers = numbers or [key for key, value in plain.items() if value is not None]
        for name in (self.name, "score"):
            if name in numbers:
                return name
        if len(numbers) == 1:
            return numbers[0]
        if not numbers:
            raise ModelError(f"{PREFIX}{self._source}: this metric gives no number")
        raise UsageError(
            f"{PREFIX}{self._source} gives several numbers ({', '.join(numbers)}); name one of"
            f" them, as in {PREFIX}{self._source}#{numbers[0]}"
        )

    def _pick(self, result: Mapping[str, Any], rows: int) -> float | list[float]:
        number = _plain(result.get(self.number))
        if number is None or (isinstance(number, list) and len(number) != rows):
            names = ", ".join(key for key, value in result.items() if _plain(value) is not None)
            raise UsageError(
                f'{PREFIX}{self._source} gives no number "{self.number}", overall or per'
                f" example; it gives {names}"
            )
        if not all(map(isfinite, number if isinstance(number, list) else [number])):
            raise ModelError(
                f'{PREFIX}{self._source}: "{self.number}" is not a finite number for these texts;'
                " take another metric"
            )
        return number


def _load(source: str) -> Any:
    path = expand_home(source)
    if not path.exists():
        ready_hub()
    import evaluate

    try:
        return evaluate.load(str(path.resolve()) if path.exists() else source, keep_in_memory=True)
    except (ImportError, SyntaxError, OSError, TypeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise ModelError(
            f"{PREFIX}{source}: this metric can't be loaded: give the path of a local module, or a"
            f" name on the hub while the hub can be reached ({reason.rstrip('.')})"
        ) from error


def _shape(source: str, features: Any) -> str:
    """How a metric takes its texts: with one reference, with all, or in SQuAD's format."""
    shapes = [_shape_of(part) for part in (features if isinstance(features, list) else [features])]
    for shape in ("texts", "text", "squad", "squad_v2"):
        if shape in shapes:
            return shape
    raise UsageError(
        f"{PREFIX}{source} compares no texts with reference texts (it takes"
        f" {' '.join(str(features).split())}), so it can't score answers"
    )


def _shape_of(features: Mapping[str, Any]) -> str | None:
    if set(features) != {"predictions", "references"}:
        return None
    predictions, references = features["predictions"], features["references"]
    if _is_text(predictions):
        if _is_text(references):
            return "text"
        return "texts" if _is_text(getattr(references, "feature", None)) else None
    if isinstance(predictions, Mapping) and _is_text(predictions.get("prediction_text")):
        return "squad_v2" if "no_answer_probability" in predictions else "squad"
    return None


def _is_text(feature: object) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string")


def _row(shape: str, key: str, prediction: str, texts: Texts) -> tuple[Any, Any]:
    if shape == "text":
        return prediction, texts[0]
    if shape == "texts":
        return prediction, list(texts)
    answers = [] if shape == "squad_v2" and not any(texts) else list(texts)
    gold = {"id": key, "answers": {"text": answers, "answer_start": [0] * len(answers)}}
    predicted: dict[str, Any] = {"id": key, "prediction_text": prediction}
    if shape == "squad_v2":
        predicted["no_answer_probability"] = 0.0 if prediction else 1.0
    return predicted, gold


def _plain(value: Any) -> float | list[float] | None:
    """Convert a Python or numpy result to a number, or to one per example."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        numbers = [number for number in map(_plain, value) if isinstance(number, float)]
        return numbers if numbers and len(numbers) == len(value) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None


def _mean(value: float | list[float]) -> float:
    return sum(value) / len(value) if isinstance(value, list) else value
