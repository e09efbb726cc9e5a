from __future__ import annotations

from pathlib import Path

import pytest
from rounds import a_round, some_rows

from outgrow.annotate import Session
from outgrow.annotate.session import StaleTurnError
from outgrow.errors import ConfigError


def answer(session: Session, worker: str = "ann", choice: int = 1) -> str:
    """Votes on the row that is shown; returns its id."""
    state = session.state(worker)
    task: str = state["item"]["task"]
    session.act(worker, state["turn"], "vote", task, choice)
    return task


def test_every_row_is_shown_once_to_everyone_until_none_is_left(tmp_path: Path) -> None:
    session, ledger, _ = a_round(tmp_path, some_rows(6, checks=2), checks=0.5)
    for worker in ("ann", "ben"):
        shown = []
        while session.state(worker)["item"]:
            shown.append(answer(session, worker))
        assert len(shown) == len({*shown})
        assert {"r2", "r3", "r4", "r5"} <= {*shown}
        assert session.state(worker)["left"] == 0
    assert len(ledger.votes()) >= 8


def test_checks_are_mixed_in_and_look_like_any_other_row(tmp_path: Path) -> None:
    session, _, _ = a_round(tmp_path, some_rows(200, checks=50), checks=0.2)
    states, shown = [], []
    for turn in range(100):
        states.append(session.state("ann"))
        shown.append(answer(session, choice=int(turn % 4 > 0)))
    checked = [int(task[1:]) < 50 for task in shown]
    assert 10 <= sum(checked) <= 32
    assert len({frozenset(state) for state in states}) == len({frozenset(state["item"]) for state in states}) == 1
    assert "gold" not in str(states)
    # The count does not tell either: it goes down by one after a check as well.
    assert [state["left"] for state in states] == list(range(188, 88, -1))
    found = session.progress()[0]
    assert found["votes"] == 100
    assert found["checks"] == sum(checked)
    assert found["right"] == sum(check and turn % 4 > 0 for turn, check in enumerate(checked))


def test_undo_shows_the_last_answers_again_one_by_one(tmp_path: Path) -> None:
    session, ledger, _ = a_round(tmp_path, some_rows())
    first, second = answer(session), answer(session)
    assert session.act("ann", 2, "undo", "")["item"]["task"] == second
    assert session.act("ann", 3, "undo", "")["item"]["task"] == first
    with pytest.raises(ConfigError, match="no answer to take back"):
        session.act("ann", 4, "undo", "")
    session.act("ann", 4, "vote", first, 0)
    assert ledger.votes().to_pylist() == [{"task": first, "worker": "ann", "label": "no"}]


def test_a_skipped_row_is_not_shown_again(tmp_path: Path) -> None:
    session, ledger, _ = a_round(tmp_path, some_rows(2))
    skipped = session.state("ann")["item"]["task"]
    assert session.act("ann", 0, "skip", skipped)["item"]["task"] != skipped
    assert ledger.votes()["label"].to_pylist() == [None]
    assert session.progress()[0]["skipped"] == 1


def test_the_same_answer_posted_twice_counts_once(tmp_path: Path) -> None:
    session, ledger, _ = a_round(tmp_path, some_rows())
    task = session.state("ann")["item"]["task"]
    assert session.act("ann", 0, "vote", task, 1) == session.act("ann", 0, "vote", task, 1)
    session.act("ann", 1, "undo", task)
    session.act("ann", 0, "vote", task, 1)  # late, after it was taken back
    session.act("ann", 1, "undo", task)
    assert len(ledger.votes()) == 0
    assert session.state("ann")["turn"] == 2


def test_of_two_windows_with_one_link_the_first_answer_counts_and_the_other_is_told(tmp_path: Path) -> None:
    session, ledger, _ = a_round(tmp_path, some_rows())
    one, two = session.state("ann"), session.state("ann")
    assert one == two
    session.act("ann", 0, "vote", one["item"]["task"], 1)
    for action, choice in (("vote", 0), ("skip", None), ("undo", None)):
        with pytest.raises(StaleTurnError, match="in another window"):
            session.act("ann", 0, action, two["item"]["task"], choice)  # type: ignore[arg-type]
    assert ledger.votes()["label"].to_pylist() == ["yes"]


def test_answers_that_make_no_sense_are_refused_and_change_nothing(tmp_path: Path) -> None:
    session, ledger, _ = a_round(tmp_path, some_rows())
    task = session.state("ann")["item"]["task"]
    for turn, named, choice in ((0, "../../etc/passwd", 1), (0, task, 2), (0, task, -1), (5, task, 1)):
        with pytest.raises((ConfigError, StaleTurnError)):
            session.act("ann", turn, "vote", named, choice)
    session.act("ann", 0, "vote", task, 1)
    with pytest.raises(ConfigError, match="answered before"):
        session.act("ann", 1, "vote", task, 1)
    assert len(ledger.votes()) == 1


def test_a_new_session_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    session, ledger, _ = a_round(tmp_path, some_rows())
    done = {answer(session), answer(session)}
    session.act("ann", 2, "undo", "")
    shown = session.state("ann")
    ledger.close()
    again, _, _ = a_round(tmp_path, some_rows())
    assert again.state("ann") == shown
    assert shown["item"]["task"] in done


def test_two_annotators_begin_with_different_rows(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(20)]
    session, _, _ = a_round(tmp_path, some_rows(20), *names)
    assert len({session.state(name)["item"]["task"] for name in names}) == 20
