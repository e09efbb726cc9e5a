"""Beam search against exhaustive search and transformers, on tiny random models."""

from __future__ import annotations

import itertools

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from outgrow.errors import ConfigError
from outgrow.labels import Completion
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions

LETTERS = "abcdefghijklmnop"
PROMPTS = ["a", "abba", "", "bab", "aaaaaaaa", "ba"]
LENGTH = 6


def letters(count: int, end: bool = True, seed: int = 0, **options) -> LocalLanguageModel:
    """A random model of single letters: what is generated is tokenised into the tokens that were generated."""
    vocabulary = {letter: index for index, letter in enumerate(LETTERS[:count])}
    if end:
        vocabulary["<end>"] = count
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>" if end else None)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=32,
            initializer_range=0.4,
            bos_token_id=None,
            eos_token_id=fast.eos_token_id,
        )
        return LocalLanguageModel(LlamaForCausalLM(config), fast, name="letters", **options)


def mean(one: Completion) -> float:
    return sum(one.logprobs) / len(one.logprobs)


def every_text(model: LocalLanguageModel, prompt: str, longest: int) -> list[tuple[str, float]]:
    """All texts there are, each ended by the end token or by its length, with their means; best first."""
    known = [token for token in model.tokenizer.get_vocab() if token != "<end>"]
    ended = ["".join(one) for size in range(longest) for one in itertools.product(known, repeat=size)]
    full = ["".join(one) for one in itertools.product(known, repeat=longest)]
    scored = model.logprobs([(prompt, text) for text in ended], end=True)
    scored += model.logprobs([(prompt, text) for text in full])
    return sorted(((one.text, mean(one)) for one in scored), key=lambda pair: -pair[1])


def transformers_beams(
    model: LocalLanguageModel, prompt: str, beams: int
) -> list[tuple[list[int], float, list[float]]]:
    """Tokens, score and token log-probabilities of transformers' own n best."""
    ids = torch.tensor([model.tokenizer(prompt)["input_ids"] or [model.tokenizer.eos_token_id]])
    output = model.model.eval().generate(
        ids,
        attention_mask=torch.ones_like(ids),
        num_beams=beams,
        num_return_sequences=beams,
        do_sample=False,
        max_new_tokens=LENGTH,
        return_dict_in_generate=True,
        output_scores=True,
        pad_token_id=model.tokenizer.eos_token_id,
    )
    steps = model.model.compute_transition_scores(output.sequences, output.scores, output.beam_indices)
    lengths = (output.beam_indices >= 0).sum(1).tolist()
    return [
        (tokens[ids.shape[1] :][:length].tolist(), score, own[:length].tolist())
        for tokens, score, own, length in zip(
            output.sequences, output.sequences_scores.tolist(), steps, lengths, strict=True
        )
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("prompt", ["a", "bab"])
def test_with_room_for_all_beginnings_it_is_an_exhaustive_search(prompt: str, seed: int) -> None:
    model = letters(2, seed=seed)
    options = GenerateOptions(max_new_tokens=4, beams=64, n=10)
    [found] = model.generate([prompt], options)
    best = every_text(model, prompt, 4)[:10]
    assert [one.text for one in found] == [text for text, _ in best]
    assert [mean(one) for one in found] == pytest.approx([score for _, score in best], abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("beams", [2, 3, 5])
def test_texts_and_scores_are_those_of_transformers(beams: int, seed: int) -> None:
    model = letters(12, seed=seed)
    for prompt, found in zip(
        PROMPTS, model.generate(PROMPTS, GenerateOptions(LENGTH, beams=beams, n=beams)), strict=True
    ):
        theirs = transformers_beams(model, prompt, beams)
        assert [mean(one) for one in found] == pytest.approx([score for _, score, _ in theirs], abs=1e-5)
        for one, (tokens, _, steps) in zip(found, theirs, strict=True):
            ended = tokens[-1] == model.tokenizer.eos_token_id
            assert one.text == model.tokenizer.decode(tokens[: len(tokens) - ended])
            assert one.finished is ended
            assert one.logprobs == pytest.approx(steps, abs=1e-5)


def test_every_log_probability_belongs_to_its_own_token() -> None:
    model = letters(12)
    options = GenerateOptions(LENGTH, beams=5, n=5)
    for prompt, found in zip(PROMPTS, model.generate(PROMPTS, options), strict=True):
        again = [model.logprobs([(prompt, one.text)], end=one.finished)[0] for one in found]
        for one, scored in zip(found, again, strict=True):
            assert one.logprobs == pytest.approx(scored.logprobs, abs=1e-5)
            assert one.offsets == scored.offsets


def test_a_batch_finds_what_one_prompt_at_a_time_finds() -> None:
    options = GenerateOptions(LENGTH, beams=4, n=4)
    together = letters(12, batch_size=64).generate(PROMPTS, options)
    alone = letters(12, batch_size=1).generate(PROMPTS, options)
    for several, single in zip(together, alone, strict=True):
        assert [one.text for one in several] == [one.text for one in single]
        assert [mean(one) for one in several] == pytest.approx([mean(one) for one in single], abs=1e-5)


def test_the_n_best_are_the_first_of_all_beams_and_differ() -> None:
    model = letters(12)
    [all_five] = model.generate(["a"], GenerateOptions(LENGTH, beams=5, n=5))
    [two] = model.generate(["a"], GenerateOptions(LENGTH, beams=5, n=2))
    assert two == all_five[:2]
    assert len({one.text for one in all_five}) == 5


def test_a_model_without_an_end_token_fills_its_budget() -> None:
    [found] = letters(6, end=False).generate(["a"], GenerateOptions(LENGTH, beams=3, n=3))
    assert [(len(one.text), one.finished) for one in found] == [(LENGTH, False)] * 3


def test_a_vocabulary_smaller_than_the_beams_gives_what_there_is() -> None:
    [found] = letters(2, end=False).generate(["a"], GenerateOptions(1, beams=5, n=5))
    assert sorted(one.text for one in found) == ["a", "b"]


def test_a_stop_string_ends_a_beam_and_is_cut_off() -> None:
    model = letters(3, end=False)
    [found] = model.generate(["a"], GenerateOptions(LENGTH, beams=3, n=3, stop=("b",)))
    assert found
    assert all("b" not in one.text and len(one.logprobs) == len(one.text) for one in found)


def test_a_full_context_ends_the_beams() -> None:
    [found] = letters(6, end=False).generate(["a" * 30], GenerateOptions(LENGTH, beams=3, n=3))
    assert {len(one.text) for one in found} == {2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (GenerateOptions(beams=2, n=3), "Beam search gives at most 2 texts"),
        (GenerateOptions(beams=2, temperature=1.0), "does not sample"),
        (GenerateOptions(beams=0), "cannot run"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: GenerateOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        letters(3).generate(["a"], options)
