"""The preference stage of text tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outgrow.config import Prefer, Strong
from outgrow.errors import ConfigError, OutgrowError
from outgrow.experiment import Experiment
from outgrow.labels import Completion, Note, Rows, TextLabels
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.pipeline.preferring import PreferenceStage, shift_note
from outgrow.report.notes import sentence
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors import Asking
from outgrow.tasks.preferences import read_preferences
from small_experiments import write_text_task
from tiny_models import WORDS

LOUD = {"learning_rate": 1e-2, "num_train_epochs": 20}
ASKING = Asking("{prompt}", GenerateOptions(max_new_tokens=2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("text")
    write_text_task(root)
    return root


def settings_in(folder: Path, where: Path, prefer: Any, **changes: Any) -> dict[str, Any]:
    decoder = str(folder / "decoder")
    return {
        "task": {"path": str(folder / "rows.jsonl"), "columns": {"id": "id", "part": "part"}},
        "supervisors": [
            {"model": decoder, "name": "taught", "train": {"num_train_epochs": 3, "learning_rate": 1e-2}},
            {"model": decoder, "name": "untaught"},
        ],
        "strong": {"model": decoder},
        "methods": {"naive": {}, "preferred": {"prefer": prefer}},
        "generate": {"max_new_tokens": 3, "template": "{prompt}"},
        "seeds": 1,
        "ceiling": False,
        "store": str(where / "store"),
        "output": str(where / "output"),
        **changes,
    }


def students_of(results: Any) -> tuple[Any, Any]:
    """Scores of the naive and the preferred student."""
    by_name = {line.name: line.scores["exact_match"] for line in results.models}
    return by_name["naive"], by_name["preferred"]


def stage_of(prefer: Any, *supervisors: str) -> PreferenceStage:
    return PreferenceStage(Prefer.model_validate(prefer), Strong(model="any"), supervisors or ("one", "two"))


def opinion(text: str, score: float) -> Completion:
    return Completion(text, (score,), ((0, len(text)),), finished=False)


def judged_by(scores: dict[str, tuple[float, ...]], candidates: Sequence[Sequence[str]]) -> TextLabels:
    """Supervisors whose score of every text is given."""
    people = len(next(iter(scores.values())))
    texts = tuple(
        tuple(tuple(opinion(text, scores[text][m]) for text in each) for m in range(people)) for each in candidates
    )
    names = ("one", "two", "three")[:people]
    return TextLabels(tuple(str(row) for row in range(len(candidates))), names, texts)


def rows_of(prompts: Sequence[str]) -> Rows:
    count = len(prompts)
    return Rows(tuple(map(str, range(count))), tuple(prompts), ("unlabelled",) * count, (None,) * count)


def sentences(notes: Iterable[Note]) -> list[str]:
    return [sentence(note) for note in notes]


def all_usable(answers: Sequence[str]) -> list[bool]:
    return [True] * len(answers)


def test_an_experiment_prefers_and_a_second_run_makes_nothing(folder: Path, tmp_path: Path) -> None:
    prefer = {"name": "cdpo", "epsilon": "ensemble", "candidates": 4, "temperature": 1.5, "trainer": LOUD}
    settings = settings_in(folder, tmp_path, prefer)
    results = Experiment.from_dict(settings).run()
    assert [line.name for line in results.models] == ["taught", "untaught", "base", "naive", "preferred"]
    [note] = [note for note in results.provenance["notes"] if note["code"] == "preferences.pairs"]
    assert (note["who"], note["values"]["lambdas"]["taught"]) == ("preferred, seed 0", 0.5)
    [file] = (tmp_path / "store/preferences").glob("*/pairs.jsonl")
    pairs, equal = read_preferences(file)
    assert equal == 0
    assert set(pairs.prompts) <= {f"a plot {word}" for word in WORDS}
    assert all(0.5 <= sure <= 1 for sure in pairs.p_chosen)
    # Three words are all there is room for: such texts were cut.
    whole = list(zip(pairs.chosen + pairs.rejected, pairs.chosen_ended + pairs.rejected_ended, strict=True))
    assert not any(ended for text, ended in whole if len(text.split()) == 3)
    assert any(ended for _, ended in whole)
    again = Experiment.from_dict(settings).run()
    assert set(again.provenance["seconds"]) == {"total"}


@pytest.mark.parametrize("prefer", [{"name": "dpo", "candidates": 1}, {"name": "kto", "temperature": 1e-6}])
def test_a_student_with_one_candidate_per_row_stands_as_it_is_and_the_notes_say_so(
    folder: Path, tmp_path: Path, prefer: dict[str, Any]
) -> None:
    results = Experiment.from_dict(settings_in(folder, tmp_path, prefer)).run()
    naive, preferred = students_of(results)
    assert (naive == preferred).all()
    notes = {note["code"]: note for note in results.provenance["notes"] if note.get("who") == "preferred, seed 0"}
    without = notes["preferences.without"]["values"]
    assert (without["reason"], without["rows"]) == ("one candidate", without["of"])
    assert "preferences.none" in notes
    assert not (tmp_path / "store/preference-student").exists()


@pytest.mark.parametrize("name", ["cdpo", "kto"])
def test_a_student_comes_to_write_what_its_judges_prefer(folder: Path, tmp_path: Path, name: str) -> None:
    decoder = str(folder / "decoder")

    def judge(candidates: Sequence[Sequence[str]]) -> TextLabels:
        scores = {text: (-1.0 - ("good" not in text),) * 2 for each in candidates for text in each}
        return judged_by(scores, candidates)

    stage = stage_of({"name": name, "candidates": 24, "trainer": LOUD})
    run = Run(Store(tmp_path))
    prompts = [f"a plot {word}" for word in ("film", "was", "not", "very")]
    student = stage(decoder, rows_of(prompts), ASKING, judge, all_usable, run, seed=0, name="stage")
    assert "preference pairs of candidates from 4 of 4 rows" in sentence(run.notes[0])
    pair = ("a plot", " good")
    [before], [after] = (LocalLanguageModel.load(model).logprobs([pair]) for model in (decoder, student))
    assert after.score > before.score + 0.5
    assert re.fullmatch(
        r"stage: the stage moved the log-probability of chosen texts by \+\d.\d, of rejected ones by -\d+.\d\.",
        sentence(run.notes[-1]),
    )
    # Once before the training, once of the sample after it.
    assert len(list((tmp_path / "reference").glob("*/logprobs.parquet"))) == 2


def test_a_stage_that_made_its_chosen_texts_improbable_too_says_what_holds_them() -> None:
    before, after = (np.array([each] * 2, dtype=np.float32) for each in ((-4.0, -5.0), (-6.0, -9.0)))
    said = sentence(shift_note(before, after))
    assert "chosen texts by -2.0, of rejected ones by -4.0: chosen texts became less probable too" in said
    assert "`penalty`" in said


def test_without_a_temperature_candidates_are_those_of_a_beam_search(folder: Path, tmp_path: Path) -> None:
    decoder, prompts = str(folder / "decoder"), ["a plot film", "a plot was"]
    seen: list[Sequence[Sequence[str]]] = []

    def judge(candidates: Sequence[Sequence[str]]) -> TextLabels:
        seen.append(candidates)
        return judged_by({text: (0.0, 0.0) for each in candidates for text in each}, candidates)

    stage, run = stage_of({"name": "dpo", "candidates": 3, "temperature": 0}), Run(Store(tmp_path))
    student = stage(decoder, rows_of(prompts), ASKING, judge, all_usable, run, seed=0, name="stage")
    found = LocalLanguageModel.load(decoder).generate(prompts, GenerateOptions(max_new_tokens=2, n=3, beams=3))
    assert seen == [[[f" {one.text.removeprefix(' ')}" for one in each] for each in found]]
    assert student == decoder
    assert "stage: 2 of 2 rows had candidates that are all equally good." in sentences(run.notes)


def test_pairs_are_the_best_and_the_worst_and_carry_the_ensemble_s_doubt() -> None:
    scores = {" good": (-1.0, -2.0), " fair": (-2.0, -3.0), " bad": (-4.0, -3.2)}
    candidates = [list(scores), [" good", " bad"], [" fair"]]
    judged = judged_by(scores, candidates)
    pairs, notes = stage_of({"name": "cdpo"}).pairs(
        rows_of(["a plot"] * 3), ["p", "q", "r"], candidates, judged, all_usable
    )
    assert list(zip(pairs.prompts, pairs.chosen, pairs.rejected, strict=True)) == [
        ("p", " good", " bad"),
        ("q", " good", " bad"),
    ]
    assert all(0.5 < sure < 1 for sure in pairs.p_chosen)
    assert sentence(notes[0]).startswith(
        "2 preference pairs of candidates from 2 of 3 rows, each the wrong way round with"
    )
    assert sentence(notes[1]) == "1 of 3 rows had no two different candidates."


def test_answers_that_the_task_cannot_use_rank_last_and_are_counted() -> None:
    scores = {" {broken": (-0.1, -0.1), " {}": (-3.0, -3.0), " { }": (-4.0, -4.0)}
    candidates = [list(scores), [" {broken", " {}"], [" {broken"]]
    pairs, notes = stage_of({"name": "cdpo"}).pairs(
        rows_of(["a plot"] * 3),
        ["p", "q", "r"],
        candidates,
        judged_by(scores, candidates),
        lambda answers: ["broken" not in answer for answer in answers],
    )
    assert pairs.chosen == (" {}", " {}")
    assert pairs.rejected == (" {broken", " {broken")
    assert pairs.p_chosen == (1.0, 1.0)
    assert sentence(notes[-1]) == "3 of 6 candidates are answers that the task cannot use; they rank last."


def test_the_supervisors_count_as_given() -> None:
    scores = {" good": (-1.0, -9.0), " bad": (-2.0, -1.0)}
    candidates = [list(scores)]
    stage = stage_of({"name": "dpo", "weights": {"one": 1.0, "two": 0.0}})
    pairs, notes = stage.pairs(rows_of(["a plot"] * 1), ["p"], candidates, judged_by(scores, candidates), all_usable)
    assert pairs.chosen == (" good",)
    assert sentence(notes[0]).endswith("the supervisors' weights are one 1.00, two 0.00.")


@pytest.mark.parametrize(
    ("prefer", "message"),
    [
        ("cdop", "did you mean 'cdpo'"),
        ({"name": "dpo", "epsilon": 0.1}, "has no parameter 'epsilon'"),
        ({"name": "cdpo", "epsilon": 0.6}, "out of range"),
        ({"name": "cdpo", "epsilon": "enssemble"}, "refuses its parameters"),
        ({"name": "cdpo", "candidates": 0}, "candidates"),
        ({"name": "cdpo", "temperature": -1}, "temperature"),
        ({"name": "cdpo", "margin": -1}, "margin"),
        ({"name": "cdpo", "weights": {"taught": 1.0}}, "do not fit the supervisors"),
        ({"name": "cdpo", "trainer": {"learning_rat": 1}}, "did you mean 'learning_rate'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_computed(
    folder: Path, tmp_path: Path, prefer: Any, message: str
) -> None:
    with pytest.raises(OutgrowError, match=message):
        Experiment.from_dict(settings_in(folder, tmp_path, prefer)).run()
    assert not (tmp_path / "store").exists()


def test_one_supervisor_alone_cannot_say_how_sure_a_pair_is() -> None:
    with pytest.raises(ConfigError, match="needs supervisors that can disagree"):
        stage_of({"name": "cdpo", "epsilon": "ensemble"}, "one")
    stage_of({"name": "cdpo", "epsilon": 0.1}, "one")


def test_the_stage_of_a_choice_task_is_refused(folder: Path, tmp_path: Path) -> None:
    task = {"path": str(folder / "rows.jsonl"), "columns": {"id": "id", "part": "part"}, "choices": "auto"}
    settings = settings_in(folder, tmp_path, "dpo", task=task, supervisors=[{"features": "tfidf"}])
    with pytest.raises(ConfigError, match="`prefer` is for text tasks"):
        Experiment.from_dict(settings).run()
