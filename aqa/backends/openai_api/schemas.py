"""Answers as JSON objects: the schema that a server is told to keep to, and how one is read."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aqa.config.explanations import not_what
from aqa.records import StructuredAnswer
from aqa.runs.cleaning import object_in

Answered = TypeVar("Answered", bound=BaseModel)


class BadObjectError(Exception):
    """A text does not match the schema."""


@dataclass(frozen=True, slots=True)
class ResponseSchema:
    """A schema that a server is asked to answer in.

    `read` takes the text of an answer and gives what counts in it, or raises BadObjectError, after
    which the question may be asked again. Give one to `Gpt4Backend(config, progress, schema)`;
    `Prediction.raw` is then a text that `read` has accepted.
    """

    name: str  # letters, digits, _ and -
    json_schema: Mapping[str, Any]
    read: Callable[[str], StructuredAnswer]

    @classmethod
    def of(
        cls, name: str, model: type[Answered], answer: Callable[[Answered], StructuredAnswer]
    ) -> Self:
        """Make one of a pydantic model, all of whose fields must be required and extra forbidden.

        That is what OpenAI's strict mode wants; its descriptions are shown to the model.
        """

        def read(text: str) -> StructuredAnswer:
            return answer(read_object(text, model))

        return cls(name, model.model_json_schema(), read)

    def strict(self) -> dict[str, Any]:
        """What a server is sent of it."""
        return {"name": self.name, "schema": dict(self.json_schema), "strict": True}

    def identity(self) -> dict[str, str]:
        """What tells it from another schema."""
        text = json.dumps(self.json_schema, sort_keys=True)
        return {"name": self.name, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def read_object(text: str, model: type[Answered]) -> Answered:
    """Read the object in a text, fenced or with more than the model has; else BadObjectError."""
    found = object_in(text)
    if found is None:
        raise BadObjectError("it holds no JSON object")
    if len(found) == 1 and not model.model_fields.keys() & found.keys():  # under a name of its own
        (inner,) = found.values()
        found = inner if isinstance(inner, dict) else found
    try:
        return model.model_validate_json(json.dumps(found), extra="ignore")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        what = not_what([first]) or "it is not as the schema says"
        missing = first["type"] == "missing"
        raise BadObjectError(f"{place} is missing" if missing else f"{place}: {what}") from None


class ReaderAnswer(BaseModel):
    """The answer to the question, and where it was found."""

    # Servers that ignore the schema write numbers for texts, and the other way round.
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    answer: Annotated[str, BeforeValidator(lambda said: "" if said is None else said)] = Field(
        description="The answer alone; empty if the passages do not answer it."
    )
    passages: Annotated[list[int], BeforeValidator(lambda said: said or [])] = Field(
        description="Numbers of the passages that contain the answer, counted from 1 in the"
        " order in which they are given; empty if none."
    )
    answerable: bool = Field(description="Whether the passages answer the question.")


def _reader_answer(found: ReaderAnswer) -> StructuredAnswer:
    if not found.answerable:
        return StructuredAnswer("", abstained=True)
    if not found.answer.strip():
        raise BadObjectError("answerable is true, but answer is empty")
    return StructuredAnswer(found.answer, passages=tuple(dict.fromkeys(found.passages)))


READER_ANSWER = ResponseSchema.of("reader_answer", ReaderAnswer, _reader_answer)
