"""Devices, precision and memory, where possible with stand-ins for hardware that is not here."""

from __future__ import annotations

from types import SimpleNamespace

import accelerate
import pytest
import torch
from test_local import PROMPTS, assert_same, byte_tokenizer, flat, make, random_model

from outgrow.config import Local, Named
from outgrow.errors import ConfigError, MissingExtraError, ModelError
from outgrow.models.adapters import LoRA
from outgrow.models.loading import (
    device_of,
    dtype_of,
    load_causal_lm,
    load_encoder,
    model_identity,
    text_identity,
    trainable,
    weights_identity,
)
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.models.specs import LocalModel
from outgrow.train.text import TextLearner

OPTIONS = GenerateOptions(max_new_tokens=6)
PAIRS = [("Where does Mira live?", " In a tree."), ("a", " b"), ("What?", " Nothing at all."), ("äö", " ü")]


class OnlyThere:
    """A network that takes tensors of another device only; its logits come from one on the CPU."""

    def __init__(self, network) -> None:
        self.network, self.device, self.config = network, torch.device("meta"), network.config
        self.generation_config, self.training, self.seen = network.generation_config, False, 0
        self.base_model = network.base_model

    def eval(self) -> None: ...

    def train(self, mode: bool) -> None: ...

    def forward(self, input_ids, attention_mask, position_ids, logits_to_keep=0, **options): ...

    def __call__(self, input_ids, attention_mask, position_ids, logits_to_keep=0, past_key_values=None, **options):
        assert {each.device.type for each in (input_ids, attention_mask, position_ids)} == {"meta"}
        self.seen += 1
        keep = min(logits_to_keep, input_ids.shape[1])
        logits = torch.zeros(*(input_ids.shape[0], keep), self.config.vocab_size)
        cache = SimpleNamespace(reorder_cache=lambda index: None)
        return SimpleNamespace(logits=logits, past_key_values=past_key_values or cache)


def test_all_that_a_model_reads_is_on_its_device():
    tokenizer = byte_tokenizer()
    there = OnlyThere(random_model("llama", tokenizer))
    model = LocalLanguageModel(there, tokenizer, name="there")
    model.generate(["a", "What?"], OPTIONS)
    model.logprobs(PAIRS[:2])
    assert there.seen > 2


@pytest.mark.parametrize("beams", [1, 2])
def test_a_batch_that_does_not_fit_is_halved_with_the_same_answers(beams, monkeypatch):
    options = GenerateOptions(max_new_tokens=6, beams=beams)
    expected = make(batch_size=8).generate(PROMPTS, options)
    model = make(batch_size=8)
    whole = model._network.forward

    def tight(ids, *rest, **more):
        if len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return whole(ids, *rest, **more)

    monkeypatch.setattr(model._network, "forward", tight)
    assert_same(flat(model.generate(PROMPTS, options)), flat(expected))
    assert model.batch_size == 2
    assert model.notes == ["tiny runs in batches of 2: the memory is too small for more."]
    assert_same(model.logprobs(PAIRS), make().logprobs(PAIRS))


def test_a_sequence_that_never_fits_is_an_error(monkeypatch):
    model = make(batch_size=4)

    def full(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model._network, "forward", full)
    with pytest.raises(ModelError, match=r"too small for one sequence(.|\n)*device: spread"):
        model.generate(["a"], OPTIONS)


def test_a_model_whose_weights_wait_on_the_disk_scores_alike(tmp_path):
    expected = make()
    model = make()
    accelerate.disk_offload(model.model, offload_dir=tmp_path, execution_device=torch.device("cpu"))
    assert {parameter.device.type for parameter in model.model.parameters()} == {"meta"}
    assert_same(model.logprobs(PAIRS), expected.logprobs(PAIRS), tolerance=1e-4)
    assert_same(flat(model.generate(PROMPTS[:3], OPTIONS)), flat(expected.generate(PROMPTS[:3], OPTIONS)), 1e-4)


