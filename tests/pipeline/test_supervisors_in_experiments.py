"""Rules, labelling functions and supervisors of little use, in whole experiments with a tiny random encoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outgrow import registry
from outgrow.config import load_config
from outgrow.errors import ConfigError, DataError
from outgrow.experiment import Experiment
from outgrow.labels import ChoiceVotes, Rows
from outgrow.registry import register
from outgrow.results import Results
from outgrow.run import Run
from outgrow.supervisors.gold import judged_rows
from small_experiments import noisy_votes, planted_rows, write_experiment, write_lines

ROWS = planted_rows(120)
METHODS: dict[str, Any] = {
    "naive": {},
    "estimated": {"combine": {"name": "mean", "weights": "estimated"}},
    "majority": {"combine": "majority"},
    "dawid_skene": {"combine": "dawid_skene"},
    "dependence": {"combine": "dependence"},
    "bayesian": {"objective": "bayesian"},
}


def run(folder: Path, model: Path, **changed: Any) -> Results:
    folder.mkdir(exist_ok=True)
    return Experiment.from_yaml(write_experiment(folder, model, ROWS, **{"ceiling": False, **changed})).run()


def scores(results: Results) -> dict[str, float]:
    """Mean accuracy of everyone."""
    return {each.name: float(each.scores["accuracy"].mean()) for each in results.models}


def votes_of(worker: str, label: object) -> list[dict[str, Any]]:
    """Somebody who says the same of every row."""
    return [{"task": row["id"], "worker": worker, "label": label} for row in ROWS]


def with_votes(folder: Path, *tables: list[dict[str, Any]]) -> Path:
    """The folder, with these votes in it."""
    write_lines(folder / "votes.jsonl", [vote for table in tables for vote in table])
    return folder


def students(results: Results) -> dict[str, float]:
    return {each.name: float(each.scores["accuracy"].mean()) for each in results.models if each.role == "student"}


def test_rules_that_always_hold_teach_a_student_what_they_say(tmp_path: Path, encoder_folder: Path) -> None:
    rules = [{"pattern": r"\bgood\b", "label": "yes"}, {"pattern": r"\bbad\b", "label": "no"}]
    found = scores(run(tmp_path, encoder_folder, supervisors=[{"rules": rules, "name": "words"}]))
    assert found["words"] == 1.0
    assert found["naive"] > 0.8


def test_each_rule_can_supervise_on_its_own_and_what_it_leaves_out_is_noted(
    tmp_path: Path, encoder_folder: Path
) -> None:
    rules = [{"pattern": "good", "label": "yes"}, {"pattern": "bad", "label": "no"}, {"pattern": "zzz", "label": "no"}]
    supervisors = [{"rules": rules, "decide": "each", "name": "word"}]
    results = run(tmp_path, encoder_folder, supervisors=supervisors)
    assert {"word 1", "word 2"} <= set(scores(results))
    assert "word 3" not in scores(results)
    notes = {(note.code, note.who): note for note in results.notes}
    assert notes["votes.none", None].values == {"supervisors": ["word 3"]}
    assert ("votes.some_missing", "word 1") in notes
    assert min(students(results).values()) > 0.8


@pytest.fixture
def functions() -> Iterator[None]:
    """Registers a function that fails where it does not find a word, and one that always does."""

    @register("labelling_function", "planted")
    def planted(prompt: str, *, word: str = "good") -> int:
        if "the" in prompt.split():
            raise LookupError("<b>unreadable</b>")
        return int(word in prompt.split())

    @register("labelling_function", "broken")
    def broken(prompt: str) -> int:
        raise LookupError("no lexicon")

    yield
    for name in ("planted", "broken"):
        del registry._REGISTERED["labelling_function"][name]


@pytest.mark.usefixtures("functions")
def test_failures_of_a_labelling_function_are_counted_in_the_notes_and_the_rest_teaches(
    tmp_path: Path, encoder_folder: Path
) -> None:
    results = run(tmp_path, encoder_folder, supervisors=[{"function": "planted", "word": "good"}])
    judged = results.provenance["sizes"]["unlabelled"] + results.provenance["sizes"]["test"]
    [note] = [note for note in results.notes if note.code == "votes.failed"]
    assert 0 < note.values["failed"] < note.values["rows"] == judged
    assert note.values["first"] == "LookupError: <b>unreadable</b>"
    assert scores(results)["naive"] > 0.75
    page = (tmp_path / "output/report.html").read_text()
    assert "&lt;b&gt;unreadable" in page
    assert "<b>unreadable" not in page


@pytest.mark.usefixtures("functions")
def test_a_labelling_function_that_always_fails_ends_the_run_in_words(tmp_path: Path, encoder_folder: Path) -> None:
    with pytest.raises(DataError, match="broken failed on every row"):
        run(tmp_path, encoder_folder, supervisors=[{"function": "broken"}])
    assert not (tmp_path / "output/results.json").exists()


@pytest.mark.parametrize("silence", [-1, None])
def test_a_supervisor_that_never_votes_changes_nothing_and_is_named(
    tmp_path: Path, encoder_folder: Path, silence: object
) -> None:
    voters = noisy_votes(ROWS, seed=1), noisy_votes(ROWS, seed=2, wrong=0.2)
    methods = {name: METHODS[name] for name in ("naive", "dependence")}
    alone = run(with_votes(tmp_path, *voters), encoder_folder, methods=methods)
    beside = run(with_votes(tmp_path, *voters, votes_of("mute", silence)), encoder_folder, methods=methods)
    assert scores(beside) == scores(alone)
    assert [note.values["supervisors"] for note in beside.notes if note.code == "votes.none"] == [["mute"]]


def test_a_supervisor_that_always_says_the_same_does_no_harm_beside_others(
    tmp_path: Path, encoder_folder: Path
) -> None:
    voters = [noisy_votes(ROWS, seed=seed, wrong=0.1) for seed in range(3)]
    found = run(with_votes(tmp_path, *voters, votes_of("constant", 1)), encoder_folder, methods=METHODS)
    assert scores(found)["constant"] == pytest.approx(0.5, abs=0.15)
    assert min(students(found).values()) > 0.75


@pytest.mark.parametrize("told", [[1], [1, 1]])
def test_nobody_but_supervisors_that_always_say_the_same_give_a_defined_result(
    tmp_path: Path, encoder_folder: Path, told: list[int]
) -> None:
    tables = [votes_of(f"constant{index}", label) for index, label in enumerate(told)]
    found = run(with_votes(tmp_path, *tables), encoder_folder, methods=METHODS)
    assert set(students(found)) == set(METHODS)
    assert students(found)["naive"] == pytest.approx(scores(found)["constant0"])


def test_one_supervisor_is_enough(tmp_path: Path, encoder_folder: Path) -> None:
    found = students(run(with_votes(tmp_path, noisy_votes(ROWS, wrong=0.1)), encoder_folder, methods=METHODS))
    assert set(found) == set(METHODS)
    assert min(found[name] for name in ("naive", "estimated", "majority", "bayesian")) > 0.75


def test_two_identical_supervisors_teach_what_one_of_them_does(tmp_path: Path, encoder_folder: Path) -> None:
    one = noisy_votes(ROWS, wrong=0.1)
    twice = [{**vote, "worker": "copy"} for vote in one]
    alone = students(run(with_votes(tmp_path, one), encoder_folder, methods=METHODS))
    both = students(run(with_votes(tmp_path, one, twice), encoder_folder, methods=METHODS))
    assert set(both) == set(METHODS)
    assert all(both[name] == alone[name] for name in ("naive", "majority", "estimated"))


@pytest.mark.parametrize(
    ("vote", "settings", "said"),
    [
        ({"worker": "al", "label": "perhaps"}, {}, "outside the choices"),
        ({"p_al": 0.5, "q_al": 0.2}, {"probabilities": {"al": ["p_al", "q_al"]}}, "no distribution over 2 choices"),
        ({"p_al": float("nan")}, {"probabilities": "p_*"}, "is not a number"),
        ({"a.al": "perhaps"}, {"answers": "a.*"}, "outside the choices"),
    ],
)
def test_a_table_that_votes_for_what_is_no_choice_ends_the_run_before_anything_is_trained(
    tmp_path: Path, encoder_folder: Path, vote: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    write_lines(tmp_path / "votes.jsonl", [{"task": row["id"], **vote} for row in ROWS])
    with pytest.raises(DataError, match=said):
        run(tmp_path, encoder_folder, supervisors=[{"votes": "votes.jsonl", **settings}])
    assert not list((tmp_path / "store").rglob("manifest.json"))


@pytest.mark.parametrize(
    "supervisor", [{"rules": [{"pattern": "(", "label": "yes"}]}, {"function": "nobody_registered_this"}]
)
def test_a_supervisor_that_cannot_be_made_is_refused_before_anything_is_trained(
    tmp_path: Path, encoder_folder: Path, supervisor: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError):
        run(tmp_path, encoder_folder, supervisors=[{"features": "tfidf"}, supervisor])
    assert not list((tmp_path / "store").rglob("manifest.json"))


@dataclasses.dataclass(frozen=True)
class Planted:
    """A supervisor that no registry knows, with nothing but `vote`."""

    wrong: float = 0.0

    def vote(self, rows: Rows, run: Run, *, seed: int) -> ChoiceVotes:
        """Vote for what the words say, or against it."""
        judged = judged_rows(rows)
        good = np.array([abs(("good" in prompt) - self.wrong) for prompt in judged.prompts])
        return ChoiceVotes(judged.ids, ("planted",), np.stack([1 - good, good], axis=1)[:, None])


def test_an_object_that_votes_is_a_supervisor_in_an_experiment_made_in_python(
    tmp_path: Path, encoder_folder: Path
) -> None:
    path = write_experiment(tmp_path, encoder_folder, ROWS, ceiling=False)
    settings = load_config(path).model_dump() | {"supervisors": [Planted(wrong=0.1)]}
    results = Experiment.from_dict(settings).run()
    assert scores(results)["planted"] == 1.0
    assert results.provenance["config"]["supervisors"] == [{"Planted": {"wrong": 0.1}}]
