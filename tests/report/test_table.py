import re

import numpy as np
import pytest
from rich.text import Text

from outgrow.evaluate import ModelScores, summarise
from outgrow.evaluate.wording import estimate_text
from outgrow.labels import Note
from outgrow.report.table import table_text


@pytest.mark.parametrize("width", [100, 120])
def test_a_table_fits_its_width(one_metric, two_metrics, no_gap, width):
    for summary in (one_metric, two_metrics, no_gap):
        assert max(map(len, table_text(summary, width=width).splitlines())) <= width


@pytest.mark.parametrize("width", [40, 80, 100, 160])
def test_no_number_is_ever_cut(two_metrics, width):
    text = table_text(two_metrics, width=width)
    assert "…" not in text
    for metric in two_metrics.metrics:
        for line in metric.lines:
            for part in estimate_text(line.score.value, line.score.interval, separator="\n").split("\n"):
                assert part in text


def test_intervals_move_below_their_numbers_where_space_is_short(one_metric):
    beside = re.compile(r"\.\d{3} \[\.\d{3}, \.\d{3}\]")
    assert beside.search(table_text(one_metric, width=110))
    table = table_text(one_metric, width=70).split("Brackets")[0]
    assert not beside.search(table)


def test_a_long_name_is_broken_not_lost(hostile):
    text = table_text(hostile, width=60)
    assert "<script>alert" in text


def test_square_brackets_in_a_name_are_no_markup(hostile):
    assert "[red]x[/red]" in table_text(hostile)


def test_rows_run_from_supervisors_over_base_and_students_to_the_ceiling(one_metric):
    names = [line.split("  ")[0] for line in table_text(one_metric).splitlines()[3:10]]
    assert [name.strip() for name in names] == [
        "tfidf",
        "gpt2",
        "mean of",
        "supervisors",
        "untouched",
        "naive",
        "refined",
    ]


def test_an_undefined_gap_is_called_undefined_and_explained_below(no_gap):
    text = table_text(no_gap)
    assert "undefined" in text.split("Brackets")[0]
    assert re.search(r"! PGR against the best supervisor \(gpt2\) is undefined, because the\s+ceiling", text)


def test_columns_without_anything_to_say_are_left_out(bare):
    head = table_text(bare).splitlines()[1]
    assert head.split() == ["role", "score"]


def test_every_metric_has_its_own_table(two_metrics):
    text = table_text(two_metrics)
    assert "content: 200 test examples, 3 seeds, chance .250" in text
    assert "concept: 200 test examples, 3 seeds\n" in text


def test_notes_stand_below(one_metric):
    assert table_text(one_metric, [Note.from_json("3 rows were left out.")]).endswith("- 3 rows were left out.\n")


def test_grave_notes_stand_first_and_many_others_are_counted(one_metric):
    notes = [Note(f"acme.odd{n}", who=f"m{n}") for n in range(11)] + [Note("acme.bad", "warning")]
    text = table_text(one_metric, notes)
    assert text.index("! acme.bad") < text.index("- m0: acme.odd0")
    assert text.endswith("- m7: acme.odd7\n- … and 3 more notes on the run, in its report.\n")


def test_the_gravest_note_stands_above_the_tables_and_once_only(one_metric):
    text = table_text(one_metric, [Note("acme.doubt", "caution"), Note("acme.grave", "warning")])
    assert text.startswith("! acme.grave\n\naccuracy: ")
    assert text.count("acme.grave") == 1
    assert text.index("! acme.doubt") > text.index("Brackets")


def test_164_supervisors_of_one_vote_each_and_no_student_make_a_short_table():
    votes = np.eye(164)[:, None] / 2 + 0.5
    people = [ModelScores(f"p{m}", "supervisor", {"accuracy": own}) for m, own in enumerate(votes)]
    text = table_text(summarise(people, {"accuracy": 0.5}))
    assert len(text.splitlines()) <= 20
    assert "162 supervisors between the best and the worst" in text


def test_that_a_supervisor_is_at_chance_is_no_grave_doubt(one_metric):
    values = {"role": "supervisor", "score": 0.2, "chance": 0.25}
    notes = [Note("score.at_chance", "caution", "ann", values=values), Note("acme.doubt", "caution")]
    assert table_text(one_metric, notes).startswith("! acme.doubt")


def test_remarks_on_models_stand_below(hostile):
    assert "- $\\frac{1}{0}$ & co: <img src=x>" in table_text(hostile)


def test_plain_text_has_no_escape_codes_and_colour_adds_nothing_else(one_metric):
    plain, coloured = table_text(one_metric), table_text(one_metric, color=True)
    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    stripped = Text.from_ansi(coloured).plain
    assert [line.rstrip() for line in stripped.splitlines()] == plain.splitlines()
