"""Texts packed behind one copy of their prompt, against the same texts read apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from outgrow.models.adapters import LoRA
from outgrow.train.packing import pack, pays, reads_packed
from outgrow.train.text import answer_logits

TOKENS = 40
SMALL = {"vocab_size": TOKENS, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
GATED = {**SMALL, "intermediate_size": 24, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64}
WINDOWED = {**GATED, "sliding_window": 40}
CONFIGS: dict[str, Any] = {
    "llama": tf.LlamaConfig(**GATED),
    "mistral": tf.MistralConfig(**WINDOWED),
    "qwen3": tf.Qwen3Config(**GATED),
    "gemma3": tf.Gemma3TextConfig(**WINDOWED),
    "gpt2": tf.GPT2Config(vocab_size=TOKENS, n_embd=16, n_layer=2, n_head=2, n_positions=64),
    "opt": tf.OPTConfig(**SMALL, ffn_dim=24, max_position_embeddings=64, word_embed_proj_dim=16, pad_token_id=1),
    "pythia": tf.GPTNeoXConfig(**SMALL, intermediate_size=24, max_position_embeddings=64),
}
ROWS = [
    [[5, 6, 7, 8, 9, 10, 20, 21, 22], [5, 6, 7, 8, 9, 10, 20, 23], [5, 6, 7, 8, 9, 10, 24, 25, 26, 27]],
    [[11, 12, 13, 14, 15, 16, 17, 30], [11, 12, 13, 14, 15, 16, 17, 31, 32]],
]


def model_of(name: str, attention: str = "sdpa") -> Any:
    torch.manual_seed(0)
    model = tf.AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation=attention)
    return model.eval()


def batch_of(rows: list[list[list[int]]]) -> tuple[Tensor, Tensor]:
    """Tokens and mask of shape (N, M, T)."""
    texts = max(map(len, rows))
    flat = [torch.tensor(text) for row in rows for text in [*row, *[[]] * (texts - len(row))]]
    ids = pad_sequence([each.long() for each in flat], batch_first=True)
    lengths = torch.tensor([len(each) for each in flat])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    return ids.view(len(rows), texts, -1), mask.view(len(rows), texts, -1)


def apart(model: Any, ids: Tensor, mask: Tensor, learned: Tensor) -> Tensor:
    """Every text in a forward pass of its own."""
    found = []
    for text, real, wanted in zip(ids.flatten(0, 1), mask.flatten(0, 1), learned.flatten(0, 1), strict=True):
        if real.any():
            logits = model(input_ids=text[real.bool()][None]).logits[0]
            found.append(logits[: len(wanted)][wanted[: len(logits)]])
    return torch.cat(found)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", CONFIGS)
def test_packed_texts_have_the_logits_and_gradients_of_texts_read_apart(name: str, attention: str) -> None:
    model = model_of(name, attention)
    ids, mask = batch_of(ROWS)
    learned = mask[..., 1:].bool() & (torch.arange(ids.shape[-1] - 1) >= 4)
    assert reads_packed(model, ids.shape[-1])
    assert pays(ids, mask, pack(ids, mask))
    slopes = []
    for read in (answer_logits, apart):
        model.zero_grad()
        logits = read(model, ids, mask, learned)
        logits.square().mean().backward()
        slopes.append([logits.detach(), *(each.grad.clone() for each in model.parameters())])
    for packed, single in zip(*slopes, strict=True):
        torch.testing.assert_close(packed, single, rtol=1e-4, atol=1e-5)


def test_an_adapter_reads_packed_texts_too() -> None:
    model = LoRA(rank=2).wrap(model_of("llama"))
    ids, mask = batch_of(ROWS)
    learned = mask[..., 1:].bool()
    assert reads_packed(model, ids.shape[-1])
    torch.testing.assert_close(
        answer_logits(model, ids, mask, learned), apart(model, ids, mask, learned), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "config",
    [
        tf.MambaConfig(vocab_size=TOKENS, hidden_size=16, num_hidden_layers=1, state_size=4),
        tf.BloomConfig(vocab_size=TOKENS, hidden_size=16, n_layer=1, n_head=2),
        tf.MistralConfig(**{**WINDOWED, "sliding_window": 4}),
    ],
    ids=["a state", "distances in tokens", "a narrow window"],
)
def test_models_that_would_mix_packed_texts_read_them_apart(config: Any) -> None:
    torch.manual_seed(0)
    model = tf.AutoModelForCausalLM.from_config(config).eval()
    ids, mask = batch_of(ROWS)
    learned = mask[..., 1:].bool()
    assert not reads_packed(model, ids.shape[-1])
    torch.testing.assert_close(
        answer_logits(model, ids, mask, learned), apart(model, ids, mask, learned), rtol=1e-4, atol=1e-5
    )


token = st.integers(1, 3)
row = st.lists(st.lists(token, min_size=1, max_size=6), min_size=1, max_size=3)


@settings(max_examples=200)
@given(st.lists(row, min_size=1, max_size=3))
def test_every_token_of_every_text_sees_just_its_own_text_up_to_itself(rows: list[list[list[int]]]) -> None:
    ids, mask = batch_of(rows)
    packed = pack(ids, mask)
    visible = packed.visible()
    for n, texts in enumerate(rows):
        shared = next(
            (t for t, each in enumerate(zip(*texts, strict=False)) if len(set(each)) > 1), min(map(len, texts))
        )
        assert (packed.segments[n] >= 0).sum() == shared + sum(len(text) - shared for text in texts)
        for m, text in enumerate(texts):
            places = packed.places[n, m, : len(text)].tolist()
            assert packed.ids[n, places].tolist() == text
            assert packed.positions[n, places].tolist() == list(range(len(text)))
            for t, place in enumerate(places):
                assert set(visible[n, 0, place].nonzero().flatten().tolist()) == set(places[: t + 1])


def test_texts_with_nothing_in_common_are_not_packed() -> None:
    ids, mask = batch_of([[[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]])
    assert not pays(ids, mask, pack(ids, mask))
