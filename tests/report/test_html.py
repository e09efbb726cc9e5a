import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from outgrow.evaluate import ModelScores, summarise
from outgrow.labels import Note
from outgrow.report.html import report_html
from outgrow.report.notes import sentence
from outgrow.report.settings import changed_settings

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects tags and visible text, and fails on tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    def having(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


PROVENANCE = {
    "config": {
        "task": {"name": "sentiment", "path": "data/mr"},
        "supervisors": [{"features": {"name": "tfidf"}}, {"model": "gpt2", "train": {"learning_rate": 5e-5}}],
        "strong": {"model": "minilm", "adapter": {"name": "probe"}},
        "methods": {"naive": {}, "refined": {"refine": {"name": "icl", "demonstrations": 4}}},
    },
    "versions": {"outgrow": "0.1.0"},
    "seeds": [0, 1, 2],
    "hashes": {"data": "9f2c51aa"},
    "seconds": {"labels": 4.41, "students": 71.9},
    "sizes": {"gold": 1000, "unlabelled": 2000, "test": 200},
    "started": "2026-01-05T10:22:31+00:00",
    "machine": {"cores": 2},
}


@pytest.fixture(scope="module")
def page(two_metrics):
    return Page(report_html("my experiment", two_metrics, PROVENANCE, [Note.from_json("3 rows were left out.")]))


def test_the_page_opens_with_what_was_found(page):
    (heading,) = [index for index, (tag, _) in enumerate(page.tags) if tag == "h1"]
    assert heading < 20
    assert "“refined” outgrows its best supervisor on content" in page.words


@pytest.mark.parametrize(
    "words",
    [
        "task: {name: sentiment, path: data/mr}",
        "features: tfidf",
        "model: gpt2 train: {learning_rate: 5.0e-05}",
        "strong: {model: minilm, adapter: probe}",
        "refine: {name: icl, demonstrations: 4}",
        "Rows: 1,000 gold, 2,000 unlabelled, 200 test.",
        "outgrow 0.1.0",
        "0, 1, 2",
        "data 9f2c51aa",
        "labels 4.4 s",
        "students 1 min 12 s",
        "2026-01-05 10:22 UTC",
        "3 rows were left out.",
        "cores 2",
        "learning_rate: 5.0e-05",
        "2,000 bootstrap resamples",
    ],
)
def test_setting_and_provenance_are_on_the_page(page, words):
    assert words in page.words


def test_every_score_is_on_the_page_with_its_interval(page, two_metrics):
    for metric in two_metrics.metrics:
        for line in metric.lines:
            assert f"{line.score.value:.3f}"[1:] in page.words
            assert f"[{line.score.interval[0]:.3f}, {line.score.interval[1]:.3f}]".replace("0.", ".") in page.words


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(page):
    assert not {"script", "link", "iframe", "img", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        # Inside figures, references to their own parts are fine.
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    (policy,) = [meta["content"] for meta in page.having("meta") if meta.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_the_page_can_be_read_by_machines_that_read_aloud(page):
    assert page.having("html")[0]["lang"] == "en"
    assert all(header.get("scope") in {"row", "col"} for header in page.having("th"))
    figures = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(figures) == 3
    assert "naive (student) ." in figures[0]["aria-label"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(own.get("aria-labelledby", ids[0]) in ids for _, own in page.tags)


def test_the_page_follows_dark_mode_paper_and_phones(two_metrics):
    text = report_html("x", two_metrics, {})
    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media print" in text
    assert 'name="viewport"' in text


def test_all_colours_of_figures_are_defined_in_the_style(two_metrics):
    text = report_html("x", two_metrics, {})
    used, defined = set(re.findall(r"var\((--\w+)\)", text)), set(re.findall(r"(--\w+):", text))
    assert used <= defined


def test_many_notes_are_folded_and_none_is_lost(one_metric):
    notes = [Note(f"acme.{name}", who=name, values={"rows": count}) for name in "abcdefghijkl" for count in (1, 2)]
    text = report_html("x", one_metric, {}, [*notes, Note("acme.bad", "warning")])
    page = Page(text)
    assert all(sentence(note) in page.words for note in notes)
    assert page.words.index("acme.bad") < page.words.index(sentence(notes[0]))
    assert text.count("and 1 like it") == 12
    assert "4 more notes of the run" in page.words
    assert "more notes" not in report_html("x", one_metric, {}, notes[:16])


def test_markup_in_names_notes_and_configuration_comes_out_as_text(hostile):
    evil = "</code></pre><script>alert(2)</script>"
    text = report_html(
        evil,
        hostile,
        {
            "config": {"task": {"name": evil}, "methods": {evil: {"objective": evil}}, "supervisors": [evil]},
            "versions": {evil: evil},
            "hashes": {"a": evil},
            "started": evil,
            "sizes": {evil: evil},
            evil: evil,
        },
        [Note(evil, who=evil, values={evil: evil}), Note.from_json(evil)],
    )
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert evil in Page(text).words


def test_content_and_concept_get_a_plane_whatever_else_is_measured(two_metrics):
    first, second = two_metrics.metrics
    third = dataclasses.replace(first, metric="rated")
    summary = dataclasses.replace(two_metrics, metrics=(third, second, first))
    assert "content against concept" in report_html("x", summary, {})
    others = dataclasses.replace(summary, metrics=(third, second, dataclasses.replace(first, metric="kindness")))
    assert "The two metrics against each other" not in report_html("x", others, {})


def test_two_metrics_get_a_plane_and_one_does_not(one_metric, two_metrics):
    assert "The two metrics against each other" in report_html("x", two_metrics, {})
    assert "The two metrics against each other" not in report_html("x", one_metric, {})


def test_the_gravest_doubt_stands_behind_the_answer_and_once_only(one_metric):
    notes = [Note("acme.mild"), Note("acme.doubt", "caution"), Note("acme.grave", "warning")]
    words = Page(report_html("x", one_metric, {}, notes)).words
    order = (
        "outgrows",
        "The gravest doubt",
        "acme.grave",
        "It scores",
        "acme.doubt",
        "acme.mild",
        "Results",
        "Setting",
    )
    places = [words.index(text) for text in order]
    assert places == sorted(places)
    assert words.count("acme.grave") == 1
    assert "gravest doubt" not in report_html("x", one_metric, {}, notes[:1])


def crowd(people):
    rng = np.random.default_rng(0)
    known = {f"person{n}": rng.random((1, 50)) < 0.3 + 0.4 * n / people for n in range(people)}
    models = [ModelScores(name, "supervisor", {"accuracy": right.astype(float)}) for name, right in known.items()]
    return summarise([*models, ModelScores("naive", "student", {"accuracy": np.ones((1, 50))})], {})


def test_of_many_supervisors_the_best_and_the_worst_are_shown_and_the_rest_is_folded():
    page = Page(report_html("x", crowd(40), {}))
    shown = [row for row in page.having("tr") if row.get("class") == "supervisor"]
    assert len(shown) == 3  # the best, the worst, and the mean
    assert all(f"person{n}" in page.words for n in range(40))
    assert page.words.count("person20") == 1
    assert "38 supervisors between the best and the worst" in page.words
    assert "between the best" not in report_html("x", crowd(12), {})


def test_settings_are_those_that_differ_from_the_defaults_and_paths_are_names():
    settings = {
        "task": {"path": "/home/ann/data/task.csv", "limit": None, "split": {"gold": 0.1, "seed": 0}},
        "supervisors": [{"votes": "/home/ann/votes.csv", "abstain": []}],
        "strong": {"model": "/home/ann/minilm/model", "batch_size": 32},
        "store": "/home/ann/store",
        "output": "/home/ann/out",
    }
    assert changed_settings(settings) == {
        "task": {"path": "task.csv", "split": {"gold": 0.1}},
        "supervisors": [{"votes": "votes.csv"}],
        "strong": {"model": "minilm"},
    }
    assert "/home" not in report_html("x", crowd(2), {"config": settings, "store": "/home/ann/store"})


def test_settings_that_cannot_be_read_are_shown_as_they_are():
    settings = {"task": {"name": "of a plug-in", "limit": None}, "methods": {"naive": {"combine": {"name": "odd"}}}}
    expected = {"task": "of a plug-in", "methods": {"naive": {"combine": "odd"}}}
    assert changed_settings(settings) == expected


def test_an_undefined_gap_is_explained_before_the_table(no_gap):
    words = Page(report_html("x", no_gap, {})).words
    assert words.index("is undefined, because the ceiling") < words.index("Results")


def test_a_page_without_provenance_or_anything_to_compare_is_still_a_page(bare):
    words = Page(report_html("x", bare, {})).words
    assert "PGR (best)" not in words
    assert "200 test" in words


def test_the_same_results_give_the_same_page(one_metric):
    assert report_html("x", one_metric, PROVENANCE) == report_html("x", one_metric, PROVENANCE)


def test_numbers_below_zero_have_a_minus_sign(two_metrics, no_gap):
    words = Page(report_html("x", no_gap, {})).words
    assert re.search(r"−\.\d{3} \[−\.\d{3}", words)


def test_combinations_and_the_model_trained_on_gold_have_rows_marks_and_colours():
    def right(count):
        return {"accuracy": (np.arange(100) < count)[None].astype(float)}

    roles = {"ann": "supervisor", "bob": "supervisor", "vote": "combined", "gold only": "gold", "naive": "student"}
    models = [ModelScores(name, role, right(40 + 10 * n)) for n, (name, role) in enumerate(roles.items())]
    page = Page(report_html("x", summarise([*models, ModelScores("top", "ceiling", right(95))], {}), {}))
    assert {"combined", "gold"} <= {row.get("class") for row in page.having("tr")}
    assert "PGR (comb.)" in page.words
    assert "The same model trained on the gold rows alone scores .700" in page.words
    assert "var(--combined)" in str(page.tags)
    assert "pointing down: their combinations" in page.words


def test_the_caption_explains_the_marks_that_are_shown_and_no_others(page):
    assert "circles are students" in page.words
    assert "combinations" not in page.words
    assert "the plus" not in page.words
