"""Experiments whose answers a judge rates."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import escape

from outgrow import registry
from outgrow.config import LocalJudge, ServerJudge
from outgrow.errors import ConfigError
from outgrow.evaluate import Rubric
from outgrow.experiment import Experiment
from outgrow.labels import Completion, TextLabels
from outgrow.models.protocols import GenerateOptions
from outgrow.models.specs import ModelSpec
from outgrow.pipeline import judging, text
from outgrow.pipeline.judging import Judgement, judge_answers, judge_name
from outgrow.registry import register
from outgrow.report.notes import sentence
from outgrow.run import Run
from outgrow.store import Store
from scripted_spec import ScriptedSpec
from tiny_models import WORDS

RUBRICS = {"content": Rubric("content: {answer}"), "concept": Rubric("concept: {answer}")}


class Scripted:
    """A judge that follows a function, and counts what it is asked."""

    def __init__(self, says: Callable[[str, int], str]) -> None:
        self.says, self.name, self.asked = says, "scripted", 0

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        self.asked += len(prompts)
        texts = [[self.says(prompt, sample) for sample in range(options.n)] for prompt in prompts]
        return [[Completion(text, (), (), finished=True) for text in several] for several in texts]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Scripted]]:
    """Puts functions in the places of judges, in the order in which these are loaded, again and again."""

    def put(*says: Callable[[str, int], str]) -> list[Scripted]:
        judges = {f"judge{index}": Scripted(one) for index, one in enumerate(says)}
        monkeypatch.setattr(judging, "model_spec", lambda judge, _: ScriptedSpec(judges[judge_name(judge)]))
        return list(judges.values())

    return put


def judged(folder: Path, answers: Sequence[str], judges: int = 1, rubrics: Mapping[str, Rubric] = RUBRICS) -> Judgement:
    server = "http://localhost/v1"  # never asked: scripted judges stand in
    configs = [ServerJudge(model=f"judge{index}", server=server, samples=2) for index in range(judges)]
    items = [{"answer": answer} for answer in answers]
    return judge_answers(configs, rubrics, items, Run(Store(folder / "store")), author="naive")


def test_ratings_are_means_over_samples_and_are_asked_for_once(
    tmp_path: Path, scripted: Callable[..., list[Scripted]]
) -> None:
    [judge] = scripted(lambda prompt, sample: f"[[{9 - sample if 'content' in prompt else 2}]]")
    found = judged(tmp_path, ["a", "b"])
    assert {name: scores.tolist() for name, scores in found.scores.items()} == {
        "content": [8.5, 8.5],
        "concept": [2.0, 2.0],
        "rated": [1.0, 1.0],
    }
    assert found.notes == ()
    asked = judge.asked
    again = judged(tmp_path, ["a", "b"])
    assert judge.asked == asked
    np.testing.assert_equal(dict(again.scores), dict(found.scores))


def test_rubrics_with_one_prompt_are_one_request(tmp_path: Path, scripted: Callable[..., list[Scripted]]) -> None:
    [judge] = scripted(lambda prompt, _: "[[9]] [[3]]" if prompt == "both: b" else "[[8]] [[2]]")
    both = {name: Rubric("both: {answer}", of=2, place=place) for place, name in enumerate(("content", "concept"))}
    found = judged(tmp_path, ["a", "b"], rubrics={**both, "other": Rubric("one: {answer}")})
    assert {name: found.scores[name].tolist() for name in both} == {"content": [8.0, 9.0], "concept": [2.0, 3.0]}
    assert found.weights.keys() == both.keys()  # the third needs one rating a reply
    assert judge.asked == 2 + 2 + 2 * 2


def test_an_answer_without_a_rating_has_no_weight_and_is_told(
    tmp_path: Path, scripted: Callable[..., list[Scripted]]
) -> None:
    scripted(lambda prompt, _: "no" if "content: b" in prompt else "[[7]]")
    found = judged(tmp_path, ["a", "b"])
    assert found.scores["content"].tolist() == [7.0, 1.0]
    assert found.weights["content"].tolist() == [1.0, 0.0]
    assert found.scores["rated"].tolist() == [1.0, 0.5]
    [note] = found.notes
    assert sentence(note) == (
        "naive: of 4 ratings of content, the judge judge0 gave 2 not at all, which leaves 1 of 2 answers without one."
    )


def test_repaired_ratings_are_counted(tmp_path: Path, scripted: Callable[..., list[Scripted]]) -> None:
    scripted(lambda prompt, _: "[[3]]" if "no rating" in prompt else "three")
    found = judged(tmp_path, ["a"])
    assert found.scores["concept"].tolist() == [3.0]
    assert sentence(found.notes[0]) == "naive: of 2 ratings of content, the judge judge0 gave 2 after asking again."


def test_several_judges_are_averaged_and_their_agreement_is_told(
    tmp_path: Path, scripted: Callable[..., list[Scripted]]
) -> None:
    scripted(*(lambda prompt, _, more=more: f"[[{(8 if prompt.endswith('a') else 2) + more}]]" for more in (0, 2)))
    found = judged(tmp_path, ["a", "b"], judges=2)
    assert found.scores["content"].tolist() == [9.0, 3.0]
    note = sentence(found.notes[0])
    assert note.startswith("naive: judges of content: Krippendorff's α is .")
    assert note.endswith("mean ratings are judge0 5.00, judge1 7.00.")


def experiment(folder: Path, model: Path, **changes: Any) -> dict[str, Any]:
    rows = [{"question": f"a plot {word}", "part": ["unlabelled", "test"][i % 2]} for i, word in enumerate(WORDS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path, columns = str(folder / "rows.jsonl"), {"part": "part"}
    return {
        "task": {"name": "persona", "path": path, "columns": columns, "concept": "a {pirate}"},
        "supervisors": [{"model": str(model), "name": "weak"}],
        "strong": {"model": str(model)},
        "generate": {"max_new_tokens": 3, "template": "{prompt}"},
        "judge": {"model": str(model), "name": "judge0", "samples": 2, "max_new_tokens": 4},
        "seeds": 1,
        "store": str(folder / "store"),
        "output": str(folder / "output"),
        **changes,
    }


def test_a_persona_experiment_has_content_and_concept_with_their_plane(
    tmp_path: Path, decoder_folder: Path, scripted: Callable[..., list[Scripted]]
) -> None:
    scripted(lambda prompt, _: "[[6]]" if "content" in prompt else "[[4]]")
    results = Experiment.from_dict(experiment(tmp_path, decoder_folder)).run()
    assert [metric.metric for metric in results.summary.metrics] == ["content", "concept"]
    assert {line.score.value for line in results.summary.metrics[0].lines} == {6.0}
    report = (tmp_path / "output/report.html").read_text()
    assert "content against concept" in report
    assert "No ceiling: some unlabelled rows have no gold answer." in report


def test_a_concept_with_braces_quotes_and_markup_is_text_to_the_judge_and_on_the_page(
    tmp_path: Path, decoder_folder: Path, scripted: Callable[..., list[Scripted]]
) -> None:
    concept = "a {pirate} who says \"Arr\" and 'aye' & <b>{answer}</b>"
    asked: list[str] = []

    def rates(prompt: str, _: int) -> str:
        asked.append(prompt)
        return "[[6]]"

    scripted(rates)
    settings = experiment(tmp_path, decoder_folder)
    settings["task"]["concept"] = concept
    Experiment.from_dict(settings).run()
    assert sum(f"The voice that is wanted: {concept}\n" in prompt for prompt in asked) * 2 == len(asked)
    report = (tmp_path / "output/report.html").read_text()
    assert str(escape(concept)) in report
    assert "<b>{answer}</b>" not in report


def test_answers_that_are_empty_repeat_or_refuse_are_rated_and_told_on_the_page(
    tmp_path: Path, decoder_folder: Path, scripted: Callable[..., list[Scripted]], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(lambda *_: "[[2]]")
    odd = ["", "I'm sorry, I cannot.", "aye " * 9]
    original = text.write

    def wrote(author: ModelSpec, ids: Sequence[str], *more: Any) -> TextLabels:
        labels = original(author, ids, *more)
        if author.name != "base":
            return labels
        texts = [Completion(odd[row % 3], (), (), finished=row % 3 < 2) for row in range(len(ids))]
        return TextLabels(labels.ids, labels.supervisors, tuple(((one,),) for one in texts))

    monkeypatch.setattr(text, "write", wrote)
    results = Experiment.from_dict(experiment(tmp_path, decoder_folder)).run()
    [base] = [line for line in results.summary.metrics[0].lines if line.role == "base"]
    assert base.score.value == 2.0
    report = (tmp_path / "output/report.html").read_text()
    for what in ("an empty answer.", "an answer that repeats itself without end.", "an answer that refuses."):
        assert f"base: 2 of 6 rows of the test part have {what}" in report


def test_a_refinement_is_audited_by_the_judge_where_nobody_knows_the_right_answers(
    tmp_path: Path, decoder_folder: Path, scripted: Callable[..., list[Scripted]]
) -> None:
    scripted(lambda prompt, _: "[[6]]" if "content" in prompt else "[[4]]")
    methods = {"refined": {"refine": {"name": "icl", "demonstrations": 1}}}
    results = Experiment.from_dict(experiment(tmp_path, decoder_folder, methods=methods)).run()
    [audit] = results.provenance["refinement"]
    assert audit["scores"] == {
        "content": dict.fromkeys(("weak", "base", "refined"), 6.0),
        "concept": dict.fromkeys(("weak", "base", "refined"), 4.0),
    }


def test_a_judge_that_never_parses_leaves_a_report_that_says_so(tmp_path: Path, decoder_folder: Path) -> None:
    long_context = {"judge": {"model": str(decoder_folder), "name": "mute", "samples": 2, "max_new_tokens": 4}}
    short = {"content": {"template": "{answer} was"}, "concept": {"template": "{answer} not"}}
    settings = experiment(tmp_path, decoder_folder, **long_context)
    settings["task"]["rubrics"] = short
    results = Experiment.from_dict(settings).run()
    assert [metric.metric for metric in results.summary.metrics] == ["rated"]
    assert all(line.score.value == 0 for line in results.summary.metrics[0].lines)
    report = (tmp_path / "output/report.html").read_text()
    assert "no judge gave a readable rating" in report
    assert "naive, seed 0: the judge mute gave no rating of content that can be read" in report
    assert (tmp_path / "output/predictions.parquet").is_file()


def test_a_task_without_its_judge_and_a_judge_without_its_task_are_refused(
    tmp_path: Path, decoder_folder: Path
) -> None:
    settings = experiment(tmp_path, decoder_folder)
    with pytest.raises(ConfigError, match="scored by a judge, and there is none"):
        Experiment.from_dict({**settings, "judge": []}).run()
    with pytest.raises(ConfigError, match="Two judges"):
        Experiment.from_dict({**settings, "judge": [settings["judge"], settings["judge"]]}).run()
    settings["task"] = {"path": settings["task"]["path"], "columns": {"prompt": "question", "gold": "question"}}
    settings["task"]["split"] = {"gold": 4, "unlabelled": 4, "test": 4}
    with pytest.raises(ConfigError, match="scored without a judge"):
        Experiment.from_dict(settings).run()


def test_greedy_judges_give_one_sample() -> None:
    with pytest.raises(ValueError, match="need a temperature"):
        LocalJudge(model="x", temperature=0.0)


def test_a_registered_model_supervises_refines_and_judges_and_is_not_trained(tmp_path: Path) -> None:
    asked: list[str] = []

    @register("model", "parrot")
    @dataclasses.dataclass(frozen=True)
    class Parrot:
        says: str = "aye"

        def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
            asked.extend(prompts)
            return [[Completion(f" {self.says}", (), (), finished=True)] * options.n for _ in prompts]

    settings = experiment(tmp_path, tmp_path)
    settings["supervisors"] = [{"model": {"name": "parrot", "says": "arr"}, "name": "weak"}]
    settings["strong"] = {"model": {"name": "parrot"}}
    settings["judge"] = {"model": {"name": "parrot", "says": "[[6]]"}, "samples": 2}
    settings["methods"] = {"refined": {"refine": "ask_to_improve"}}
    try:
        assert Experiment.from_dict(settings).estimate() == []
        assert asked == []
        results = Experiment.from_dict(settings).run()
        count = len(asked)
        assert Experiment.from_dict(settings).run().notes == results.notes
        assert len(asked) == count > 0
    finally:
        del registry._REGISTERED["model"]["parrot"]
    assert [(line.role, line.name) for line in results.models] == [("supervisor", "weak"), ("base", "base")]
    assert {line.score.value for line in results.summary.metrics[0].lines} == {6.0}
    told = [sentence(note) for note in results.notes if note.code == "student.not_trained_here"]
    assert told == ["refined is not in the table: the strong model has no weights that could be trained here."]


def test_a_further_part_is_rated_too_and_one_without_rubrics_is_not(
    tmp_path: Path, decoder_folder: Path, scripted: Callable[..., list[Scripted]]
) -> None:
    scripted(lambda prompt, _: "[[6]]" if "content" in prompt else "[[4]]")
    for name in ("rated", "matched"):
        lines = [json.dumps({"question": f"a film {name} {row}?", "answer": "good"}) + "\n" for row in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    settings = experiment(
        tmp_path, decoder_folder, methods={"refined": {"refine": {"name": "icl", "demonstrations": 1}}}
    )
    columns = {"prompt": "question", "gold": "answer"}
    settings["task"]["tests"] = {
        "rated": {"path": str(tmp_path / "rated.jsonl")},
        "matched": {"name": "file", "path": str(tmp_path / "matched.jsonl"), "columns": columns},
    }
    results = Experiment.from_dict(settings).run()
    rated, matched = (results.tests[name] for name in ("rated", "matched"))
    assert {metric.metric for metric in rated.summary.metrics} == {"content", "concept"}
    assert {line.score.value for line in rated.summary.metrics[0].lines} == {6.0}
    assert [metric.metric for metric in matched.summary.metrics] == ["exact_match"]
    assert len(results.provenance["refinement"]) == 1  # audited once
