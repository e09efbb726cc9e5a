from __future__ import annotations

import numpy as np
import pytest

from outgrow.errors import ConfigError, DataError
from outgrow.models.features import Tfidf

TEXTS = ["good film", "good plot", "bad film", "bad plot", "so so film", "so so plot"]
LABELS = np.array([1, 1, 0, 0, 2, 2])


def test_it_learns_the_word_that_decides() -> None:
    probs = Tfidf().fit(TEXTS, LABELS, classes=3).predict_proba(["bad bad", "good heart", "so so so"])
    assert probs.argmax(axis=1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(probs.sum(axis=1), 1)


def test_a_class_that_no_training_row_has_gets_no_probability() -> None:
    probs = Tfidf().fit(TEXTS, LABELS, classes=5).predict_proba(["good film"])
    assert probs.shape == (1, 5)
    assert probs[0, 3:].tolist() == [0.0, 0.0]


def test_a_text_of_unknown_words_is_judged_all_the_same() -> None:
    np.testing.assert_allclose(Tfidf().fit(TEXTS, LABELS, classes=3).predict_proba(["zzz"]).sum(), 1)


def test_one_class_only_is_refused() -> None:
    with pytest.raises(DataError, match=r"one class only(.|\n)*2 gold rows, all of class 1"):
        Tfidf().fit(["a b", "c d"], np.array([1, 1]), classes=2)


@pytest.mark.parametrize("texts", [["!", "?"], ["a", "b"]])
def test_texts_without_a_word_are_refused(texts: list[str]) -> None:
    with pytest.raises(DataError, match="no words"):
        Tfidf().fit(texts, np.array([0, 1]), classes=2)


@pytest.mark.parametrize("wrong", [{"ngrams": 0}, {"min_count": 0}, {"regularization": 0.0}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="tfidf is out of range"):
        Tfidf(**wrong)
