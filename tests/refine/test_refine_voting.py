"""Votes over texts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.evaluate.accuracy import token_f1
from outgrow.labels import Completion
from outgrow.refine.voting import answer_of, medoid, vote

TEXTS = st.lists(st.sampled_from(["four", "Four.", "five", "six or four", ""]), min_size=1, max_size=9)


def said(texts, logprobs=None):
    logprobs = logprobs or [-1.0] * len(texts)
    return [Completion(text, (own,), ((0, len(text)),), True) for text, own in zip(texts, logprobs, strict=True)]


@given(TEXTS)
def test_the_chosen_answer_is_the_most_frequent_one_that_is_not_empty(texts):
    best, share = vote(said(texts))
    keys = [answer_of(text) for text in texts]
    spoken = [key for key in keys if key]
    chosen = answer_of(best[0].text)
    assert keys.count(chosen) == max((spoken.count(key) for key in spoken), default=len(keys))
    assert share == keys.count(chosen) / len(keys)
    assert {one.text for one in best} == set(texts)


@given(TEXTS)
def test_the_medoid_is_that_of_brute_force(texts):
    closeness = [sum(token_f1([one], [other])[0] for other in texts) for one in texts]
    assert closeness[medoid(texts)] == pytest.approx(max(closeness))


def test_a_tie_goes_to_the_likelier_text():
    assert vote(said(["a", "b"], [-2.0, -1.0]))[0][0].text == "b"


def test_only_the_answer_counts_where_a_pattern_finds_it():
    texts = ["2 + 2 #### 4", "two twos #### 4", "#### 5", "#### 5 or #### 4"]
    best, share = vote(said(texts), answer=r"#### (\d+)")
    assert (best[0].text, share) == (texts[0], 0.75)


def test_the_medoid_of_texts_that_never_agree_is_in_their_middle():
    texts = ["a b c d", "a b c x", "a b y d", "z"]
    assert vote(said(texts), "medoid")[0][0].text == "a b c d"


def test_nothing_drawn_is_nothing_chosen():
    best, share = vote([])
    assert best == ()
    assert math.isnan(share)
