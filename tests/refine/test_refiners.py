"""All refiners of text tasks: what they may see, what they drop, and how they vote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from text_rows import Echo, make_labels, make_rows, marked, shown

from outgrow.errors import ConfigError, DataError
from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions
from outgrow.models.scripted import ScriptedLanguageModel
from outgrow.refine.ask_to_improve import AskToImprove
from outgrow.refine.icl import ICL
from outgrow.refine.infer_and_respond import InferAndDemonstrate, InferAndRespond
from outgrow.refine.refinement import Refinement
from outgrow.registry import create
from outgrow.report.notes import sentence

OPTIONS = GenerateOptions()
QUERY = "Q {prompt} A"
CHOICES_OF_DEMONSTRATIONS = [
    {"select": "random"},
    {"select": "random", "share": 3},
    {"select": "tfidf"},
    {"select": "tfidf", "share": 3},
    {"select": "confidence"},
    {"select": "confidence", "share": 2},
    {"select": "stratified"},
]
BLIND = [
    *(ICL(demonstrations=2, draws=2, query=QUERY, **how) for how in CHOICES_OF_DEMONSTRATIONS),
    *(InferAndDemonstrate(demonstrations=2, query=QUERY, batch=3, **how) for how in CHOICES_OF_DEMONSTRATIONS),
    InferAndRespond(batch=1, query=QUERY),
    InferAndRespond(batch=4, draws=3, query=QUERY),
    InferAndRespond(batch=2, pooled=True, query=QUERY),
    InferAndRespond(preset="paper", pooled=True, query=QUERY),
]


def item_of(prompt: str) -> int:
    """Which row a prompt labels: the last question in it."""
    return int(prompt.rpartition("Q q")[2].partition("?")[0])


@pytest.mark.parametrize("refiner", BLIND, ids=repr)
@given(count=st.integers(9, 24), seed=st.integers(0, 2**31))
def test_no_weak_answer_reaches_the_prompt_that_labels_its_own_row(refiner, count, seed):
    rows, labels = marked(count)
    model = Echo()  # says back all it has read: what it is shown anywhere, it hands on
    refiner.texts(rows, labels, model, options=OPTIONS, seed=seed)
    asked = [prompt for prompt in model.asked if prompt.endswith("A")]
    assert {item_of(prompt) for prompt in asked} == set(range(count))
    assert all(shown(prompt) for prompt in asked)  # others' answers are there, or the test could not fail
    assert all(item_of(prompt) not in shown(prompt) for prompt in asked)


def test_asked_to_improve_the_model_sees_the_answer_to_this_row_and_no_other():
    rows, labels = marked(6)
    model = Echo()
    AskToImprove(query=QUERY).texts(rows, labels, model, options=OPTIONS, seed=0)
    assert [shown(prompt) for prompt in model.asked] == [[row] for row in range(6)]


def test_without_a_weak_text_there_is_nothing_to_improve():
    rows = make_rows(["one?", "two?"])
    prompts = AskToImprove().prompts(rows, make_labels(rows, [None, "x"]), seed=0)
    assert prompts[0] == "Question: one?\nAnswer:"


@pytest.mark.parametrize("refiner", BLIND, ids=repr)
def test_a_single_row_is_refused(refiner):
    rows, labels = marked(1)
    with pytest.raises(DataError, match=r"[Tt]oo few rows"):
        refiner.texts(rows, labels, Echo(), options=OPTIONS, seed=0)


@pytest.mark.parametrize("refiner", BLIND, ids=repr)
def test_the_same_seed_asks_the_same(refiner):
    rows, labels = marked(12)
    first, again = Echo(), Echo()
    for model in (first, again):
        refiner.texts(rows, labels, model, options=OPTIONS, seed=7)
    assert first.asked == again.asked


@pytest.mark.parametrize("refiner", [ICL(1), InferAndRespond(batch=1), InferAndDemonstrate(1, batch=1), AskToImprove()])
@given(prompt=st.text(min_size=1).filter(str.strip), answer=st.text(min_size=1).filter(str.strip))
def test_braces_and_quotes_in_data_are_just_text(refiner, prompt, answer):
    answer = f"{{prompt}} \"{answer.strip()}' {{concept}}"
    rows = make_rows([f"1 {prompt} {{answer}}", f"2 {{demonstrations}} {prompt}"])
    model = Echo()
    refiner.texts(rows, make_labels(rows, [answer, answer]), model, options=OPTIONS, seed=0)
    assert any(answer in one for one in model.asked)
    assert sum(f"Question: {rows.prompts[0]}\nAnswer:" in one for one in model.asked) >= 1


@given(room=st.integers(0, 400), seed=st.integers(0, 99))
def test_what_is_too_long_is_left_out_whole_and_counted(room, seed):
    rows = make_rows(f"q{index}?" for index in range(12))
    labels = make_labels(rows, [f"<<{index}>>" + "x" * 10 * index for index in range(12)])
    model = Echo(room)
    refined = ICL(demonstrations=5).texts(rows, labels, model, options=GenerateOptions(max_new_tokens=8), seed=seed)
    blocks = {index: f"Question: q{index}?\nAnswer: <<{index}>>{'x' * 10 * index}\n\n" for index in range(12)}
    for row, prompt in enumerate(model.asked):
        others = shown(prompt)
        assert prompt == "".join(blocks[index] for index in others) + f"Question: q{row}?\nAnswer:"
        assert len(prompt) + 8 <= room or not others
    assert refined.dropped == 12 * 5 - sum(len(shown(prompt)) for prompt in model.asked)
    assert refined.bare == sum(not shown(prompt) for prompt in model.asked)
    assert bool(refined.notes("icl", 0)) == bool(refined.dropped)


def test_the_demonstrations_next_to_the_question_stay():
    rows, labels = marked(8)
    whole, short = Echo(), Echo(room=100)
    for model in (whole, short):
        ICL(demonstrations=4).texts(rows, labels, model, options=GenerateOptions(max_new_tokens=1), seed=0)
    for long, cut in zip(whole.asked, short.asked, strict=True):
        assert len(cut) < len(long)
        assert long.endswith(cut)


def test_similar_questions_are_shown_nearest_last():
    rows = make_rows(["red bird?", "red birds sing?", "old stone?", "stone walls?", "red stone?"])
    labels = make_labels(rows, [f"<<{index}>>" for index in range(5)])
    prompts = ICL(demonstrations=2, select="tfidf").prompts(rows, labels, seed=0)
    assert shown(prompts[0])[-1] == 1
    assert set(shown(prompts[2])) == {3, 4}


def test_similar_questions_share_what_is_similar_to_all_of_them():
    rows = make_rows([f"{kind} {number}?" for number in range(6) for kind in ("red bird", "old stone")])
    prompts = ICL(demonstrations=2, select="tfidf", share=3).prompts(
        rows, make_labels(rows, [f"<<{index}>>" for index in range(12)]), seed=0
    )
    blocks = [tuple(shown(prompt)) for prompt in prompts]
    assert all({place % 2 for place in own} == {row % 2} for row, own in enumerate(blocks))
    assert sorted(map(blocks.count, set(blocks))) == [3, 3, 3, 3]


class Sceptic(Echo):
    """Finds the answers to even questions plausible."""

    def logprobs(self, pairs, *, end=False, too_long="error"):
        self.read = [prompt for prompt, _ in pairs]
        return [
            Completion(answer, (-1.0 if int(answer.strip("< >")) % 2 == 0 else -5.0,), ((0, 1),), True)
            for _, answer in pairs
        ]


@pytest.mark.parametrize("how", [{}, {"select": "tfidf"}, {"select": "tfidf", "share": 3}, {"draws": 2}])
def test_answers_that_the_strong_model_finds_plausible_are_shown(how):
    rows, labels = marked(24)
    model = Sceptic()
    ICL(demonstrations=2, plausible=0.2, **how).texts(rows, labels, model, options=OPTIONS, seed=0)
    assert all(len(shown(prompt)) == 2 for prompt in model.asked)
    assert all(place % 2 == 0 for prompt in model.asked for place in shown(prompt))


@pytest.mark.parametrize("select", ["random", "tfidf"])
def test_an_answer_is_judged_plausible_behind_random_answers_to_other_questions(select):
    rows, labels = marked(24)
    read = []
    for seed in (0, 1):
        model = Sceptic()
        refiner = ICL(demonstrations=2, plausible=0.5, query=QUERY, select=select)
        refiner.texts(rows, labels, model, options=OPTIONS, seed=seed)
        assert [item_of(prompt) for prompt in model.read] == list(range(24))
        assert all(shown(prompt) and item_of(prompt) not in shown(prompt) for prompt in model.read)
        read.append([shown(prompt) for prompt in model.read])
    assert read[0] != read[1]


def test_with_few_rows_as_many_as_there_are_are_candidates():
    rows, labels = marked(5)
    model = Sceptic()
    ICL(demonstrations=2, plausible=0.01).texts(rows, labels, model, options=OPTIONS, seed=0)
    assert all(len(shown(prompt)) == 2 for prompt in model.asked)


def test_a_model_that_scores_no_texts_cannot_say_what_is_plausible():
    class Mute:
        name = "mute"

        def generate(self, prompts, options):
            raise AssertionError("nothing should be asked")

    rows, labels = marked(9)
    with pytest.raises(ConfigError, match="score given texts"):
        ICL(demonstrations=1, plausible=0.5).texts(rows, labels, Mute(), options=OPTIONS, seed=0)


def test_a_second_round_shows_the_refined_answers_of_the_first():
    class Counting(Echo):
        def generate(self, prompts, options):
            answers = super().generate(prompts, options)
            return [[Completion(f" round {len(self.asked) // 6}", (), (), True)] for _ in answers]

    rows, labels = marked(6)
    model = Counting()
    refined = ICL(demonstrations=2, rounds=2).texts(rows, labels, model, options=OPTIONS, seed=0)
    assert all(shown(prompt) for prompt in model.asked[:6])
    assert all(prompt.count("round 1") == 2 and not shown(prompt) for prompt in model.asked[6:])
    assert refined.texts() == ["round 2"] * 6


def test_the_models_own_embeddings_say_what_is_similar():
    class Embedding(Echo):
        def embed(self, texts):
            import numpy as np

            return np.array([[float(len(text)), 1.0] for text in texts])

    rows = make_rows(["a", "bb", "c" * 30, "d" * 31])
    model = Embedding()
    ICL(demonstrations=1, select="embedding").texts(
        rows, make_labels(rows, ["<<0>>", "<<1>>", "<<2>>", "<<3>>"]), model, options=OPTIONS, seed=0
    )
    assert [shown(prompt) for prompt in model.asked] == [[1], [0], [3], [2]]


def test_a_model_without_embeddings_is_told_apart():
    rows, labels = marked(5)
    with pytest.raises(ConfigError, match="does not embed"):
        ICL(demonstrations=1, select="embedding").texts(rows, labels, Echo(), options=OPTIONS, seed=0)


def test_confident_supervisors_are_shown():
    rows = make_rows(f"q{index}?" for index in range(20))
    cells = tuple(((Completion(f"<<{index}>>", (-1.0 - index % 5,), ((0, 1),), True),),) for index in range(20))
    labels = make_labels(rows, [""] * 20)
    labels = type(labels)(labels.ids, ("s",), cells)
    text = "".join(ICL(demonstrations=3, select="confidence").prompts(rows, labels, seed=0))
    assert {index % 5 for index in shown(text)} <= {0, 1}


def test_stratified_prompts_show_all_supervisors_equally():
    rows = make_rows(f"q{index}?" for index in range(30))
    labels = make_labels(rows, ["one"] * 30, ["two"] * 30)
    for prompt in ICL(demonstrations=4, select="stratified").prompts(rows, labels, seed=0):
        assert prompt.count("one") == prompt.count("two") == 2


def test_shared_demonstrations_are_the_same_for_a_block_of_questions():
    rows, labels = marked(20)
    prompts = ICL(demonstrations=4, share=5).prompts(rows, labels, seed=0)
    heads = [prompt.rpartition("Question:")[0] for prompt in prompts]
    assert sorted(heads.count(head) for head in set(heads)) == [5] * 4


@pytest.mark.parametrize(("settings", "sets"), [({}, 34), ({"preset": "paper"}, 100), ({"select": "confidence"}, 34)])
def test_by_default_many_questions_share_demonstrations_and_the_papers_form_shares_none(settings, sets):
    rows, labels = marked(100)
    prompts = ICL(demonstrations=4, **settings).prompts(rows, labels, seed=0)
    assert len({prompt.rpartition("Question:")[0] for prompt in prompts}) == sets


def test_draws_are_put_to_the_vote():
    rows, labels = marked(8)
    answers = iter(["Four", "five", "four."] * 8)
    by_row: dict[str, list[str]] = {}

    def say(prompt: str) -> str:
        row = prompt.rpartition("Question: ")[2]
        by_row.setdefault(row, []).append(next(answers))
        return f" {by_row[row][-1]}"

    refined = ICL(demonstrations=2, draws=3).texts(rows, labels, ScriptedLanguageModel(say), options=OPTIONS, seed=0)
    for row, text in enumerate(refined.texts()):
        said = [one.strip(".").lower() for one in by_row[f"q{row}?\nAnswer:"]]
        most = max(said.count(one) for one in said)
        assert said.count(text.strip(".").lower()) == most
        assert refined.agreement[row] == pytest.approx(most / 3)


def test_a_model_that_says_nothing_leaves_rows_to_be_answered_without_a_concept():
    rows, labels = marked(6)
    refined = InferAndRespond(batch=2).texts(
        rows, labels, ScriptedLanguageModel(lambda prompt: ""), options=OPTIONS, seed=0
    )
    assert refined.concepts == ("",) * 6
    assert any("no concept could be inferred for 6 of 6" in remark for remark in map(sentence, refined.notes("icl", 0)))


def test_a_pooled_concept_is_the_one_most_like_the_others():
    rows, labels = marked(12)
    said = iter(["Talk like a pirate.", "Speak like a pirate.", "Talk like a pirate, matey.", "Be brief."])
    model = ScriptedLanguageModel(lambda prompt: " x" if "How to answer" in prompt else " " + next(said))
    refined = InferAndRespond(batch=3, pooled=True).texts(rows, labels, model, options=OPTIONS, seed=0)
    assert all("pirate" in concept for concept in refined.concepts)


def test_rows_that_cannot_be_asked_have_no_label_and_are_counted():
    class Full(Echo):
        def generate(self, prompts, options):
            return [[] for _ in prompts]

    rows, labels = marked(6)
    refined = ICL(demonstrations=2).texts(rows, labels, Full(), options=OPTIONS, seed=0)
    assert refined.texts() == [None] * 6
    assert any("6 of 6 rows have no refined answer" in remark for remark in map(sentence, refined.notes("icl", 0)))


def test_a_refinement_is_read_back_as_it_was_written():
    rows, labels = marked(9)
    refined = InferAndDemonstrate(demonstrations=2, batch=3).texts(
        rows, labels, Echo(room=300), options=OPTIONS, seed=0
    )
    assert refined.dropped
    assert Refinement.from_arrow(refined.to_arrow()) == refined


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("icl", {"draws": 0}),
        ("icl", {"share": 0}),
        ("icl", {"select": "nearest"}),
        ("icl", {"plausible": 0}),
        ("icl", {"plausible": 1.5}),
        ("icl", {"rounds": 0}),
        ("icl", {"vote": "majority"}),
        ("icl", {"answer": "("}),
        ("infer_and_respond", {"batch": 0}),
        ("infer_and_respond", {"infer": "What do they share?"}),
        ("infer_and_respond", {"instruction": "Answer well."}),
        ("infer_and_respond", {"preset": "papers"}),
        ("infer_and_demonstrate", {"example": "{prompt}"}),
        ("infer_and_demonstrate", {"demonstrations": 0}),
        ("ask_to_improve", {"improve": "{prompt}"}),
    ],
)
def test_parameters_that_cannot_work_are_refused(name, parameters):
    with pytest.raises(ConfigError):
        create("refiner", name, parameters)
