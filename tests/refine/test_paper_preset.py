"""The structure of the paper's prompts, where a model tells what it is told from what it is asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from http_server import echo, serving
from outgrow.labels import Completion, Rows, TextLabels
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server import ServedModel, ServerLanguageModel
from outgrow.refine.icl import ICL
from outgrow.refine.infer_and_respond import InferAndDemonstrate, InferAndRespond

ROWS = Rows(tuple("abcd"), tuple(f"What is {n}?" for n in range(4)), ("unlabelled",) * 4, (None,) * 4)
WEAK = TextLabels(ROWS.ids, ("weak",), tuple(((Completion(f"arr {n}", (), (), True),),) for n in range(4)))
GREEDY = GenerateOptions(max_new_tokens=8)


class Plain:
    """Remembers its prompts."""

    name = "plain"

    def __init__(self) -> None:
        self.turns: list[tuple[str, str]] = []
        self.texts: list[str] = []

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        self.texts += prompts
        return [[Completion("Begin with arr.", (), (), True)] for _ in prompts]


class Chatty(Plain):
    """Takes system and user messages."""

    def chat(self, turns: Sequence[tuple[str, str]], options: GenerateOptions) -> list[list[Completion]]:
        self.turns += turns
        return [[Completion("arr", (), (), True)] for _ in turns]


def turns_of(refiner: ICL | InferAndRespond | InferAndDemonstrate) -> list[tuple[str, str]]:
    model = Chatty()
    refiner.texts(ROWS, WEAK, model, options=GREEDY, seed=0)
    return model.turns


def test_demonstrations_are_in_the_system_turn_and_the_question_in_the_user_s() -> None:
    turns = turns_of(ICL(demonstrations=2, preset="paper"))
    assert [user for _, user in turns] == [f"Question: What is {n}?\nAnswer:" for n in range(4)]
    for n, (system, _) in enumerate(turns):
        assert system.count("Question: ") == system.count("\nAnswer: arr") == 2
        assert f"arr {n}" not in system


def test_the_inferred_sentence_is_in_the_system_turn() -> None:
    for system, user in turns_of(InferAndRespond(batch=2, preset="paper")):
        assert system.strip() == "Begin with arr."
        assert user.startswith("Question: ")
    for system, _ in turns_of(InferAndDemonstrate(batch=2, demonstrations=1, preset="paper")):
        assert system.startswith("Begin with arr.\n\nQuestion: ")


@pytest.mark.parametrize(("preset", "model"), [("default", Chatty()), ("paper", Plain())])
def test_otherwise_all_is_one_text(preset: str, model: Plain) -> None:
    refiner = ICL(demonstrations=2, preset=preset)  # type: ignore[arg-type]
    refiner.texts(ROWS, WEAK, model, options=GREEDY, seed=0)
    assert not model.turns
    assert model.texts == refiner.prompts(ROWS, WEAK, seed=0)


def test_a_chat_server_gets_two_messages_behind_its_own_system_message(tmp_path) -> None:
    with serving(echo) as server:
        model = ServerLanguageModel(ServedModel("m", system="Be brief."), server.url, cache=tmp_path / "cache.sqlite")
        refined = ICL(demonstrations=1, preset="paper").texts(ROWS, WEAK, model, options=GREEDY, seed=0)
        system, user = server.asked[0].body["messages"]
    assert system["role"] == "system"
    assert system["content"].startswith("Be brief.\n\nQuestion: What is ")
    assert system["content"] == system["content"].strip()
    assert user == {"role": "user", "content": "Question: What is 0?\nAnswer:"}
    assert refined.texts()[0] == "QUESTION: WHAT IS 0?\nANSWER:"
