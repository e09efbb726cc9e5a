"""Learning from preference pairs."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from outgrow.config import Named
from outgrow.errors import ConfigError, DataError, UnknownNameError
from outgrow.labels import PreferencePairs, TextTargets
from outgrow.models.loading import load_causal_lm, load_tokenizer
from outgrow.models.local import LocalLanguageModel
from outgrow.objectives import preference_margins
from outgrow.run import Run
from outgrow.store import Store
from outgrow.train.preference import PreferenceLearner
from outgrow.train.text import TextLearner
from tiny_models import letter_decoder, make_decoder

WHOLE = Named(name="none")
LORA = Named.model_validate({"name": "lora", "rank": 8, "alpha": 64})
LOUD = {"learning_rate": 1e-2, "num_train_epochs": 40, "lr_scheduler_type": "constant"}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_decoder(tmp_path_factory.mktemp("models") / "decoder"))


def run_in(folder: Path) -> Run:
    return Run(Store(folder))


def pairs_of(*pairs: tuple[str, str, str], p_chosen: float = 1.0) -> PreferencePairs:
    prompts, chosen, rejected = zip(*pairs, strict=True)
    count = len(pairs)
    ids = tuple(map(str, range(count)))
    return PreferencePairs(ids, prompts, chosen, rejected, (p_chosen,) * count, (1.0,) * count)


PAIRS = pairs_of(
    ("the film was", " very good", " bad"), ("a plot", " bad film", " good"), ("film", " not dull", " not bad")
)


def margins(student: str, start: str, pairs: PreferencePairs, run: Run) -> NDArray[np.float32]:
    policy, reference = (
        torch.tensor(PreferenceLearner(model, WHOLE).reference(pairs, run, name="look")) for model in (student, start)
    )
    return preference_margins(policy, reference).numpy()


def named(**settings: object) -> Named:
    return Named.model_validate(settings)


def test_the_reference_is_the_log_probability_of_each_answer_and_its_end(decoder: str, tmp_path: Path) -> None:
    found = PreferenceLearner(decoder, WHOLE, batch_size=2).reference(PAIRS, run_in(tmp_path), name="reference")
    scoring = LocalLanguageModel.load(decoder)
    for texts, column in ((PAIRS.chosen, 0), (PAIRS.rejected, 1)):
        scored = scoring.logprobs(list(zip(PAIRS.prompts, texts, strict=True)), end=True)
        assert found[:, column].tolist() == pytest.approx([sum(one.logprobs) for one in scored], rel=1e-5)


def test_a_text_that_was_cut_has_no_end(decoder: str, tmp_path: Path) -> None:
    cut = dataclasses.replace(PAIRS, rejected_ended=(False,) * 3)
    found = PreferenceLearner(decoder, WHOLE).reference(cut, run_in(tmp_path), name="reference")
    scoring = LocalLanguageModel.load(decoder)
    for texts, column, end in ((PAIRS.chosen, 0, True), (PAIRS.rejected, 1, False)):
        scored = scoring.logprobs(list(zip(PAIRS.prompts, texts, strict=True)), end=end)
        assert found[:, column].tolist() == pytest.approx([sum(one.logprobs) for one in scored], rel=1e-5)


def test_a_mismatched_answer_is_one_of_another_prompt(decoder: str, tmp_path: Path) -> None:
    found = PreferenceLearner(decoder, WHOLE).reference(PAIRS, run_in(tmp_path), name="reference", mismatched=True)
    others = [*PAIRS.chosen[1:], PAIRS.chosen[0]]
    scored = LocalLanguageModel.load(decoder).logprobs(list(zip(PAIRS.prompts, others, strict=True)), end=True)
    assert found[:, 2].tolist() == pytest.approx([sum(one.logprobs) for one in scored], rel=1e-5)


def test_the_reference_is_computed_once_whatever_the_batch_size(decoder: str, tmp_path: Path) -> None:
    first = PreferenceLearner(decoder, WHOLE, batch_size=1).reference(PAIRS, run_in(tmp_path), name="reference")
    again = run_in(tmp_path)
    second = PreferenceLearner(decoder, WHOLE, batch_size=3).reference(PAIRS, again, name="reference")
    assert again.store.made == []
    np.testing.assert_array_equal(first, second)


def test_a_student_ends_where_it_is_as_sure_of_every_pair_as_its_source(decoder: str, tmp_path: Path) -> None:
    run, doubtful = run_in(tmp_path), dataclasses.replace(PAIRS, p_chosen=(0.9, 0.7, 0.5))
    learner = PreferenceLearner(decoder, WHOLE, trainer=LOUD | {"num_train_epochs": 150})
    objective = named(name="cdpo", epsilon="ensemble", beta=0.5)
    student = learner.train(doubtful, objective, run, seed=0, name="prefer")
    found = margins(str(student.path / "model"), decoder, doubtful, run)
    wanted = [math.log(p / (1 - p)) / 0.5 for p in doubtful.p_chosen]
    assert found.tolist() == pytest.approx(wanted, abs=0.15)


@pytest.mark.parametrize(("objective", "adapter"), [("dpo", WHOLE), ("kto", WHOLE), ("dpo", LORA)])
def test_without_doubt_the_student_comes_to_prefer_every_chosen_text(
    decoder: str, tmp_path: Path, objective: str, adapter: Named
) -> None:
    run = run_in(tmp_path)
    learner = PreferenceLearner(decoder, adapter, trainer=LOUD)
    student = learner.train(PAIRS, named(name=objective), run, seed=0, name="prefer")
    assert margins(str(student.path / "model"), decoder, PAIRS, run).min() > 0.5


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_with_lora_the_reference_is_the_student_with_its_adapter_switched_off(decoder: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    run, learner = run_in(tmp_path), PreferenceLearner(decoder, LORA, trainer=LOUD)
    student = learner.train(PAIRS, named(name="dpo"), run, seed=0, name="prefer")
    network = peft.PeftModel.from_pretrained(load_causal_lm(decoder), student.path / "model").eval()
    asked = list(zip(PAIRS.prompts, PAIRS.chosen, strict=True))
    with network.disable_adapter():
        off = LocalLanguageModel(network, load_tokenizer(decoder), name="off").logprobs(asked, end=True)
    reference = learner.reference(PAIRS, run, name="reference")
    assert [sum(one.logprobs) for one in off] == pytest.approx(reference[:, 0].tolist(), rel=1e-5)


def test_an_adapter_that_was_supervised_trains_on_and_is_its_own_reference(decoder: str, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    run = run_in(tmp_path)
    taught = TextTargets(("0",), ("the film was",), (" very good",), (1.0,), ("weak",))
    supervised = TextLearner(decoder, LORA, trainer={"learning_rate": 1e-3}).train(
        taught, named(name="cross_entropy"), run, seed=0, name="train"
    )
    start = str(supervised.path / "model")
    quiet = PreferenceLearner(start, LORA, trainer={"learning_rate": 1e-9})
    same = quiet.train(PAIRS, named(name="dpo"), run, seed=0, name="quiet")
    assert abs(margins(str(same.path / "model"), start, PAIRS, run)).max() < 1e-4
    loud = PreferenceLearner(start, LORA, trainer=LOUD).train(PAIRS, named(name="dpo"), run, seed=0, name="loud")
    assert margins(str(loud.path / "model"), start, PAIRS, run).min() > 0.5
    assert not (loud.path / "model" / "model.safetensors").exists()


@pytest.mark.parametrize("objective", ["cdpo", "kto"])
def test_a_step_is_the_same_however_its_batch_is_cut(decoder: str, tmp_path: Path, objective: str) -> None:
    pairs = pairs_of(*((f"a {word}", " good", f" {word}") for word in ("film", "plot", "bad", "dull", "very")))
    trainer = {"learning_rate": 1e-2, "max_steps": 3}
    found = []
    for size, pieces in ((4, 1), (2, 2), (1, 4)):
        settings = trainer | {"per_device_train_batch_size": size, "gradient_accumulation_steps": pieces}
        learner = PreferenceLearner(decoder, WHOLE, trainer=settings)
        student = learner.train(pairs, named(name=objective), run_in(tmp_path), seed=0, name="prefer")
        found.append(margins(str(student.path / "model"), decoder, pairs, run_in(tmp_path)).tolist())
    assert max(map(abs, found[0])) > 0.1
    assert found[1] == pytest.approx(found[0], abs=2e-3)
    assert found[2] == pytest.approx(found[0], abs=2e-3)


def test_dropout_does_not_blur_the_margins(tmp_path: Path) -> None:
    letters, run = str(letter_decoder(tmp_path / "letters")), run_in(tmp_path)
    pairs = pairs_of(("a", " b", " c"))
    still = PreferenceLearner(letters, WHOLE, trainer={"learning_rate": 1e-12, "num_train_epochs": 3})
    student = still.train(pairs, named(name="dpo"), run, seed=0, name="prefer")
    log = load_causal_lm(str(student.path / "model"))
    assert log.config.resid_pdrop == 0.1  # the model that is saved has it again
    state = margins(str(student.path / "model"), letters, pairs, run)
    assert abs(state).max() < 1e-4


def test_the_same_training_is_found_in_the_store_and_ids_do_not_matter(decoder: str, tmp_path: Path) -> None:
    learner, other = PreferenceLearner(decoder, WHOLE), run_in(tmp_path)
    first = learner.train(PAIRS, named(name="cdpo"), run_in(tmp_path), seed=0, name="prefer")
    renamed = dataclasses.replace(PAIRS, ids=("x", "y", "z"), p_chosen=(0.6,) * 3)
    assert learner.train(renamed, named(name="cdpo"), other, seed=0, name="prefer").key == first.key
    assert other.store.made == []
    doubted = learner.train(renamed, named(name="cdpo", epsilon="ensemble"), other, seed=0, name="prefer")
    assert doubted.key != first.key


def test_pairs_of_weight_zero_teach_nothing(decoder: str, tmp_path: Path) -> None:
    run = run_in(tmp_path)
    both = pairs_of(("a film", " good", " bad"), ("the plot", " bad", " good"))
    weighed = dataclasses.replace(both, weights=(1.0, 0.0))
    learner = PreferenceLearner(decoder, WHOLE, trainer=LOUD | {"per_device_train_batch_size": 2})
    together = learner.train(weighed, named(name="cdpo"), run, seed=0, name="prefer")
    alone = learner.train(weighed.take([0]), named(name="cdpo"), run, seed=0, name="prefer")
    found = [margins(str(each.path / "model"), decoder, both, run).tolist() for each in (together, alone)]
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_answers_that_are_too_long_are_cut(decoder: str, tmp_path: Path) -> None:
    pairs = pairs_of(("a film", " good" * 50, " bad"))
    found = PreferenceLearner(decoder, WHOLE, max_length=8).reference(pairs, run_in(tmp_path), name="reference")
    [scored] = LocalLanguageModel.load(decoder).logprobs([("a film", " good" * 6)])
    assert found[0, 0] == pytest.approx(sum(scored.logprobs), rel=1e-5)


def test_no_pairs_and_prompts_without_room_for_an_answer_are_refused(decoder: str, tmp_path: Path) -> None:
    learner, run = PreferenceLearner(decoder, WHOLE), run_in(tmp_path)
    with pytest.raises(DataError, match="no preference pairs"):
        learner.train(PAIRS.take([]), named(name="dpo"), run, seed=0, name="prefer")
    long = pairs_of(("film " * 100, " good", " bad"))
    with pytest.raises(DataError, match="longer than the model can read"):
        learner.train(long, named(name="dpo"), run, seed=0, name="prefer")


def test_wrong_settings_are_refused(decoder: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        PreferenceLearner(decoder, WHOLE, trainer={"learning_rat": 1})
    learner = PreferenceLearner(decoder, WHOLE)
    for objective, error in ((named(name="dppo"), UnknownNameError), (named(name="cdpo", epsilon=0.7), ConfigError)):
        with pytest.raises(error):
            learner.train(PAIRS, objective, run_in(tmp_path), seed=0, name="prefer")
