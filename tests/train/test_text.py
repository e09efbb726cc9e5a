"""Supervised fine-tuning on texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from outgrow.config import Named
from outgrow.errors import ConfigError, DataError
from outgrow.labels import TextTargets
from outgrow.models.loading import load_causal_lm, load_tokenizer
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.models.rendering import Renderer
from outgrow.objectives import TokenCrossEntropy
from outgrow.run import Run
from outgrow.store import Store
from outgrow.train.answers import collate, tokenise
from outgrow.train.preference import PreferenceLearner
from outgrow.train.text import TextLearner, TokenLosses
from tiny_models import make_decoder

CROSS_ENTROPY = Named(name="cross_entropy")
WHOLE = Named(name="none")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_decoder(tmp_path_factory.mktemp("models") / "decoder"))


def targets_of(*pairs: tuple[str, str], weight: float = 1.0) -> TextTargets:
    count = len(pairs)
    prompts, texts = zip(*pairs, strict=True)
    return TextTargets(tuple(map(str, range(count))), prompts, texts, (weight,) * count, ("weak",) * count)


def test_only_the_tokens_of_the_answer_and_its_end_are_learned(decoder: str) -> None:
    [row] = tokenise(
        targets_of(("the film was", " very good"), weight=0.5), Renderer(load_tokenizer(decoder)), limit=32, cut=False
    )
    assert row["weights"] == [[0.0, 0.0, 0.5, 0.5, 0.5]]
    assert row["input_ids"][0][-1] == load_tokenizer(decoder).eos_token_id


def test_the_loss_of_a_batch_is_the_negative_log_probability_of_each_answer(decoder: str) -> None:
    pairs = (("the film was", " very good"), ("a plot", " bad"))
    network, tokenizer = load_causal_lm(decoder), load_tokenizer(decoder)
    batch = collate(tokenise(targets_of(*pairs), Renderer(tokenizer), limit=32, cut=False))
    losses = TokenLosses(TokenCrossEntropy())(network, batch, 1.0)
    scored = LocalLanguageModel(network, tokenizer, name="tiny").logprobs(pairs)
    end = tokenizer.eos_token_id
    for row, one in enumerate(scored):
        answer = losses[row][batch["weights"][row] > 0]
        assert answer[:-1].tolist() == pytest.approx([-logprob for logprob in one.logprobs], abs=1e-5)
        ids = batch["input_ids"][row][batch["attention_mask"][row].bool()]
        logits = network(ids[None]).logits[0, -2]
        assert answer[-1].item() == pytest.approx(-torch.log_softmax(logits, -1)[end].item(), abs=1e-5)


def test_padding_may_be_any_token_and_changes_nothing(decoder: str) -> None:
    network, tokenizer = load_causal_lm(decoder), load_tokenizer(decoder)
    rows = tokenise(
        targets_of(("the film was", " very good no"), ("a", " bad")), Renderer(tokenizer), limit=32, cut=False
    )
    together, alone = collate(rows), collate(rows[1:])
    losses = TokenLosses(TokenCrossEntropy())
    padded, bare = losses(network, together, 1.0)[1, 0], losses(network, alone, 1.0)[0, 0]
    torch.testing.assert_close(padded[: len(bare)], bare)
    together["input_ids"][together["attention_mask"] == 0] = 5
    torch.testing.assert_close(losses(network, together, 1.0)[1, 0], padded)


def test_lora_trains_faster_and_longer_than_all_weights_unless_told_otherwise(decoder: str) -> None:
    pytest.importorskip("peft")
    lora = Named(name="lora")
    rates = {
        name: (made.learning_rate, made.num_train_epochs)
        for name, learner in {
            "all": TextLearner(decoder, WHOLE),
            "lora": TextLearner(decoder, lora),
            "told": TextLearner(decoder, lora, trainer={"learning_rate": 2e-4}),
            "preference": PreferenceLearner(decoder, lora),
        }.items()
        for made in [learner.arguments(Path("unused"), seed=0)]
    }
    assert rates == {"all": (5e-5, 2), "lora": (1e-4, 3), "told": (2e-4, 3), "preference": (5e-6, 1)}


@pytest.mark.parametrize("adapter", [WHOLE, Named.model_validate({"name": "lora", "rank": 8, "alpha": 64})])
def test_a_student_learns_what_it_is_taught_and_is_a_model_folder_like_any_other(
    decoder: str, tmp_path: Path, adapter: Named
) -> None:
    learner = TextLearner(decoder, adapter, trainer={"num_train_epochs": 60, "learning_rate": 2e-2})
    targets = targets_of(("the film was", " very good"), ("the plot was", " not bad"))
    trained = learner.train(targets, CROSS_ENTROPY, Run(Store(tmp_path)), seed=0, name="train")
    model = LocalLanguageModel.load(trained.path / "model")
    answers = model.generate(["the film was", "the plot was"], GenerateOptions(max_new_tokens=5))
    assert [one.text.strip() for [one] in answers] == ["very good", "not bad"]
    assert all(one.finished for [one] in answers)


def test_an_objective_of_choice_tasks_is_refused(decoder: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'confidence' is for choice tasks"):
        TextLearner(decoder, WHOLE).train(
            targets_of(("a", " b")), Named(name="confidence"), Run(Store(tmp_path)), seed=0, name="train"
        )


def test_a_probe_of_a_text_task_is_refused(decoder: str) -> None:
    with pytest.raises(ConfigError, match="'probe' cannot be used to train a language model"):
        TextLearner(decoder, Named(name="probe"))


def test_a_training_text_that_is_too_long_is_an_error_unless_it_may_be_cut(decoder: str) -> None:
    tokenizer, targets = load_tokenizer(decoder), targets_of(("the film was", " very good" * 20))
    with pytest.raises(DataError, match="longer than the model can read"):
        tokenise(targets, Renderer(tokenizer), limit=32, cut=False)
    [row] = tokenise(targets, Renderer(tokenizer), limit=32, cut=True)
    assert len(row["input_ids"][0]) == 32
    assert len(row["weights"][0]) == len(row["log_confidences"][0]) == 31
    with pytest.raises(DataError, match="longer than the model can read"):
        tokenise(targets_of(("the film was " * 20, " good")), Renderer(tokenizer), limit=32, cut=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_train_epochs": "many"}, "num_train_epochs has a value of the wrong kind"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size is not positive"),
        ({"learning_rat": 1}, "did you mean 'learning_rate'"),
    ],
)
def test_wrong_trainer_settings_are_refused_when_the_learner_is_made(
    decoder: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        TextLearner(decoder, WHOLE, trainer=settings)
