"""Resolve a reader: a backend's name, a config, or a reader that stays loaded."""

from collections.abc import Mapping
from typing import Any, Self, TypeAlias, Union
from weakref import WeakSet

from aqa.api.config import READERS, Data, PathLike, Settings, as_data_path, as_settings
from aqa.api.flag_translation import SETTINGS, translate_errors
from aqa.api.predictions import Predictions
from aqa.backends import find_backend
from aqa.backends.base import Backend
from aqa.config.in_memory_data import InMemoryData
from aqa.config.load import as_raw, build_config, set_value
from aqa.config.options import RunConfig
from aqa.config.ranges import check_kind
from aqa.errors import UsageError
from aqa.progress import Progress
from aqa.runs.fingerprints import differences
from aqa.verbs.launch import KeepLoaded, answering_reader
from aqa.verbs.run_config import Setting, make_config, refuse_training_options

AnyReader: TypeAlias = Union[str, RunConfig, "Reader"]
OF_A_RUN = {"data", "prompt", "evidence", "output_dir"}  # sections that may change per call


class Reader:
    """A reader that stays loaded, for one `aqa.predict` after another.

        with aqa.Reader("llama", model="runs/mine") as reader:
            first = list(aqa.predict(reader, data))
            second = list(aqa.predict(reader, data, settings={"evidence.top_k": 3}))

    The model is loaded when the first answer is taken, and freed by `close` or at the end of
    `with`; answers not taken by then are lost. It answers one call at a time, each with its own
    data, prompt and evidence; all other settings are given here. Several readers may be open at
    once. One that uses an API is connected anew for each call, and the members of an ensemble are
    loaded one after another.
    """

    @translate_errors(SETTINGS)
    def __init__(
        self,
        reader: str | RunConfig,
        *,
        model: PathLike | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Check the config; nothing is loaded yet.

        Args:
            reader: a backend's name ("t5", "llama", "gpt4"), or a config from `aqa.load_config`.
            model: as for `aqa.predict`.
            settings: config values by dotted key, such as {"generation.num_beams": 4}.

        Raises:
            AqaError: there is no such backend, or a value is not valid.
        """
        self.config = resolve(reader, model, settings, None)
        self._kept: Backend | None = None
        self.streams: WeakSet[Predictions] = WeakSet()  # closed with the reader
        self._is_closed = False

    def kept(self, config: RunConfig, progress: Progress) -> Backend | None:
        """Return the loaded backend for a config; None if each call makes its own.

        Raises:
            UsageError: it is closed, or was made for another config.
        """
        if self._is_closed:
            raise UsageError("this aqa.Reader is closed; make another one")
        changed = differences(_of_reader(self.config), _of_reader(config))
        if changed:
            raise UsageError(
                f"this aqa.Reader was made with other settings: {'; '.join(changed.values())}; make"
                " another aqa.Reader with them"
            )
        if self._kept is None:
            self._kept = answering_reader(self.config, progress, stays=True)
        return self._kept.used_with(progress) if isinstance(self._kept, KeepLoaded) else None

    def close(self) -> None:
        """Free the memory and stop asking."""
        self._is_closed = True
        for answers in self.streams:
            answers.close()
        if isinstance(self._kept, KeepLoaded):
            self._kept.free()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, as for another process, loads its own weights."""
        return Reader, (self.config,)

    def __repr__(self) -> str:
        backend = self.config.backend
        closed = ", closed" if self._is_closed else ""
        return f"<aqa.Reader: {backend.name}, {backend.model}{closed}>"


def _of_reader(config: RunConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude=OF_A_RUN)


def resolve(
    reader: AnyReader,
    model: PathLike | None,
    settings: Settings | None,
    data: Data | None,
    dev_data: Data | None = None,
    trains: bool = False,
) -> RunConfig:
    """Make a verb's config from a backend's name, or from a config changed by settings.

    Where nothing `trains`, settings that only a training reads are an error; configs serve both.
    """
    if isinstance(reader, Reader):
        reader = reader.config
    check_kind("reader", reader, (str, RunConfig), f"{READERS}, or an aqa.load_config of one")
    changes = as_settings(model, settings)
    if not trains:
        refuse_training_options(changes)
    if isinstance(reader, str):
        config = make_config(reader, None, changes)
    else:
        config = _changed(reader, changes) if changes else reader
    paths = {}
    if data is not None:
        paths["path"] = as_data_path(data)
    if dev_data is not None:
        paths["dev_path"] = as_data_path(dev_data, "the given validation data")
    return _with_data(config, paths)


def _changed(config: RunConfig, settings: list[Setting]) -> RunConfig:
    """Validate a config with changed values, keeping data in memory."""
    changes: dict[str, Any] = {}
    for key, value in settings:
        set_value(changes, key, value)
    named = changes.get("data") or {}
    paths = {name: getattr(config.data, name) for name in ("path", "dev_path") if name not in named}
    at_hand = {name: path for name, path in paths.items() if isinstance(path, InMemoryData)}
    # Unchanged values were checked before; only changes must have an effect.
    options = find_backend(config.backend.name).Options
    return _with_data(build_config(options, [changes], as_raw(config)), at_hand)


def _with_data(config: RunConfig, paths: Mapping[str, str | InMemoryData]) -> RunConfig:
    changed = config.model_copy(update={"data": config.data.model_copy(update=paths)})
    changed.note_asked((), (f"data.{name}" for name in paths))
    return changed
