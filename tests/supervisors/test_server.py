"""Models behind servers as supervisors of choice tasks: what is read out of their words, and what it costs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_server import Answer, Asked, reply, said, serving
from outgrow.errors import ConfigError
from outgrow.experiment import Experiment
from outgrow.labels import Completion, Rows
from outgrow.report.notes import sentence
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors import Asking, ServerSupervisor
from outgrow.supervisors.server import find_choice, read_vote
from small_experiments import planted_rows, write_experiment

ROWS = Rows(
    ("a", "b", "c"), ("good film", "bad film", "film"), ("unlabelled", "unlabelled", "test"), (1, 0, 0), ("no", "yes")
)
words = st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1, max_size=6)


async def critic(asked: Asked) -> Answer:
    """Says Yes. where the prompt says good, No. where it says bad, and else does not know."""
    prompt = said(asked)
    return Answer(reply("Yes." if "good" in prompt else "No." if "bad" in prompt else "I cannot say."))


def supervisor(url: str, **more: Any) -> ServerSupervisor:
    return ServerSupervisor(server=url, model="small", retries=0, **more)


def test_answers_become_votes_and_what_names_no_choice_is_a_failure(tmp_path: Path) -> None:
    with serving(critic) as server:
        votes = supervisor(server.url).vote(ROWS, Run(Store(tmp_path)), seed=0)
        prompts = [said(asked) for asked in server.asked]
    assert "good film\n\nAnswer with one of these and nothing else: no, yes" in prompts
    np.testing.assert_array_equal(votes.probs[:, 0], [[0, 1], [1, 0], [np.nan, np.nan]])
    assert votes.errors == {("c", "small"): "answered 'I cannot say.'"}


def test_votes_are_kept_and_shared_by_all_seeds(tmp_path: Path) -> None:
    run = Run(Store(tmp_path))
    with serving(critic) as server:
        first, second = (supervisor(server.url, samples=2).vote(ROWS, run, seed=seed) for seed in (0, 1))
        assert len(server.asked) == 6
    np.testing.assert_array_equal(first.probs, second.probs)


def test_samples_vote_by_their_shares_and_unreadable_ones_do_not_count(tmp_path: Path) -> None:
    answers = iter(["yes", "no", "yes", "who knows"])

    async def unsure(asked: Asked) -> Answer:
        return Answer(reply(next(answers)))

    with serving(unsure) as server:
        votes = supervisor(server.url, samples=4).vote(ROWS.take([0]), Run(Store(tmp_path)), seed=0)
        assert {asked.body["temperature"] for asked in server.asked} == {1.0}
    np.testing.assert_allclose(votes.probs[0, 0], [1 / 3, 2 / 3])


def test_a_declined_row_is_a_failure_in_the_server_s_words(tmp_path: Path) -> None:
    async def picky(asked: Asked) -> Answer:
        return Answer({"detail": "no films"}, status=400) if "bad" in said(asked) else await critic(asked)

    with serving(picky) as server:
        votes = supervisor(server.url).vote(ROWS.take([0, 1]), Run(Store(tmp_path)), seed=0)
    assert votes.errors == {("b", "small"): "status 400: no films"}


def test_log_probabilities_say_how_sure_a_vote_is() -> None:
    answer = Completion(" Yes!", (math.log(0.5), math.log(0.8), -9.0), ((0, 2), (2, 4), (4, 5)), finished=False)
    vote = read_vote(answer, ("no", "yes", "maybe"))
    assert vote is not None
    np.testing.assert_allclose(vote, [0.3, 0.4, 0.3])


def test_a_named_choice_is_never_less_likely_than_the_others() -> None:
    vote = read_vote(Completion("no", (-20.0,), ((0, 2),), finished=False), ("no", "yes"))
    assert vote is not None
    np.testing.assert_allclose(vote, [0.5, 0.5])


@given(st.lists(words, min_size=2, max_size=4, unique_by=str.casefold), st.data())
def test_a_choice_is_found_in_any_case_between_other_signs(choices: list[str], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(choices) - 1))
    before, after = (
        data.draw(st.sampled_from(["", " ", "**", '"', "(", "- "])),
        data.draw(st.sampled_from(["", ".", "!\n"])),
    )
    found = find_choice(f"{before}{choices[index].capitalize()}{after}", choices)
    assert found == (index, len(before) + len(choices[index]))


@pytest.mark.parametrize(
    ("text", "choices", "found"),
    [
        ("the news", ["new", "old"], None),
        ("yes and no", ["yes", "no"], None),
        ("not good", ["good", "not good"], 1),
        ("yes, yes", ["yes", "no"], 0),
        ("(A)", ["A", "B"], 0),
        ("c++", ["c", "c++"], 1),
        ("", ["yes", "no"], None),
    ],
)
def test_what_names_one_choice_and_what_does_not(text: str, choices: list[str], found: int | None) -> None:
    place = find_choice(text, choices)
    assert (None if place is None else place[0]) == found


def test_an_experiment_on_choices_learns_from_a_served_model(tmp_path: Path, encoder_folder: Path) -> None:
    with serving(critic) as server:
        supervisors = [{"server": server.url, "model": "small", "prices": {"input": 1, "output": 1}}]
        path = write_experiment(tmp_path, encoder_folder, planted_rows(60), supervisors=supervisors, ceiling=False)
        experiment = Experiment.from_yaml(path)
        [line] = experiment.estimate()
        results = experiment.run()
        asked = len(server.asked)
    assert line.startswith(f"the supervisor small: {asked} requests (0 more from the cache)")
    assert results.models[0].scores["accuracy"].mean() == 1.0
    assert any(f"The supervisor small took {asked} requests" in sentence(note) for note in results.notes)
    assert json.loads((tmp_path / "output" / "results.json").read_text())


@pytest.mark.parametrize(
    ("changes", "match"),
    [({"template": "no place"}, "template"), ({"parameters": {"n": 3}}, "parameters")],
)
def test_what_cannot_work_is_refused_at_once(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        supervisor("http://localhost:1/v1", **changes).check("choice", Asking())


def test_a_url_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="base URL"):
        supervisor("localhost").check("choice", Asking())
