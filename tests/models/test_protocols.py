"""What a model of a third party needs, and what becomes of abilities that it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from outgrow.errors import ConfigError
from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions, LanguageModel, chats, embed, fits, logprobs, refusal
from outgrow.progress import SilentReporter
from outgrow.scale.generation import ShardedLanguageModel


class Shout(LanguageModel):
    """Only generates."""

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        return [[Completion(prompt.upper(), (), (), True)] for prompt in prompts]


class Polite(Shout):
    """Takes messages, and declines some."""

    chats = True
    refusals = {"rude": "be kind"}  # noqa: RUF012


@pytest.fixture(params=[False, True])
def wrap(request: pytest.FixtureRequest, tmp_path: Path):
    """Models as they are, and with their answers kept in shards."""
    if request.param:
        return lambda model: ShardedLanguageModel(
            model.name,
            chats(model),
            lambda work, pieces: ((number, work(model, items)) for number, items in pieces),
            tmp_path,
            SilentReporter(),
            "ask",
            dict(getattr(model, "refusals", {})),
        )
    return lambda model: model


def test_generate_is_enough(wrap) -> None:
    model = wrap(Shout())
    assert model.name == "Shout"
    assert fits(model, ["a", "b"], 5) == [True, True]
    assert not chats(model)
    assert refusal(model, "a", "nothing came") == "nothing came"


def test_a_missing_ability_is_named_with_an_alternative(wrap) -> None:
    model = wrap(Shout())
    with pytest.raises(ConfigError, match=r"Shout does not score given texts(.|\n)*`logprobs`(.|\n)*Use a local model"):
        logprobs(model, [("a", "b")])
    with pytest.raises(ConfigError, match=r"Shout does not embed texts(.|\n)*`embed`(.|\n)*tfidf"):
        embed(model, ["a"])


def test_abilities_are_used_where_a_model_has_them(wrap) -> None:
    model = wrap(Polite())
    assert chats(model)
    assert refusal(model, "rude", "nothing came") == "be kind"
