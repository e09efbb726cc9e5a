"""The structure of the paper's prompts, where a model tells what it is told from what it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from http_server import echo, serving
from outgrow.labels import Completion, Rows, TextLabels
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server import ServedModel, ServerLanguageModel
from outgrow.refine.icl import ICL
from outgrow.refine.infer_and_respond import InferAndDemonstrate, InferAndRespond
from outgrow.refine.text_refiner import Preset

ROWS = Rows(tuple("abcd"), tuple(f"What is {n}?" for n in range(4)), ("unlabelled",) * 4, (None,) * 4)
WEAK = TextLabels(ROWS.ids, ("weak",), tuple(((Completion(f"arr {n}", (), (), True),),) for n in range(4)))
GREEDY = GenerateOptions(max_new_tokens=8)


class Plain:
    """Remembers its prompts."""

    name = "plain"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def generate(self, prompts: Sequence[Any], options: GenerateOptions) -> list[list[Completion]]:
        self.asked += prompts
        return [[Completion("Begin with arr.", (), (), True)] for _ in prompts]


class Chatty(Plain):
    """Takes messages."""

    chats = True


def turns_of(refiner: ICL | InferAndRespond | InferAndDemonstrate) -> list[tuple[str, str]]:
    model = Chatty()
    refiner.texts(ROWS, WEAK, model, options=GREEDY, seed=0)
    return [(system, user) for (_, system), (_, user) in (one for one in model.asked if not isinstance(one, str))]


def test_demonstrations_are_in_the_system_turn_and_the_question_in_the_user_s() -> None:
    turns = turns_of(ICL(demonstrations=2, preset="paper"))
    assert [user for _, user in turns] == [f"What is {n}?" for n in range(4)]
    for n, (system, _) in enumerate(turns):
        assert system.count("Question: ") == system.count("\nAnswer: arr") == 2
        assert f"arr {n}" not in system


def test_the_inferred_sentence_is_in_the_system_turn() -> None:
    for system, user in turns_of(InferAndRespond(batch=2, preset="paper")):
        assert system.strip().endswith(" in the style that is given here. Begin with arr.")
        assert user.startswith("What is ")
    for system, _ in turns_of(InferAndDemonstrate(batch=2, demonstrations=1, preset="paper")):
        assert " in the style that is given here. Begin with arr.\n\nQuestion: " in system


def test_the_detector_of_style_reads_weak_answers() -> None:
    model = Chatty()
    InferAndRespond(batch=2, preset="paper").texts(ROWS, WEAK, model, options=GREEDY, seed=0)
    detectors = [one for one in model.asked if isinstance(one, str)]
    assert len(detectors) == 2
    for text in detectors:
        assert text.startswith("Your task is to detect a style.")
        assert text.count("Question: ") == text.count("\nAnswer: arr") == 2


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_model_of_plain_text_reads_one_text(preset: Preset) -> None:
    refiner, model = ICL(demonstrations=2, preset=preset), Plain()
    refiner.texts(ROWS, WEAK, model, options=GREEDY, seed=0)
    assert model.asked == refiner.prompts(ROWS, WEAK, seed=0)
    assert model.asked[0].endswith("Question: What is 0?\nAnswer:")


def test_by_default_demonstrations_are_turns_of_their_own() -> None:
    model = Chatty()
    ICL(demonstrations=2).texts(ROWS, WEAK, model, options=GREEDY, seed=0)
    for n, messages in enumerate(model.asked):
        assert [role for role, _ in messages] == ["user", "assistant", "user", "assistant", "user"]
        assert messages[-1] == ("user", f"What is {n}?")
        for (_, question), (_, answer) in zip(messages[:-1:2], messages[1::2], strict=True):
            assert answer == question.replace("What is", "arr").rstrip("?")


def test_a_chat_server_gets_two_messages_behind_its_own_system_message(tmp_path) -> None:
    with serving(echo) as server:
        model = ServerLanguageModel(ServedModel("m", system="Be brief."), server.url, cache=tmp_path / "cache.sqlite")
        refined = ICL(demonstrations=1, preset="paper").texts(ROWS, WEAK, model, options=GREEDY, seed=0)
        system, user = server.asked[0].body["messages"]
    assert system["role"] == "system"
    assert system["content"].startswith("Be brief.\n\nQuestion: What is ")
    assert system["content"] == system["content"].strip()
    assert user == {"role": "user", "content": "What is 0?"}
    assert refined.texts()[0] == "WHAT IS 0?"
