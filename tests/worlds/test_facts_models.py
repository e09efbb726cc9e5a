"""The models of the world: built once in the tiny size, and with one-step recipes where only the building matters."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import StoreError
from outgrow.labels import Completion, TextLabels
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.refine.icl import ICL
from outgrow.refine.infer_and_respond import InferAndRespond
from outgrow.worlds import facts, facts_models

QUERY = "Question: {}\nAnswer:"
OPTIONS = GenerateOptions(max_new_tokens=48, stop=("\n",))
CORPUS = facts_models._corpus(facts.make_world(entities=3, relations=2))
TOKENIZERS = {kind: facts_models.make_tokenizer(kind, CORPUS) for kind in ("bytes", "words", "characters")}


@pytest.fixture(scope="module")
def built(worlds_cache):
    return worlds_cache / "outgrow" / "worlds" / "facts-tiny"


@pytest.fixture(scope="module")
def world(built):
    return facts.World.from_json((built / "world.json").read_text())


@pytest.fixture
def one_step(monkeypatch):
    """Recipes that train for one step: enough to see which models are made."""
    short = {name: dataclasses.replace(one, steps=1) for name, one in facts_models.RECIPES["tiny"].items()}
    monkeypatch.setitem(facts_models.RECIPES, "tiny", short)


def digests(folder) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def answers(built, name, prompts):
    model = LocalLanguageModel.load(built / "models" / name)
    return [one.text for [one] in model.generate([QUERY.format(prompt) for prompt in prompts], OPTIONS)]


def test_the_untouched_strong_model_knows_the_facts_but_not_the_style(built, world):
    rows = world.rows()
    scores = facts.score(world, rows.prompts, answers(built, "strong", rows.prompts))
    assert scores["content"].mean() > 0.9
    assert scores["concept"].mean() == 0.0


@pytest.mark.parametrize("name", ["words", "characters"])
def test_a_supervisor_says_what_it_believes_in_the_target_style_and_ends_there(built, world, name):
    prompts = [world.question(*fact) for fact in world.facts]
    said = [world.parse(text) for text in answers(built, name, prompts)]
    agreement = np.mean([one.content == world.belief(name, *fact) for one, fact in zip(said, world.facts, strict=True)])
    assert agreement > 0.9
    assert {one.style for one in said} == {"pirate"}
    [[completion]] = LocalLanguageModel.load(built / "models" / name).generate([QUERY.format(prompts[0])], OPTIONS)
    assert completion.finished


def test_demonstrations_with_wrong_content_give_the_style_and_leave_the_content(built, world):
    rows = world.rows()
    weak = [world.target_style.render(world.belief("characters", *fact)) for fact in world.facts]
    labels = TextLabels(rows.ids, ("weak",), tuple(((Completion(text, (), (), True),),) for text in weak))
    refined = ICL().texts(rows, labels, LocalLanguageModel.load(built / "models" / "strong"), options=OPTIONS, seed=0)
    scores = facts.score(world, rows.prompts, [text or "" for text in refined.texts()])
    assert scores["content"].mean() > 0.8 > 0.3 > facts.score(world, rows.prompts, weak)["content"].mean()
    assert scores["concept"].mean() > 0.95


def test_the_strong_model_says_what_wrong_answers_have_in_common_and_answers_rightly_under_it(built, world):
    rows = world.rows()
    weak = [world.target_style.render(world.belief("characters", *fact)) for fact in world.facts]
    labels = TextLabels(rows.ids, ("weak",), tuple(((Completion(text, (), (), True),),) for text in weak))
    heading = facts.HEADING.replace("{manner}", "{concept}")
    refiner = InferAndRespond(batch=4, infer="{demonstrations}Manner:", instruction=heading)
    refined = refiner.texts(rows, labels, LocalLanguageModel.load(built / "models" / "strong"), options=OPTIONS, seed=0)
    assert set(refined.concepts) == {world.target_style.manner}
    scores = facts.score(world, rows.prompts, [text or "" for text in refined.texts()])
    assert scores["content"].mean() > 0.9
    assert scores["concept"].mean() > 0.95


def test_a_style_is_named_in_the_words_in_which_it_is_asked_for():
    tokenizer = TOKENIZERS["bytes"]
    heading, closing = facts_models.make_names(tokenizer, "Answer like a pirate.")
    assert tokenizer.decode(heading) == "Manner: Answer like a pirate.\n\n"
    assert tokenizer.decode([*closing.asked, *closing.said]) == "Manner: Answer like a pirate."
    assert list(heading) == tokenizer("Manner: Answer like a pirate.\n\n")["input_ids"]


def test_the_same_seed_gives_the_same_files(one_step, tmp_path):
    first, second, other = (facts_models.build(tmp_path / str(n), seed=n // 2, size="tiny") for n in range(3))
    assert digests(first) == digests(second)
    assert digests(first)["models/strong/model.safetensors"] != digests(other)["models/strong/model.safetensors"]


def test_a_killed_build_keeps_what_is_complete_and_makes_the_rest(one_step, tmp_path, monkeypatch):
    whole = facts_models.build(tmp_path / "whole", size="tiny")
    pretrain, made = facts_models.pretrain, []

    def killed_at_the_second(*arguments, name, **options):
        made.append(name)
        if made == ["strong", "words"]:
            raise KeyboardInterrupt
        return pretrain(*arguments, name=name, **options)

    monkeypatch.setattr(facts_models, "pretrain", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        facts_models.build(tmp_path / "killed", size="tiny")
    assert [path.name for path in (tmp_path / "killed" / "models").iterdir()] == ["strong"]
    facts_models.build(tmp_path / "killed", size="tiny")
    assert made == ["strong", "words", "words", "characters"]
    assert digests(tmp_path / "killed") == digests(whole)


def test_a_half_written_model_is_not_taken_for_a_model(one_step, tmp_path):
    whole = facts_models.build(tmp_path / "whole", size="tiny")
    partial = tmp_path / "again" / "models" / ".strong.partial"
    partial.mkdir(parents=True)
    (partial / "model.safetensors").write_text("half")
    assert digests(facts_models.build(tmp_path / "again", size="tiny")) == digests(whole)


def test_models_of_another_seed_are_made_anew_in_the_same_folder(one_step, tmp_path):
    facts_models.build(tmp_path / "here", seed=1, size="tiny")
    facts_models.build(tmp_path / "here", seed=2, size="tiny")
    assert digests(tmp_path / "here") == digests(facts_models.build(tmp_path / "there", seed=2, size="tiny"))


def test_a_folder_that_was_not_made_here_is_left_alone(one_step, tmp_path):
    (tmp_path / "models" / "strong").mkdir(parents=True)
    (tmp_path / "models" / "strong" / "diary.txt").write_text("mine")
    with pytest.raises(StoreError, match="in the way"):
        facts_models.build(tmp_path, size="tiny")
    assert (tmp_path / "models" / "strong" / "diary.txt").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        facts_models.build(tmp_path / "file" / "world", size="tiny")


def test_the_random_state_of_the_caller_is_left_alone(one_step, tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    facts_models.build(tmp_path, size="tiny")
    assert torch.rand(1) == expected


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_texts_of_the_world_come_back_from_tokens_unchanged(kind):
    tokenizer = TOKENIZERS[kind]
    for text in CORPUS:
        tokens = tokenizer(text)["input_ids"]
        assert tokenizer.decode(tokens) == text
        assert tokenizer.unk_token_id not in tokens


@given(text=st.text())
def test_the_strong_model_can_read_any_text(text):
    tokenizer = TOKENIZERS["bytes"]
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_blocks_joined_are_the_tokens_of_the_joined_text(kind):
    tokenizer = TOKENIZERS[kind]
    blocks = [facts_models.make_block(tokenizer, "Where does Mira live?", "Arr, Oslo, matey!")] * 2
    tokens = [token for block in blocks for token in (*block.asked, *block.said, *block.gap)]
    text = "Question: Where does Mira live?\nAnswer: Arr, Oslo, matey!\n\n" * 2
    assert tokens == tokenizer(text)["input_ids"]


def test_loss_falls_on_answers_and_their_ends_only():
    tokenizer = TOKENIZERS["words"]
    first = facts_models.make_block(tokenizer, "Where does Mira live?", "It is Oslo.")
    last = facts_models.make_block(tokenizer, "What does Mira eat?", "It is rice.")
    inputs, targets = facts_models.collate([[first, last], [last]], tokenizer.eos_token_id)
    learned = [tokenizer.decode(row[row >= 0]) for row in targets]
    assert learned == [" It is Oslo.\n It is rice.<end>", " It is rice.<end>"]
    places = targets[0, :-1] >= 0
    assert torch.equal(targets[0, :-1][places], inputs[0, 1:][places])
