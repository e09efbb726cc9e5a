"""Texts that begin alike: how they are cut into batches, and that reading their beginning once changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outgrow.models.causal import LEAST_SHARE, LEAST_TOKENS, batches
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from tiny_models import WORDS, letter_decoder, make_decoder

TOKENS = st.lists(
    st.tuples(st.sampled_from([(), (1,) * 20, (1,) * 19 + (2,), (3,) * 40]), st.lists(st.integers(0, 3), max_size=30)),
    min_size=1,
    max_size=24,
).map(lambda pairs: [[*block, *rest, 9] for block, rest in pairs])


@given(sequences=TOKENS, size=st.integers(1, 8))
def test_every_text_is_in_one_batch_and_what_is_shared_is_shared(sequences, size):
    cut = list(batches(sequences, size))
    assert sorted(index for batch in cut for index in batch.members) == list(range(len(sequences)))
    for batch in cut:
        assert 0 < len(batch.members) <= size
        own = [sequences[index] for index in batch.members]
        assert len({tuple(tokens[: batch.shared]) for tokens in own}) == 1
        if batch.shared:
            assert batch.shared >= LEAST_TOKENS
            assert all(LEAST_SHARE * len(tokens) <= batch.shared < len(tokens) for tokens in own)


def test_blocks_of_questions_are_found_among_others():
    blocks = [[10 + block] * 40 for block in range(3)]
    sequences = [[*blocks[index % 3], 100 + index] for index in range(24)] + [[7, 8]]
    cut = list(batches(sequences, 8))
    assert sorted(batch.shared for batch in cut) == [0, 40, 40, 40]
    assert sorted(len(batch.members) for batch in cut) == [1, 8, 8, 8]


def test_samples_of_one_prompt_do_not_make_small_batches():
    sequences = [[index] * 40 for index in range(8) for _ in range(5)]
    assert [len(batch.members) for batch in batches(sequences, 20)] == [20, 20]


def prompts_of(count: int, seed: int = 0) -> list[str]:
    """Questions of different lengths behind two blocks, and a few without one."""
    rng = np.random.default_rng(seed)
    blocks = [" ".join(rng.choice(WORDS, 24)) for _ in range(2)]
    questions = [" ".join(rng.choice(WORDS, 1 + index % 5)) for index in range(count)]
    return [f"{blocks[index % 2]} {text}" if index % 7 else text for index, text in enumerate(questions)]


@pytest.fixture(scope="module", params=[make_decoder, letter_decoder])
def model(request, tmp_path_factory) -> LocalLanguageModel:
    folder: Path = tmp_path_factory.mktemp("model")
    if request.param is make_decoder:
        return LocalLanguageModel.load(make_decoder(folder, context=64), batch_size=8)
    return LocalLanguageModel.load(letter_decoder(folder), batch_size=8)


def prompts_for(model: LocalLanguageModel) -> list[str]:
    prompts = prompts_of(24)
    return prompts if model.context == 64 and "the" in model.tokenizer.get_vocab() else [one[:48] for one in prompts]


@pytest.mark.parametrize("options", [GenerateOptions(6), GenerateOptions(6, beams=2, n=2),
                                     GenerateOptions(6, temperature=1.0, n=3)])  # fmt: skip
def test_texts_are_those_of_prompts_read_one_by_one(model, options):
    prompts = prompts_for(model)
    single = LocalLanguageModel(model.model, model.tokenizer, name="single", batch_size=1)
    for shared, alone in zip(model.generate(prompts, options), single.generate(prompts, options), strict=True):
        assert [one.text for one in shared] == [one.text for one in alone]
        for mine, theirs in zip(shared, alone, strict=True):
            np.testing.assert_allclose(mine.logprobs, theirs.logprobs, atol=1e-5)


def test_scores_are_those_of_pairs_read_one_by_one(model):
    pairs = [(prompt, text) for prompt in prompts_for(model) for text in (" good", " very bad", "")]
    single = LocalLanguageModel(model.model, model.tokenizer, name="single", batch_size=1)
    for shared, alone in zip(model.logprobs(pairs, end=True), single.logprobs(pairs, end=True), strict=True):
        np.testing.assert_allclose(shared.logprobs, alone.logprobs, atol=1e-5)


def test_a_beginning_is_computed_once_however_many_batches_it_takes(tmp_path):
    model = LocalLanguageModel.load(make_decoder(tmp_path / "model", context=64), batch_size=4)
    block = " ".join(WORDS[:6] * 4)
    read: list[int] = []
    forward = model.model.forward

    def counting(*args, **inputs):
        read.append(inputs["input_ids"].numel())
        return forward(*args, **inputs)

    model.model.forward = counting
    model.logprobs([(f"{block} {word}", " good") for word in WORDS])
    assert read[0] == 24
    assert sum(read[1:]) == 2 * len(WORDS)


def test_what_was_read_before_the_weights_changed_is_forgotten(tmp_path):
    model = LocalLanguageModel.load(make_decoder(tmp_path / "model", context=64), batch_size=8)
    pairs = [(" ".join(WORDS[:6] * 4) + f" {word}", " good") for word in WORDS]
    model.logprobs(pairs)
    with torch.no_grad():
        for weights in model.model.parameters():
            weights.mul_(1.5)
    single = LocalLanguageModel(model.model, model.tokenizer, name="single", batch_size=1)
    for shared, alone in zip(model.logprobs(pairs), single.logprobs(pairs), strict=True):
        np.testing.assert_allclose(shared.logprobs, alone.logprobs, atol=1e-5)


def test_a_cache_that_is_more_than_keys_and_values_is_not_shared(tmp_path):
    model = LocalLanguageModel.load(make_decoder(tmp_path / "model", context=64), batch_size=8)
    model.model.config.sliding_window = 8
    model.model.config.layer_types = ["sliding_attention"] * 2
    single = LocalLanguageModel(model.model, model.tokenizer, name="single", batch_size=1)
    prompts = [" ".join(WORDS[:6] * 4) + f" {word}" for word in WORDS]
    with model._network.inference():
        assert model._network.prefix([[2] * 20, [2] * 20], 16) is None
    shared, alone = (one.generate(prompts, GenerateOptions(4)) for one in (model, single))
    assert [one.text for [one] in shared] == [one.text for [one] in alone]
