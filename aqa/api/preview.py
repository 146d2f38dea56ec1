"""`aqa.preview`: the prompts that a reader would get."""

from collections import UserList

from aqa.api.config import Data, PathLike, Settings
from aqa.api.flag_translation import SETTINGS, translate_errors
from aqa.api.reader import AnyReader, resolve
from aqa.config.ranges import PROMPTS
from aqa.progress import SilentProgress
from aqa.tables import Row, Table, texts
from aqa.tables.forms import to_html
from aqa.verbs.preview import Preview
from aqa.verbs.preview import preview as run_preview


@translate_errors(SETTINGS)
def preview(
    reader: AnyReader,
    data: Data | None = None,
    *,
    model: PathLike | None = None,
    settings: Settings | None = None,
    number: int = 3,
    example_id: str | None = None,
    training: bool = False,
) -> "Previews":
    """Make the prompts that `aqa.predict` and `aqa.train` would give the model; none is answered.

    Args:
        reader: as for `aqa.predict`.
        data: as for `aqa.predict`.
        model: as for `aqa.predict`.
        settings: config values by dotted key.
        number: how many prompts.
        example_id: only the prompt of this example.
        training: use training evidence (`evidence.train`).

    Raises:
        AqaError: something is wrong with data, config or prompt, or there is no such example.
    """
    PROMPTS.check("number", number)
    config = resolve(reader, model, settings, data, trains=training)
    previews = run_preview(config, SilentProgress(), number, example_id, training)
    return Previews(previews)


class Previews(UserList[Preview]):
    """Prompts as the model would get them: `.text`, or turn by turn `.prompt.messages`."""

    def __repr__(self) -> str:
        return "\n\n".join(f"--- {item.prompt.id}\n{item.text}" for item in self)

    def _repr_html_(self) -> str:
        rows = [Row([item.prompt.id, item.text]) for item in self]
        return to_html(Table(texts("id", "prompt"), rows))
