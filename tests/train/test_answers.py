"""Tokens to learn, with the confidence that a bridge brings to them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from outgrow.bridge import Bridging, Where, bridge_many
from outgrow.labels import Completion, Opinion, TextTargets
from outgrow.models.loading import load_causal_lm, load_tokenizer
from outgrow.models.local import LocalLanguageModel
from outgrow.models.rendering import Renderer
from outgrow.models.tokens import encode_answer
from outgrow.objectives import TokenBayesian, TokenCrossEntropy
from outgrow.train.answers import collate, confidences, opinions, tokenise
from outgrow.train.text import TokenLosses, answer_logits, split_by_student
from tiny_models import letter_decoder, make_decoder


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_decoder(tmp_path_factory.mktemp("models") / "decoder"))


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(letter_decoder(tmp_path_factory.mktemp("models") / "letters"))


def targets_of(text: str, *opinions: tuple[float, Completion], prompt: str = "the film was") -> TextTargets:
    held = tuple(Opinion(weight, one) for weight, one in opinions)
    return TextTargets(("a",), (prompt,), (text,), (1.0,), ("weak",), (held,))


def heard_of(targets: TextTargets, spans: list[tuple[int, int]]) -> np.ndarray:
    [heard] = opinions(targets, [spans])
    return confidences(heard, len(spans))


def test_a_model_s_own_log_probabilities_come_back_as_confidences(decoder: str) -> None:
    [scored] = LocalLanguageModel.load(decoder).logprobs([("the film was", " very good")], end=True)
    [line] = tokenise(targets_of(" very good", (1.0, scored)), Renderer(load_tokenizer(decoder)), limit=None, cut=False)
    assert line["log_confidences"][0] == pytest.approx([0.0, 0.0, *scored.logprobs], abs=1e-6)


def test_another_tokenizer_s_probability_arrives_whole(decoder: str, letters: str) -> None:
    [scored] = LocalLanguageModel.load(letters).logprobs([("the film was", " very good")], end=True)
    [line] = tokenise(targets_of(" very good", (1.0, scored)), Renderer(load_tokenizer(decoder)), limit=None, cut=False)
    log_s = line["log_confidences"][0]
    assert sum(log_s) == pytest.approx(sum(scored.logprobs), abs=1e-5)
    assert log_s[-1] == 0.0  # bytes without an end token say nothing of the end


def test_several_opinions_are_averaged_as_probabilities_with_their_weights() -> None:
    sure = Completion(" a", (math.log(0.8), math.log(0.9)), ((0, 2), (2, 2)), finished=True)
    unsure = Completion(" a", (math.log(0.2),), ((0, 2),), finished=False)
    found = heard_of(targets_of(" a", (3.0, sure), (1.0, unsure)), [(0, 2), (2, 2)])
    np.testing.assert_allclose(np.exp(found), [(3 * 0.8 + 0.2) / 4, (3 * 0.9 + 1) / 4])


def test_a_model_that_ended_a_text_without_saying_how_sure_it_was_says_nothing_of_the_end() -> None:
    unsaid = Completion(" a", (math.log(0.5),), ((0, 2),), finished=True)
    found = heard_of(targets_of(" a", (1.0, unsaid)), [(0, 2), (2, 2)])
    np.testing.assert_allclose(np.exp(found), [0.5, 1.0])


@pytest.mark.parametrize(
    "completion", [Completion(" ", (), (), finished=False), Completion(" ", (-1.0,), ((1, 1),), True)]
)
def test_an_empty_text_has_at_most_an_end(completion: Completion) -> None:
    found = heard_of(targets_of(" ", (1.0, completion)), [(1, 1)])
    assert found.tolist() == ([-1.0] if completion.finished else [0.0])


def test_texts_without_opinions_are_certain(decoder: str) -> None:
    targets = TextTargets(("a",), ("the",), (" film",), (1.0,), ("gold",))
    [line] = tokenise(targets, Renderer(load_tokenizer(decoder)), limit=None, cut=False)
    assert line["log_confidences"] == [[0.0, 0.0]]


def test_texts_of_one_row_are_one_line_and_their_batch_is_padded(decoder: str) -> None:
    texts = (" very good", " bad", " no")
    targets = TextTargets(("a", "a", "b"), ("the film",) * 3, texts, (0.5, 0.5, 1.0), ("weak",) * 3)
    lines = tokenise(targets, Renderer(load_tokenizer(decoder)), limit=None, cut=False)
    assert [len(line["input_ids"]) for line in lines] == [2, 1]
    batch = collate(lines)
    assert batch["input_ids"].shape == (2, 2, 5)
    assert batch["attention_mask"].sum(-1).tolist() == [[5, 4], [4, 0]]
    assert batch["weights"].sum(-1).tolist() == [[1.5, 1.0], [2.0, 0.0]]


@pytest.mark.parametrize("objective", [TokenCrossEntropy(), TokenCrossEntropy(confidences=True), TokenBayesian()])
def test_several_texts_in_a_batch_have_the_losses_they_have_alone(decoder: str, objective: object) -> None:
    network, tokenizer = load_causal_lm(decoder), load_tokenizer(decoder)
    texts = (" very good", " bad", " no")
    opinions = tuple((Opinion(1.0, Completion(text, (-0.7,), ((0, len(text)),), finished=False)),) for text in texts)
    targets = TextTargets(("a", "a", "b"), ("the film",) * 3, texts, (0.5, 0.5, 1.0), ("weak",) * 3, opinions)
    losses = TokenLosses(objective)  # type: ignore[arg-type]
    together = losses(network, collate(tokenise(targets, Renderer(tokenizer), limit=None, cut=False)), 1.0)
    alone = []
    for index, text in enumerate(texts):
        single = TextTargets(("a",), ("the film",), (text,), (1.0,), ("weak",), (opinions[index],))
        alone.append(losses(network, collate(tokenise(single, Renderer(tokenizer), limit=None, cut=False)), 1.0).sum())
    sums = torch.stack([together[0, 0].sum(), together[0, 1].sum(), together[1, 0].sum()])
    torch.testing.assert_close(sums, torch.stack(alone))


def test_prompts_get_no_logits(decoder: str) -> None:
    network, tokenizer = load_causal_lm(decoder), load_tokenizer(decoder)
    seen: list[torch.Size] = []
    network.get_output_embeddings().register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    targets = targets_of(" very good", prompt="the film was not a very good film")
    TokenLosses(TokenCrossEntropy())(
        network, collate(tokenise(targets, Renderer(tokenizer), limit=None, cut=False)), 1.0
    )
    assert seen == [(3, len(tokenizer))]
    assert not network.get_output_embeddings()._forward_pre_hooks


TEXTS = (" very good", " a bad film", " no")


def judged(letters: str, decoder: str) -> TextTargets:
    """Texts of two rows, each with one or two opinions of models with different tokenizers."""
    weak = [
        LocalLanguageModel.load(folder).logprobs([("the film", text) for text in TEXTS], end=True)
        for folder in (letters, decoder)
    ]
    opinions = tuple(
        tuple(Opinion(weight, one) for weight, one in zip((3.0, 1.0), both, strict=True))[: 2 - (index == 2)]
        for index, both in enumerate(zip(*weak, strict=True))
    )
    return TextTargets(("a", "a", "b"), ("the film",) * 3, TEXTS, (0.5, 0.5, 1.0), ("weak",) * 3, opinions)


@pytest.mark.parametrize("where", ["characters", "words"])
@pytest.mark.parametrize("student", ["letters", "decoder"])
def test_the_student_s_split_in_a_batch_is_the_bridge_s(
    letters: str, decoder: str, where: Where, student: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(student)
    network, tokenizer = load_causal_lm(folder), load_tokenizer(folder)
    targets = judged(letters, decoder)
    batch = collate(tokenise(targets, Renderer(tokenizer), limit=None, cut=False, bridging=Bridging(where, "student")))
    learned = batch["weights"] > 0
    there = batch["attention_mask"].any(-1)
    logits = answer_logits(network, batch["input_ids"], batch["attention_mask"], learned)
    found = split_by_student(batch, learned, logits)[learned].split(learned[there].sum(-1).tolist())
    confidence = logits.softmax(-1).amax(-1).detach().double().numpy()
    for index, (text, log_s) in enumerate(zip(TEXTS, found, strict=True)):
        spans = encode_answer(tokenizer, text)[1]
        ends = tokenizer.eos_token_id is not None
        spans += [(len(text), len(text))] * ends
        own, confidence = confidence[: len(spans)], confidence[len(spans) :]
        wanted, mass = np.zeros(len(spans)), 0.0
        for opinion in targets.opinions[index]:
            count = len(spans) - (ends and not opinion.completion.end_scored)
            [one] = bridge_many(
                [text],
                [opinion.completion.offsets],
                [opinion.completion.logprobs],
                [spans[:count]],
                split="student",
                where=where,
                student_confidences=[own[:count]],
            )
            wanted += opinion.weight * np.exp(np.append(one.logprobs, [0.0] * (len(spans) - count)))
            mass += opinion.weight
        np.testing.assert_allclose(log_s.detach(), np.log(wanted / mass), atol=1e-5)


def test_no_gradient_flows_through_the_student_s_split(letters: str, decoder: str) -> None:
    network, tokenizer = load_causal_lm(decoder), load_tokenizer(decoder)
    objective = TokenBayesian(preset="paper")
    lines = tokenise(judged(letters, decoder), Renderer(tokenizer), limit=None, cut=False, bridging=objective.bridging)
    batch = collate(lines)
    learned = batch["weights"] > 0
    logits = answer_logits(network, batch["input_ids"], batch["attention_mask"], learned)
    assert not split_by_student(batch, learned, logits).requires_grad
    assert TokenLosses(objective)(network, batch, 1.0).requires_grad


def test_a_student_that_splits_learns_the_same_in_a_batch_as_alone(letters: str, decoder: str) -> None:
    network, tokenizer = load_causal_lm(decoder), load_tokenizer(decoder)
    objective, targets = TokenBayesian(preset="paper"), judged(letters, decoder)
    lines = tokenise(targets, Renderer(tokenizer), limit=None, cut=False, bridging=objective.bridging)
    losses = TokenLosses(objective)
    together, alone = losses(network, collate(lines), 1.0), [losses(network, collate([one]), 1.0) for one in lines]
    torch.testing.assert_close(together.sum((1, 2)), torch.stack([one.sum() for one in alone]))


def test_a_cut_text_keeps_the_opinions_on_what_is_left(letters: str, decoder: str) -> None:
    tokenizer, targets = load_tokenizer(decoder), judged(letters, decoder)
    lines = tokenise(targets, Renderer(tokenizer), limit=4, cut=True, bridging=Bridging("words", "student"))
    assert {len(one.log_s) for line in lines for heard in line["opinions"] for one in heard} == {3}
    batch = collate(lines)
    assert batch["opinions"].shape == batch["segments"].shape == (2, 2, 2, 3)


def test_texts_that_nobody_judged_are_certain_to_a_student_that_splits(letters: str, decoder: str) -> None:
    network, tokenizer = load_causal_lm(decoder), load_tokenizer(decoder)
    targets = judged(letters, decoder)
    targets = dataclasses.replace(targets, opinions=(*targets.opinions[:2], ()))
    batch = collate(
        tokenise(targets, Renderer(tokenizer), limit=None, cut=False, bridging=Bridging("words", "student"))
    )
    learned = batch["weights"] > 0
    logits = answer_logits(network, batch["input_ids"], batch["attention_mask"], learned)
    log_s = split_by_student(batch, learned, logits)
    assert (log_s[1, 0][learned[1, 0]] == 0).all()
    assert (log_s[0][learned[0]] < 0).any()
