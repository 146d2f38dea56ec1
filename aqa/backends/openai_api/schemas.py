"""Answers as JSON objects: the schema that a server must follow, and how to read them."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aqa.config.validation_errors import not_what
from aqa.records import StructuredAnswer
from aqa.runs.cleaning import is_blank, object_in

Answered = TypeVar("Answered", bound=BaseModel)


class BadObjectError(Exception):
    """A text does not match the schema."""


@dataclass(frozen=True, slots=True)
class ResponseSchema:
    """A JSON schema for answers.

    `read` returns what matters in an answer's text, or raises BadObjectError, after which the
    question may be asked again. Pass one to `Gpt4Backend(config, progress, schema)`;
    `Prediction.raw` is then a text that `read` accepts.
    """

    name: str  # letters, digits, _ and -
    json_schema: Mapping[str, Any]
    read: Callable[[str], StructuredAnswer]

    @classmethod
    def of(
        cls, name: str, model: type[Answered], answer: Callable[[Answered], StructuredAnswer]
    ) -> Self:
        """Make one from a pydantic model that requires all fields and forbids extra ones.

        OpenAI's strict mode demands that; the model sees the descriptions.
        """

        def read(text: str) -> StructuredAnswer:
            return answer(read_object(text, model))

        return cls(name, model.model_json_schema(), read)

    def strict(self) -> dict[str, Any]:
        """Return what is sent to a server."""
        return {"name": self.name, "schema": dict(self.json_schema), "strict": True}

    def identity(self) -> dict[str, str]:
        """Return what distinguishes it from other schemas."""
        text = json.dumps(self.json_schema, sort_keys=True)
        return {"name": self.name, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def read_object(text: str, model: type[Answered]) -> Answered:
    """Parse the object in a text, fenced or with extra fields; else raise BadObjectError."""
    members = object_in(text)
    if members is None:
        raise BadObjectError("it holds no JSON object, or several that differ")
    if len(members) == 1 and not model.model_fields.keys() & members.keys():  # it is wrapped
        (inner,) = members.values()
        members = inner if isinstance(inner, dict) else members
    try:
        return model.model_validate_json(json.dumps(members), extra="ignore")
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        what = not_what([first]) or "it does not match the schema"
        missing = first["type"] == "missing"
        raise BadObjectError(f"{path} is missing" if missing else f"{path}: {what}") from None


class ReaderAnswer(BaseModel):
    """The answer to the question, and where it was found."""

    # Servers that ignore the schema confuse numbers and texts.
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    answer: Annotated[str, BeforeValidator(lambda text: "" if text is None else text)] = Field(
        description="The answer alone; empty if the passages do not answer it."
    )
    passages: Annotated[list[int], BeforeValidator(lambda ranks: ranks or [])] = Field(
        description="Numbers of the passages that contain the answer, counted from 1 in the"
        " order in which they are given; empty if none."
    )
    answerable: bool = Field(description="Whether the passages answer the question.")


def _reader_answer(answer: ReaderAnswer) -> StructuredAnswer:
    if not answer.answerable:
        return StructuredAnswer("", abstained=True)
    if is_blank(answer.answer):
        raise BadObjectError("answerable is true, but answer is empty")
    return StructuredAnswer(answer.answer, passages=tuple(dict.fromkeys(answer.passages)))


READER_ANSWER = ResponseSchema.of("reader_answer", ReaderAnswer, _reader_answer)
