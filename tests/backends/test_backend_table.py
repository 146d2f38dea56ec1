import pytest

from aqa.backends import ALIASES, BACKENDS, backend_names, find_backend
from aqa.backends.base import Trainable
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.errors import UsageError


@pytest.mark.parametrize("name", ["llama", "llama-qlora"])
def test_a_name_and_its_alias_give_the_same_class(name: str) -> None:
    assert find_backend(name) is LlamaQloraBackend


def test_every_entry_of_the_table_is_the_backend_of_its_name() -> None:
    for name in BACKENDS:
        assert find_backend(name).Options.model_fields["name"].default == name
    assert set(ALIASES.values()) <= set(BACKENDS)
    assert set(BACKENDS) <= set(backend_names())


@pytest.mark.parametrize(("name", "hint"), [("lama", "did you mean llama"), ("xyz", "known: ")])
def test_an_unknown_name_is_told_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        find_backend(name)


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_readers_with_weights_can_be_trained(name: str) -> None:
    assert issubclass(find_backend(name), Trainable)