def test_a_spread_model_answers_alike(decoder_folder):
    spread, whole = (LocalLanguageModel.load(decoder_folder, local=Local(device=d)) for d in ("spread", "cpu"))
    assert_same(spread.logprobs(PAIRS[:2]), whole.logprobs(PAIRS[:2]))


def test_bfloat16_scores_are_close_to_those_of_float32(decoder_folder):
    half = LocalLanguageModel.load(decoder_folder, local=Local(dtype="bfloat16"))
    assert {parameter.dtype for parameter in half.model.parameters()} == {torch.bfloat16}
    pairs = [("the film was", " very good"), ("a", " bad")]
    for one, other in zip(half.logprobs(pairs), LocalLanguageModel.load(decoder_folder).logprobs(pairs), strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=2e-2)


def test_what_a_model_is_depends_on_precision_and_chat_but_not_on_the_device(decoder_folder):
    model = str(decoder_folder)
    plain = LocalModel(model, "m").identity
    assert plain == model_identity(model)
    assert LocalModel(model, "m", local=Local(device="cpu")).identity == plain
    assert weights_identity(model, Local(dtype="bfloat16")) != plain
    assert weights_identity(model, Local(quantization="4bit")) != plain
    assert text_identity(model, Local(chat=True)) != text_identity(model, Local(chat=True, system="x")) != plain


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(ConfigError, match=r"no device cuda:7 here(.|\n)*none of this kind(.|\n)*device: auto"):
        device_of(Local(device="cuda:7"))
    with pytest.raises(ValueError, match="a device is auto, cpu"):
        Local(device="gpu")


def test_a_gpu_without_bfloat16_computes_in_float32_and_refuses_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert (device_of(Local()).type, dtype_of(Local())) == ("cuda", torch.bfloat16)
    assert device_of(Local(device="cuda:1")).index == 1
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert dtype_of(Local()) == torch.float32
    with pytest.raises(ConfigError, match=r"does not compute in bfloat16(.|\n)*float16"):
        dtype_of(Local(dtype="bfloat16"))


def test_what_trains_is_float32_and_quantized_weights_do_not_train():
    assert trainable(Local(dtype="bfloat16"), frozen=False).dtype == "float32"
    assert trainable(Local(dtype="bfloat16"), frozen=True).dtype == "bfloat16"
    with pytest.raises(ConfigError, match=r"cannot be trained(.|\n)*adapter: lora"):
        trainable(Local(quantization="8bit"), frozen=False)


def test_quantization_names_its_package(decoder_folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"outgrow\[quantization\]"):
        load_causal_lm(str(decoder_folder), Local(quantization="4bit"))
    with pytest.raises(MissingExtraError):  # before anything is computed
        TextLearner(str(decoder_folder), Named(name="lora"), local=Local(quantization="4bit"))


def test_a_model_too_large_for_the_memory_says_what_to_do(encoder_folder, monkeypatch):
    from transformers import AutoModel

    def full(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AutoModel, "from_pretrained", full)
    with pytest.raises(ModelError, match=r"memory of the device is too small(.|\n)*device: spread"):
        load_encoder(str(encoder_folder))


@pytest.mark.filterwarnings("ignore:MatMul8bitLt")
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_quantized_weights_answer_and_train_through_lora(bits, decoder_folder):
    pytest.importorskip("bitsandbytes")
    network = load_causal_lm(str(decoder_folder), Local(quantization=bits))
    assert network.is_quantized
    wrapped = LoRA(rank=2).wrap(network)
    assert {parameter.dtype for parameter in wrapped.parameters() if parameter.requires_grad} == {torch.float32}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_the_texts_and_scores_of_the_cpu(decoder_folder):
    there, here = (
        LocalLanguageModel.load(decoder_folder, local=Local(device=device, dtype="float32"))
        for device in ("cuda", "cpu")
    )
    assert_same(flat(there.generate(PROMPTS[:2], OPTIONS)), flat(here.generate(PROMPTS[:2], OPTIONS)), 1e-4)
    assert_same(there.logprobs(PAIRS[:2]), here.logprobs(PAIRS[:2]), 1e-4)
