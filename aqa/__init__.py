"""aqa: fine-tune, run and compare generative readers on the same evidence.

The names below are imported on first use, so that `import aqa` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from aqa.version import __version__ as __version__

if TYPE_CHECKING:
    from aqa.api.config import load_config as load_config
    from aqa.api.estimate import Estimate as Estimate
    from aqa.api.estimate import estimate_cost as estimate_cost
    from aqa.api.evaluate import Evaluation as Evaluation
    from aqa.api.evaluate import evaluate as evaluate
    from aqa.api.predict import predict as predict
    from aqa.api.predictions import Predictions as Predictions
    from aqa.api.preview import preview as preview
    from aqa.api.reader import Reader as Reader
    from aqa.api.train import Training as Training
    from aqa.api.train import train as train
    from aqa.config.options import RunConfig as RunConfig
    from aqa.data import Source as Source
    from aqa.errors import AqaError as AqaError
    from aqa.evaluation.inputs import Scoring as Scoring
    from aqa.evaluation.judge.options import JudgeOptions as JudgeOptions
    from aqa.records import Example as Example
    from aqa.records import Passage as Passage
    from aqa.records import Prediction as Prediction

_MODULES = {
    "AqaError": "aqa.errors",
    "Estimate": "aqa.api.estimate",
    "Evaluation": "aqa.api.evaluate",
    "Example": "aqa.records",
    "JudgeOptions": "aqa.evaluation.judge.options",
    "Passage": "aqa.records",
    "Prediction": "aqa.records",
    "Predictions": "aqa.api.predictions",
    "Reader": "aqa.api.reader",
    "RunConfig": "aqa.config.options",
    "Scoring": "aqa.evaluation.inputs",
    "Source": "aqa.data",
    "Training": "aqa.api.train",
    "estimate_cost": "aqa.api.estimate",
    "evaluate": "aqa.api.evaluate",
    "load_config": "aqa.api.config",
    "predict": "aqa.api.predict",
    "preview": "aqa.api.preview",
    "train": "aqa.api.train",
}
__all__ = sorted(["__version__", *_MODULES])


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List all public names, imported or not."""
    return sorted({*globals(), *__all__})
