from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from outgrow.config import Named
from outgrow.errors import ConfigError, MissingExtraError
from outgrow.models.adapters import FullFineTuning, LoRA
from outgrow.models.classifier import Encoder
from outgrow.models.loading import load_encoder
from outgrow.train.choice import load_network, new_network, predict_logits, save_network
from outgrow.train.probe import Probe


def test_full_fine_tuning_trains_everything(encoder_folder: Path) -> None:
    network = FullFineTuning().wrap(load_encoder(str(encoder_folder)))
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_lora_trains_low_rank_additions_only(encoder_folder: Path) -> None:
    pytest.importorskip("peft")
    network = LoRA(rank=2).wrap(load_encoder(str(encoder_folder)))
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained
    assert all("lora" in name and 2 in parameter.shape for name, parameter in trained.items())


def test_lora_starts_where_the_model_is(encoder_folder: Path) -> None:
    pytest.importorskip("peft")
    inputs = {"input_ids": torch.tensor([[2, 5, 6, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    plain = load_encoder(str(encoder_folder))
    with torch.inference_mode():
        before = plain(**inputs).last_hidden_state
        torch.testing.assert_close(LoRA().wrap(plain)(**inputs).last_hidden_state, before)


@pytest.mark.parametrize("targets", ["nothing-like-it", ("nor", "this")])
def test_layers_that_do_not_exist_are_refused(encoder_folder: Path, targets: str | tuple[str, ...]) -> None:
    pytest.importorskip("peft")
    with pytest.raises(ConfigError, match="LoRA does not fit the model"):
        LoRA(targets=targets).wrap(load_encoder(str(encoder_folder)))


def test_without_peft_the_install_line_is_given(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'outgrow\[peft\]'"):
        LoRA().wrap(load_encoder(str(encoder_folder)))


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0}, {"dropout": 1.0}])
def test_parameters_of_lora_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="LoRA is out of range"):
        LoRA(**wrong)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}])
def test_parameters_of_a_probe_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="probe is out of range"):
        Probe(**wrong)


@pytest.mark.parametrize("adapter", [Named(name="none"), Named.model_validate({"name": "lora", "rank": 2})])
def test_a_saved_network_comes_back_the_same_even_if_its_model_moves(
    encoder_folder: Path, tmp_path: Path, adapter: Named
) -> None:
    if adapter.name == "lora":
        pytest.importorskip("peft")
    model = tmp_path / "before"
    model.symlink_to(encoder_folder)
    network = new_network(str(model), adapter, 2, seed=0)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    save_network(network, tmp_path / "saved", model=str(model), adapter=adapter)
    model.rename(tmp_path / "after")
    back = load_network(tmp_path / "saved", model=str(tmp_path / "after"))
    encoder = Encoder.load(str(encoder_folder), load_encoder(str(encoder_folder)), max_length=None)
    texts = ["the film was good", "bad plot"]
    torch.testing.assert_close(predict_logits(back, encoder, texts), predict_logits(network, encoder, texts))


def test_a_saved_lora_is_small(encoder_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    adapter = Named.model_validate({"name": "lora", "rank": 1})
    save_network(new_network(str(encoder_folder), adapter, 2, seed=0), tmp_path, model="m", adapter=adapter)
    from safetensors.torch import load_file

    assert all("lora" in name or name.startswith("head.") for name in load_file(tmp_path / "weights.safetensors"))
