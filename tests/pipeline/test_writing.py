"""What is kept of generated texts, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from outgrow.labels import Completion, TextLabels
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.models.specs import LocalModel
from outgrow.pipeline.text_notes import cut_notes, entropy_notes, text_notes
from outgrow.report.notes import sentence
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors.texts import best_first, score, write
from tiny_models import make_decoder

PROMPTS = ["the film was", "a plot", "the plot was very"]
IDS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_decoder(tmp_path_factory.mktemp("models") / "decoder"))


def weak(decoder: str) -> LocalModel:
    return LocalModel(decoder, "weak", batch_size=4)


def said(text: str, *logprobs: float, finished: bool = True) -> Completion:
    return Completion(text, logprobs, ((0, len(text)),) * len(logprobs), finished)


def test_the_best_of_equal_texts_is_kept_and_the_best_text_comes_first() -> None:
    ranked = best_first([said("b", -2.0), said(" a", -3.0), said("c"), said("a", -1.0), said("b", -4.0)])
    assert [(one.text, one.logprobs) for one in ranked] == [("a", (-1.0,)), ("b", (-2.0,)), ("c", ())]


def test_samples_are_distinct_and_best_first_and_made_once(decoder: str, tmp_path: Path) -> None:
    run = Run(Store(tmp_path))
    options = GenerateOptions(2, temperature=2.0, n=6)
    first, again = (write(weak(decoder), IDS, PROMPTS, options, run) for _ in range(2))
    assert first == again
    assert len([path for path in (tmp_path / "texts").iterdir() if path.is_dir()]) == 1
    for [cell] in first.texts:
        assert len({one.text for one in cell}) == len(cell)
        assert [one.score for one in cell] == sorted((one.score for one in cell), reverse=True)


def test_a_prompt_without_room_is_an_error_of_its_row_alone(decoder: str, tmp_path: Path) -> None:
    prompts = [*PROMPTS[:2], "good " * 40]
    options = GenerateOptions(2, too_long="empty")
    labels = write(weak(decoder), IDS, prompts, options, Run(Store(tmp_path)))
    assert [len(cell) for [cell] in labels.texts] == [1, 1, 0]
    assert set(labels.errors) == {("c", "weak")}
    [note] = text_notes(labels, "test")
    assert (note.code, note.values["why"]) == ("texts.missing", "its prompt is longer than the model's context")


def test_candidates_are_scored_in_their_order_with_their_end(decoder: str, tmp_path: Path) -> None:
    candidates = [[" good", " very bad"], [], [" no", " good" * 40]]
    scored = score(weak(decoder), IDS, PROMPTS, candidates, Run(Store(tmp_path)))
    assert [[one.text for one in cell] for [cell] in scored.texts] == candidates
    plain = LocalLanguageModel.load(decoder).logprobs([(PROMPTS[0], text) for text in candidates[0]], end=True)
    for one, other in zip(scored.texts[0][0], plain, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
    assert scored.texts[2][0][1].logprobs == ()


def test_every_status_and_the_entropy_of_a_supervisor_s_texts_are_told() -> None:
    endless = said("so it is" + 4 * " so it is", -3.0, finished=False)
    cells = [(said("fine", -1.0),), (said("cut", -2.0, finished=False),), (endless,), (said(" "),), ()]
    labels = TextLabels(tuple("abcde"), ("weak", "mute"), tuple((cell, ()) for cell in cells))
    [note] = entropy_notes(labels, 0)
    assert sentence(note) == (
        "weak (seed 0): best texts: 1 with an end of their own, 1 cut at the length or a stop string, "
        "1 cut while repeating, 1 empty; median entropy 2.00 nats a token, 1.50 to 2.50 in half of the rows."
    )


def test_of_texts_that_all_ended_and_were_sure_nothing_is_told() -> None:
    labels = TextLabels(("a",), ("weak",), (((said("fine", -0.001),),),))
    assert entropy_notes(labels, 0) == []


def test_empty_and_endless_texts_are_counted() -> None:
    endless = said("so it is" + 4 * " so it is", -1.0, finished=False)
    cells = [(said(" ", -1.0),), (endless,), (said("fine", -1.0),)]
    labels = TextLabels(("a", "b", "c"), ("weak",), tuple((cell,) for cell in cells))
    found = [(note.code, note.who, note.values) for note in text_notes(labels, "unlabelled", 3)]
    values = {"count": 1, "rows": 3, "part": "unlabelled"}
    assert found == [("texts.empty", "weak", values), ("texts.repeating", "weak", values)]


def test_answers_that_were_cut_at_their_length_are_counted_unless_stop_strings_cut_them_too() -> None:
    cells = [(said("cut", -1.0, finished=False),), (said("fine", -1.0),)]
    labels = TextLabels(("a", "b"), ("weak",), tuple((cell,) for cell in cells))
    [note] = cut_notes(labels, GenerateOptions(30))
    assert sentence(note) == (
        "weak: 1 of 2 rows have an answer that was cut after 30 tokens (generate.max_new_tokens)."
    )
    assert not cut_notes(labels, GenerateOptions(30, stop=("\n",)))


def test_refusals_are_counted() -> None:
    cells = [
        (said("I'm sorry, but I cannot help.", -1.0),),
        (said("As an AI, I have no pets.", -1.0),),
        (said("I can.", -1.0),),
    ]
    labels = TextLabels(("a", "b", "c"), ("weak",), tuple((cell,) for cell in cells))
    [note] = text_notes(labels, "test")
    assert sentence(note) == "weak: 2 of 3 rows of the test part have an answer that refuses."
