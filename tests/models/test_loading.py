from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import RobertaConfig, RobertaModel

from outgrow.errors import ModelError
from outgrow.models.loading import (
    check_model,
    context_length,
    has_chat_template,
    is_masked_lm,
    load_causal_lm,
    load_encoder,
    load_masked_lm,
    load_tokenizer,
    model_identity,
    short_name,
)


@pytest.fixture
def copied(encoder_folder: Path, tmp_path: Path) -> Path:
    """A copy of the encoder to be spoiled."""
    return Path(shutil.copytree(encoder_folder, tmp_path / "copy"))


def set_config(folder: Path, **changed: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))


def test_a_half_precision_checkpoint_is_loaded_in_fp32(encoder_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(encoder_folder, tmp_path / "half")
    weights = load_file(tmp_path / "half/model.safetensors")
    halves = {name: weight.bfloat16() for name, weight in weights.items()}
    save_file(halves, tmp_path / "half/model.safetensors", metadata={"format": "pt"})
    set_config(tmp_path / "half", dtype="bfloat16")
    assert {parameter.dtype for parameter in load_encoder(str(tmp_path / "half")).parameters()} == {torch.float32}


def test_models_come_ready_to_answer_not_to_train(encoder_folder: Path, decoder_folder: Path) -> None:
    assert not load_encoder(str(encoder_folder)).training
    assert not load_causal_lm(str(decoder_folder)).training


def test_a_causal_model_can_be_loaded_without_its_head(decoder_folder: Path) -> None:
    assert not any("lm_head" in name for name, _ in load_encoder(str(decoder_folder)).named_parameters())


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_pickled_weights_are_refused_unread(copied: Path, name: str) -> None:
    (copied / "model.safetensors").rename(copied / name)
    with pytest.raises(ModelError, match=rf"pickled weights only(.|\n)*{name}(.|\n)*Convert them"):
        load_encoder(str(copied))


def test_a_folder_without_weights_is_said(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no weights(.|\n)*wanted: \*.safetensors"):
        load_encoder(str(copied))


def test_a_folder_that_is_no_model_shows_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ModelError, match=r"is not a model folder(.|\n)*found:  notes.txt"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("model", ["/nowhere/model", "../x/y", "a/b/c"])
def test_a_missing_folder_is_said(model: str) -> None:
    for ask in (check_model, load_encoder, load_tokenizer, model_identity):
        with pytest.raises(ModelError, match="There is no model folder"):
            ask(model)


@pytest.mark.parametrize("model", ["nobody/nothing", "nothing-of-that-name"])
def test_a_hub_model_that_cannot_be_had_is_said(model: str) -> None:
    for ask in (load_encoder, load_tokenizer, model_identity):
        with pytest.raises(ModelError, match=r"neither a folder nor available from the hub(.|\n)*Check the name"):
            ask(model)


def test_damaged_weights_are_said(copied: Path) -> None:
    (copied / "model.safetensors").write_bytes((copied / "model.safetensors").read_bytes()[:500])
    with pytest.raises(ModelError, match=r"weights in .* cannot be read"):
        load_encoder(str(copied))


@pytest.mark.parametrize("text", ["{", "{}", '{"model_type": "nonsense"}'])
def test_a_damaged_configuration_is_said(copied: Path, text: str) -> None:
    (copied / "config.json").write_text(text)
    for ask in (load_encoder, is_masked_lm):
        with pytest.raises(ModelError, match="cannot be read"):
            ask(str(copied))


def test_weights_of_other_shapes_are_said(copied: Path) -> None:
    set_config(copied, hidden_size=32)
    with pytest.raises(ModelError, match="cannot be read"):
        load_encoder(str(copied))


def test_weights_of_another_model_are_not_replaced_by_random_ones(copied: Path, decoder_folder: Path) -> None:
    shutil.copy(decoder_folder / "model.safetensors", copied / "model.safetensors")
    with pytest.raises(ModelError, match=r"not those of the model(.|\n)*no weights for \d+ parameters"):
        load_encoder(str(copied))


def test_missing_layers_are_not_replaced_by_random_ones(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "layer.1" not in name}
    save_file(kept, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"such as encoder.layer.1"):
        load_encoder(str(copied))
    with pytest.raises(ModelError, match=r"such as bert.encoder.layer.1"):
        load_masked_lm(str(copied))


def test_a_pooler_may_be_missing(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "pooler" not in name}
    assert len(kept) < len(weights)
    save_file(kept, copied / "model.safetensors", metadata={"format": "pt"})
    load_encoder(str(copied))


def test_the_configuration_says_from_what_a_model_learns_language(
    encoder_folder: Path, decoder_folder: Path, copied: Path
) -> None:
    assert is_masked_lm(str(encoder_folder))
    assert not is_masked_lm(str(decoder_folder))
    set_config(copied, is_decoder=True)
    assert not is_masked_lm(str(copied))


def test_a_folder_without_tokenizer_is_said(copied: Path) -> None:
    """Without a check BERT would get a tokenizer that knows no word."""
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (copied / name).unlink()
    with pytest.raises(ModelError, match="has no tokenizer"):
        load_tokenizer(str(copied))


def test_a_damaged_tokenizer_is_said(copied: Path) -> None:
    (copied / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer in .* cannot be read"):
        load_tokenizer(str(copied))


def test_a_model_is_the_same_wherever_it_lies(encoder_folder: Path, copied: Path) -> None:
    assert model_identity(str(copied)) == model_identity(str(encoder_folder))


def test_a_model_is_another_when_its_weights_change_in_place(copied: Path) -> None:
    before = model_identity(str(copied))
    weights = load_file(copied / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] += 1
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    assert model_identity(str(copied)) != before


def test_hidden_files_are_no_part_of_a_model(copied: Path) -> None:
    before = model_identity(str(copied))
    (copied / ".gitattributes").write_text("")
    assert model_identity(str(copied)) == before


def test_positions_that_roberta_reserves_cannot_be_used() -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=20, max_position_embeddings=34, pad_token_id=1, **sizes)
    network = RobertaModel(config).eval()
    limit = context_length(network)
    assert limit == 32
    network(input_ids=torch.full((1, limit), 5))
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        network(input_ids=torch.full((1, limit + 1), 5))


def test_the_context_of_bert_is_all_its_positions(encoder_folder: Path) -> None:
    assert context_length(load_encoder(str(encoder_folder))) == 32


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("EleutherAI/pythia-160m", "pythia-160m"),
        ("/weights/minilm/model", "minilm"),
        ("gpt2", "gpt2"),
        ("model", "model"),
    ],
)
def test_a_name_for_tables_is_the_part_that_says_something(model: str, name: str) -> None:
    assert short_name(model) == name


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({"num_hidden_layers": 2**31}, "MODEL_PARTS"),
        ({"inner": [{"num_experts": 10**6}]}, "MODEL_PARTS"),
        ({"hidden_size": 2**64}, "MODEL_SIZE"),
        ({"vocab_size": 10**400}, "MODEL_SIZE"),
    ],
)
def test_a_configuration_whose_network_could_not_be_built_is_refused_at_once(
    copied: Path, changes: dict[str, object], bound: str
) -> None:
    about = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**about, **changes}))
    with pytest.raises(ModelError, match=bound):
        load_encoder(str(copied))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "9" * 5000, '{"a": 1'])
def test_a_file_of_a_model_that_is_no_json_object_is_said(copied: Path, name: str, text: str) -> None:
    (copied / name).write_text(text)
    with pytest.raises(ModelError, match="cannot be read"):
        load_encoder(str(copied)) if name == "config.json" else has_chat_template(str(copied))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tokenizer_config.json", {"model_max_length": "many"}),
        ("tokenizer.json", {"padding": {"strategy": {"Fixed": 10**12}, "direction": "Right", "pad_id": 0}}),
        ("tokenizer.json", {"model": 3}),
        ("tokenizer.json", {"added_tokens": [None]}),
    ],
)
def test_a_tokenizer_that_reads_no_text_is_said(copied: Path, name: str, changes: dict[str, object]) -> None:
    about = json.loads((copied / name).read_text())
    (copied / name).write_text(json.dumps({**about, **changes}))
    with pytest.raises(ModelError, match="tokenizer"):
        load_tokenizer(str(copied))
