from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

from outgrow.errors import DataError
from outgrow.models.classifier import ChoiceNetwork, Encoder, default_pooling, embed, load_choice_network, pool
from outgrow.models.loading import load_encoder, load_tokenizer
from outgrow.train.choice import predict_logits
from tiny_models import WORDS

TEXTS = [
    "the film was good",
    "bad",
    "a plot with heart",
    "no",
    "the the the the the film was not very good",
    "very bad",
]


def opinionated(network: ChoiceNetwork) -> ChoiceNetwork:
    """The network with a head that is no longer zero."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.nn.init.normal_(network.head.weight)
    return network


@pytest.fixture(params=["encoder_folder", "decoder_folder"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@given(st.integers(0, 3), st.integers(0, 3), st.integers(1, 4), st.sampled_from(["mean", "last"]))
def test_pooling_does_not_see_padding_on_either_side(left: int, right: int, length: int, pooling: str) -> None:
    states = torch.arange(1.0, length + 1).reshape(1, length, 1)
    noise = torch.full((1, 1, 1), 99.0)
    hidden = torch.cat([noise.expand(1, left, 1), states, noise.expand(1, right, 1)], dim=1)
    mask = torch.tensor([[0] * left + [1] * length + [0] * right])
    expected = states.mean() if pooling == "mean" else states[0, -1, 0]
    torch.testing.assert_close(pool(hidden, mask, pooling).squeeze(), expected)


def test_an_encoder_is_pooled_over_all_tokens_and_a_decoder_at_the_last(
    encoder_folder: Path, decoder_folder: Path
) -> None:
    assert default_pooling(load_encoder(str(encoder_folder))) == "mean"
    assert default_pooling(load_encoder(str(decoder_folder))) == "last"


def test_a_fresh_head_thinks_every_class_equally_likely(model: str) -> None:
    network = load_choice_network(model, 3, seed=0)
    logits = predict_logits(network, Encoder.load(model, network.backbone, max_length=None), TEXTS)
    assert torch.equal(torch.softmax(logits, dim=-1), torch.full((len(TEXTS), 3), 1 / 3))


@pytest.mark.parametrize("batch_size", [1, 2, 6])
def test_logits_do_not_depend_on_the_batch_a_text_is_in(model: str, batch_size: int) -> None:
    network = opinionated(load_choice_network(model, 2, seed=0))
    encoder = Encoder.load(model, network.backbone, max_length=None)
    together = predict_logits(network, encoder, TEXTS, batch_size=32)
    torch.testing.assert_close(
        predict_logits(network, encoder, TEXTS, batch_size=batch_size), together, atol=1e-5, rtol=0
    )
    assert together.std(dim=0).min() > 1e-3


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("token", ["good", "the", "film"])
def test_logits_do_not_depend_on_padding_side_or_padding_token(model: str, side: str, token: str) -> None:
    """Methods §10: padding inferred from a token that is a real one."""
    network = opinionated(load_choice_network(model, 2, seed=0))
    alone = predict_logits(network, Encoder.load(model, network.backbone, max_length=None), TEXTS, batch_size=1)
    tokenizer = load_tokenizer(model)
    tokenizer.padding_side = side
    tokenizer.pad_token = token
    padded = predict_logits(network, Encoder(tokenizer, limit=None), TEXTS, batch_size=6)
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=0)


def test_a_padding_token_of_id_zero_that_is_a_real_word_is_no_padding() -> None:
    vocabulary = {word: index for index, word in enumerate([*WORDS, "<unk>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=WORDS[0], padding_side="left")
    assert made.pad_token_id == 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = GPT2Model(GPT2Config(vocab_size=13, n_embd=16, n_layer=2, n_head=2, n_positions=32)).eval()
    network = opinionated(ChoiceNetwork(backbone, 2))
    encoder = Encoder(made, limit=32)
    ending_in_zero = ["film was the", "film was the the", "film was"]
    alone = predict_logits(network, encoder, ending_in_zero, batch_size=1)
    torch.testing.assert_close(predict_logits(network, encoder, ending_in_zero, batch_size=3), alone, atol=1e-5, rtol=0)
    assert (alone[0] - alone[1]).abs().max() > 1e-4
    assert (alone[0] - alone[2]).abs().max() > 1e-4


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_a_batch_padded_by_hand_on_either_side_gives_the_same_states(model: str, padding_side: str) -> None:
    backbone, tokenizer = load_encoder(model), load_tokenizer(model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    with torch.inference_mode():
        padded = embed(backbone, tokenizer(TEXTS, padding=True, padding_side=padding_side, return_tensors="pt"), "last")
        alone = [embed(backbone, tokenizer([text], return_tensors="pt"), "last") for text in TEXTS]
    torch.testing.assert_close(padded, torch.cat(alone), atol=1e-5, rtol=0)


def test_a_tokenizer_without_padding_token_can_still_make_batches(decoder_folder: Path) -> None:
    tokenizer = load_tokenizer(str(decoder_folder))
    assert tokenizer.pad_token is None
    encoder = Encoder(tokenizer, limit=None)
    batch = encoder.batch(encoder.tokenise(["no", "the film was bad"]))
    assert batch["attention_mask"].tolist() == [[1, 0, 0, 0], [1, 1, 1, 1]]


def test_a_text_longer_than_the_model_is_refused_and_shown(model: str) -> None:
    encoder = Encoder.load(model, load_encoder(model), max_length=None)
    with pytest.raises(
        DataError, match=r"1 prompt\(s\) are longer(.|\n)*'good good(.|\n)*at most 32 tokens"
    ) as refused:
        encoder.tokenise(["bad", "good " * 40])
    assert "Set max_length: 32" in str(refused.value)


def test_a_text_as_long_as_the_model_passes(decoder_folder: Path) -> None:
    encoder = Encoder.load(str(decoder_folder), load_encoder(str(decoder_folder)), max_length=None)
    assert len(encoder.tokenise(["good " * 32])[0]["input_ids"]) == 32


@pytest.mark.parametrize(("max_length", "left"), [(8, 8), (1000, 32)])
def test_a_limit_cuts_texts_to_it_or_to_the_model(model: str, max_length: int, left: int) -> None:
    encoder = Encoder.load(model, load_encoder(model), max_length=max_length)
    assert len(encoder.tokenise(["good " * 40])[0]["input_ids"]) == left


def test_a_text_without_tokens_is_refused(decoder_folder: Path) -> None:
    encoder = Encoder.load(str(decoder_folder), load_encoder(str(decoder_folder)), max_length=None)
    with pytest.raises(DataError, match=r"1 prompt\(s\) have no tokens"):
        encoder.tokenise(["good", " "])
