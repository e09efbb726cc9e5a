"""The arithmetic of models against the models themselves, and against torch's count of FLOPs."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PretrainedConfig

from outgrow.models.arithmetic import ModelShape

LLAMA = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "vocab_size": 100}
LLAMA |= {"num_attention_heads": 4, "num_key_value_heads": 2}


def decoder(*, tied: bool = False) -> LlamaConfig:
    # Without fused attention, which torch's counter does not see on a CPU.
    return LlamaConfig(**LLAMA, tie_word_embeddings=tied, attn_implementation="eager")


@pytest.mark.parametrize("tied", [False, True])
def test_parameters_are_those_of_the_model_and_the_table_counts_where_it_is_the_head(tied: bool) -> None:
    shape, model = ModelShape.of(decoder(tied=tied)), LlamaForCausalLM(decoder(tied=tied))
    assert shape.parameters == sum(one.numel() for one in model.parameters())
    assert shape.parameters - shape.multiplied == (0 if tied else 6400)


def counted(model: torch.nn.Module, *, train: bool, texts: int = 2, length: int = 24) -> int:
    with FlopCounterMode(display=False) as counter:
        output = model(input_ids=torch.ones(texts, length, dtype=torch.long))
        if train:
            (output.logits if hasattr(output, "logits") else output.last_hidden_state).sum().backward()
    return int(counter.get_total_flops())


def test_flops_of_reading_and_training_are_those_that_torch_counts() -> None:
    shape, model = ModelShape.of(decoder()), LlamaForCausalLM(decoder())
    # An eager network computes all scores, also those that the mask hides.
    assert counted(model, train=False) == pytest.approx(shape.flops(48, context=24), rel=0.02)
    assert counted(model, train=True) == pytest.approx(shape.flops(48, context=24, trains="all"), rel=0.05)


def test_an_encoder_has_no_head() -> None:
    config: PretrainedConfig = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        attn_implementation="eager",
    )  # fmt: skip
    shape, model = ModelShape.of(config, head=False), BertModel(config, add_pooling_layer=False)
    # Tables of positions and kinds are not multiplied either.
    assert counted(model, train=False) == pytest.approx(shape.flops(48, context=24), rel=0.5)


def test_the_cache_has_keys_and_values_of_the_heads_that_the_model_has_of_them() -> None:
    cache = LlamaForCausalLM(decoder())(input_ids=torch.ones(1, 10, dtype=torch.long)).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert ModelShape.of(decoder()).cache_bytes(10, bits=32) == held


def test_adam_takes_sixteen_bytes_a_parameter_and_lora_hardly_more_than_the_weights() -> None:
    shape = ModelShape.of(decoder())
    assert shape.training_bytes(0) == 16 * shape.parameters
    assert 2 * shape.parameters < shape.training_bytes(0, trains="adapter") < 2.2 * shape.parameters
