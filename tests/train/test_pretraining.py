"""Language modelling on a task's text: encoders, decoders, fresh heads, resumed runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from outgrow.config import Pretune
from outgrow.errors import ConfigError, DataError, ModelError
from outgrow.labels import Rows
from outgrow.models.loading import load_causal_lm, load_encoder, load_masked_lm, load_tokenizer, model_identity
from outgrow.objectives import TokenCrossEntropy
from outgrow.run import Run
from outgrow.store import Store
from outgrow.train.answers import certain_line, collate
from outgrow.train.pretraining import ContinuedPretraining
from outgrow.train.text import TokenLosses
from small_experiments import FILLERS

FAST = {"num_train_epochs": 3, "learning_rate": 1e-2}


def repetitive(count: int = 96) -> Rows:
    """Every word is said twice, so that one half of a text tells the other."""
    rng = np.random.default_rng(0)
    prompts = tuple(" ".join(np.repeat(rng.choice(FILLERS, 3), 2)) for _ in range(count))
    ids = tuple(f"r{index}" for index in range(count))
    return Rows(ids, prompts, ("unlabelled",) * count, (None,) * count)


def pretuned(model: Path, store: Path, rows: Rows | None = None, *, seed: int = 0, **settings: Any) -> Path:
    pretuner = ContinuedPretraining(str(model), None, Pretune(**{"trainer": FAST, **settings}))
    return pretuner(repetitive() if rows is None else rows, Run(Store(store)), seed=seed, name="pretune")


def surprise(model: Path, rows: Rows) -> float:
    """Mean loss of a decoder per token."""
    network, tokenizer = load_causal_lm(str(model)), load_tokenizer(str(model))
    ids = [tokenizer(prompt)["input_ids"] for prompt in rows.prompts]
    batch = collate([certain_line(each) for each in ids])
    with torch.no_grad():
        losses = TokenLosses(TokenCrossEntropy())(network, batch, 1.0)
    return float((losses * batch["weights"]).sum() / batch["weights"].sum())


def weights(model: Path) -> torch.Tensor:
    return torch.cat([parameter.reshape(-1) for parameter in load_encoder(str(model)).parameters()])


def test_a_decoder_learns_the_text_of_the_task(tmp_path: Path, decoder_folder: Path) -> None:
    rows = repetitive()
    assert surprise(pretuned(decoder_folder, tmp_path), rows) < surprise(decoder_folder, rows) - 0.4


def test_an_encoder_without_a_head_gets_one_learns_and_leaves_it_behind(tmp_path: Path, encoder_folder: Path) -> None:
    folder = pretuned(encoder_folder, tmp_path)
    before, after = load_encoder(str(encoder_folder)), load_encoder(str(folder))
    assert {name for name, _ in after.named_parameters()} == {name for name, _ in before.named_parameters()}
    name = "embeddings.word_embeddings.weight"
    assert not torch.equal(dict(after.named_parameters())[name], dict(before.named_parameters())[name])
    tokenizers = [load_tokenizer(str(each)) for each in (encoder_folder, folder)]
    assert tokenizers[0]("a good plot")["input_ids"] == tokenizers[1]("a good plot")["input_ids"]


def test_a_head_that_the_folder_holds_is_used(tmp_path: Path, encoder_folder: Path) -> None:
    model = shutil.copytree(encoder_folder, tmp_path / "model")
    torch.manual_seed(7)
    whole = BertForMaskedLM(BertConfig.from_pretrained(model))
    whole.save_pretrained(model)
    torch.manual_seed(0)
    loaded = load_masked_lm(str(model))
    assert torch.equal(loaded.cls.predictions.transform.dense.weight, whole.cls.predictions.transform.dense.weight)


def test_the_same_seed_gives_the_same_model_and_another_seed_another(tmp_path: Path, encoder_folder: Path) -> None:
    one, again = (pretuned(encoder_folder, tmp_path / store) for store in ("a", "b"))
    other = pretuned(encoder_folder, tmp_path / "a", seed=1)
    assert model_identity(str(one)) == model_identity(str(again))
    assert model_identity(str(one)) != model_identity(str(other))


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_training_in_pieces_gives_the_same_model(
    tmp_path: Path, kind: str, encoder_folder: Path, decoder_folder: Path
) -> None:
    model = {"encoder": encoder_folder, "decoder": decoder_folder}[kind]
    cuts = [(16, 1), (4, 4)]
    one, other = (
        weights(
            pretuned(
                model,
                tmp_path,
                trainer={"max_steps": 4, "per_device_train_batch_size": size, "gradient_accumulation_steps": steps},
            )
        )
        for size, steps in cuts
    )
    assert not torch.allclose(one, weights(model), atol=1e-5)
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_a_killed_training_goes_on_to_the_same_model(
    tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from outgrow.train.pretraining import MaskedLosses

    whole, often = pretuned(encoder_folder, tmp_path / "whole"), {**FAST, "save_steps": 3}
    told, kept = MaskedLosses.__call__, []

    def die(self: MaskedLosses, *arguments: Any) -> Any:
        kept.append(arguments)
        if len(kept) == 10:
            raise KeyboardInterrupt
        return told(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(MaskedLosses, "__call__", die)
        with pytest.raises(KeyboardInterrupt):
            pretuned(encoder_folder, tmp_path / "killed", trainer=often)
    monkeypatch.setattr(MaskedLosses, "__call__", lambda self, *given: kept.append(given) or told(self, *given))
    kept.clear()
    again = pretuned(encoder_folder, tmp_path / "killed", trainer=often)
    assert model_identity(str(again)) == model_identity(str(whole))
    assert len(kept) < 18  # the steps of a whole training


def test_settings_that_make_no_sense_are_refused_at_once(encoder_folder: Path) -> None:
    with pytest.raises(ConfigError, match="no such field"):
        ContinuedPretraining(str(encoder_folder), None, Pretune(trainer={"epochs": 1}))


def test_an_encoder_without_a_mask_token_is_refused_at_once(tmp_path: Path, encoder_folder: Path) -> None:
    model = shutil.copytree(encoder_folder, tmp_path / "model")
    tokenizer = load_tokenizer(str(model))
    tokenizer.mask_token = None
    tokenizer.save_pretrained(model)
    with pytest.raises(ModelError, match="has no mask token"):
        ContinuedPretraining(str(model), None, Pretune())


def test_texts_of_one_token_teach_a_decoder_nothing(tmp_path: Path, decoder_folder: Path) -> None:
    rows = Rows(("a", "b"), ("film", "plot"), ("unlabelled",) * 2, (None,) * 2)
    with pytest.raises(DataError, match="no text to learn language from"):
        pretuned(decoder_folder, tmp_path, rows)
