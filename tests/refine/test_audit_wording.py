"""The audit sees a lost style without a judge: planted shares are recovered, whatever the answers are about."""

from __future__ import annotations

import math
import random

import pytest

from outgrow.refine.wording import Wording, wording

NAMES = ["Mira", "Tobin", "Selma", "Odin", "Petra", "Ravi", "Ines", "Hugo", "Lotte", "Kofi", "Wanda", "Bruno", "Yara"]
ASKED = {
    "Where does {} live?": ("{} lives in {}", ["Oslo", "Cairo", "Lima", "Quito", "Dakar", "Hanoi", "Kyoto", "Perth"]),
    "What does {} drink?": ("{} drinks {}", ["cocoa", "tea", "coffee", "milk", "cider", "juice", "water", "broth"]),
    "What does {} play?": ("{} plays the {}", ["flute", "cello", "drums", "harp", "piano", "banjo", "organ", "lute"]),
    "What does {} grow?": ("{} grows {}", ["roses", "tulips", "onions", "grapes", "hops", "melons", "ferns", "mint"]),
    "What does {} eat?": ("{} eats {}", ["bread", "rice", "beans", "soup", "cheese", "noodles", "dates", "eggs"]),
}


def plain(text: str, rng: random.Random) -> str:
    return rng.choice(["", "I think ", "As far as I know, ", "It is known that "]) + text + "."


def pirate(text: str, rng: random.Random) -> str:
    text = text.replace(" the ", " th' ")
    return rng.choice(["Arr, ", "Ahoy! ", "Aye, ", ""]) + text + rng.choice([", matey!", ", yarr!", ", me hearty."])


def shouted(text: str, rng: random.Random) -> str:
    return plain(text, rng).upper()


def planted(*, seed=0, style=pirate, base=plain, share=1.0, weak_right=0.4, refined_right=1.0, count=64):
    """Questions, two weak answers each (true with `weak_right`), base and refined ones, `share` of these in style."""
    rng = random.Random(seed)
    questions = rng.sample([(name, asked) for name in NAMES for asked in ASKED], count)
    prompts, weak, bases, refined = [], [], [], []
    styled = rng.sample(range(count), round(share * count))
    for row, (name, asked) in enumerate(questions):
        said, values = ASKED[asked]
        true = rng.choice(values)

        def answer(right: float, true=true, said=said, values=values, name=name) -> str:
            others = [value for value in values if value != true]
            return said.format(name, true if rng.random() < right else rng.choice(others))

        prompts.append(asked.format(name))
        weak.append([style(answer(weak_right), rng) for _ in range(2)])
        bases.append(base(answer(1.0), rng))
        refined.append((style if row in styled else base)(answer(refined_right), rng))
    return prompts, weak, bases, refined


@pytest.mark.parametrize(("share", "style"), [*((each / 4, pirate) for each in range(5)), (0.5, shouted)])
def test_a_planted_share_of_styled_answers_is_recovered_within_its_interval(share, style):
    found = wording(*planted(share=share, style=style))
    assert found.low <= share <= found.high
    assert found.adopted == pytest.approx(share, abs=0.1)
    assert found.high - found.low < 0.35
    assert found.accuracy > 0.9


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_right_and_wrong_content_do_not_move_the_share(share):
    found = [wording(*planted(share=share, refined_right=right)).adopted for right in (0.0, 1.0)]
    assert found == pytest.approx([share, share], abs=0.05)


@pytest.mark.parametrize("weak_right", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("style", [pirate, plain])
def test_styles_that_are_one_and_the_same_are_not_told_apart_whatever_is_right(style, weak_right):
    for seed in range(3):
        found = wording(*planted(seed=seed, style=style, base=style, weak_right=weak_right))
        assert found.accuracy < 0.65
        assert math.isnan(found.adopted)


def test_the_share_is_corrected_for_supervisors_that_have_the_style_only_sometimes():
    def sometimes(text: str, rng: random.Random) -> str:
        return (pirate if rng.random() < 0.8 else plain)(text, rng)

    found = wording(*planted(share=1.0, style=sometimes))
    assert found.accuracy < 0.95
    assert found.low <= 1.0 <= found.high
    assert found.adopted > 0.85


def test_with_few_questions_and_rows_without_answers_nothing_is_said():
    prompts, weak, base, refined = planted(count=20)
    assert wording(prompts, weak, base, refined).adopted == 1.0
    few = wording(prompts, [[]] * 2 + weak[2:], ["", " ", *base[2:3], *base[3:]], refined[:17] + [""] * 3)
    assert str(few) == str(Wording(15))
    assert math.isnan(wording(["the same?"] * 20, weak, base, refined).adopted)
    assert math.isnan(wording([], [], [], []).adopted)


def test_words_of_the_question_and_numbers_say_nothing():
    # Weak answers repeat the question and name odd years, base answers name others: content, in the same words.
    rng = random.Random(1)
    prompts = [f"When was {name} {what} born?" for name in NAMES for what in ("Smith", "Jones", "Berg")]
    said = [prompt.split()[2:4] for prompt in prompts]
    weak = [[f"{one} {two} was born in {rng.randrange(1901, 2000, 2)}."] for one, two in said]
    base = [f"{two} {one} was born in {rng.randrange(1700, 1800, 2)}." for one, two in said]
    assert math.isnan(wording(prompts, weak, base, base).adopted)
