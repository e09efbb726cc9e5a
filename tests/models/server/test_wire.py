"""What is read out of replies: any text, any tokens, any nonsense."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_server import reply
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server.wire import (
    MalformedReplyError,
    Reply,
    ServedModel,
    Token,
    align,
    generate_request,
    read_reply,
    score_request,
    to_completion,
    to_score,
)

PLAIN, STOPPING = GenerateOptions(), GenerateOptions(stop=("\n", "END"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage"]), inner),
)


def pieces(text: str, cuts: list[int]) -> list[Token]:
    """The text's bytes, cut anywhere."""
    data = text.encode()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [Token(data[start:end], -1.0) for start, end in itertools.pairwise(places)]


@given(st.text(min_size=1), st.lists(st.integers(0, 1000)))
def test_spans_cover_the_text_in_order_wherever_tokens_cut_it(text, cuts):
    tokens = pieces(text, cuts)
    spans = align(tokens, text, finished=True)
    assert len(spans) == len(tokens)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    for token, (start, end) in zip(tokens, spans, strict=True):
        assert token.data in text[start:end].encode()
        assert len(text[start:end].encode()) < len(token.data) + 2 * 4


@given(st.text(min_size=1), st.lists(st.integers(0, 1000)))
def test_the_end_of_sequence_token_has_the_empty_span_at_the_end(text, cuts):
    tokens = [*pieces(text, cuts), Token(b"<end>", -0.1), Token(b"<more>", -0.1)]
    assert align(tokens, text, finished=True)[-1] == (len(text), len(text))
    assert len(align(tokens, text, finished=False)) == len(tokens) - 2


@given(st.text(min_size=1), st.text(min_size=1))
def test_tokens_of_another_text_have_no_spans(text, other):
    spelt = align([Token(other.encode(), -1.0)], text, finished=True)
    assert bool(spelt) == other.startswith(text)


@given(json_values, st.sampled_from(["chat", "completions"]))
def test_any_json_is_read_or_malformed(value, api):
    try:
        found = read_reply(json.dumps(value), api)
    except MalformedReplyError:
        return
    assert isinstance(found.text, str)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"choices": [{"message": {"content": "a"}, "x": ' + "[" * 100_000, "9" * 5000, ""]
)
def test_what_no_parser_reads_is_malformed(text):
    with pytest.raises(MalformedReplyError):
        read_reply(text, "chat")


@pytest.mark.parametrize("given_bytes", [2**64, 10**9, [2**64], [-1], ["x"], {"a": 1}, "ab", [97.0]])
def test_bytes_that_are_none_discard_the_log_probabilities_and_take_no_memory(given_bytes):
    tokens = {"content": [{"token": "a", "logprob": -1.0, "bytes": given_bytes}]}
    assert read_reply(json.dumps(reply("a", logprobs=tokens)), "chat").tokens == ()


def test_a_log_probability_beyond_all_numbers_discards_them():
    text = json.dumps(reply("a", logprobs={"content": [{"token": "a", "logprob": -12345}]}))
    assert read_reply(text.replace("-12345", "-1" + "0" * 400), "chat").tokens == ()


@given(st.text(), json_values)
def test_nonsense_beside_an_answer_does_no_harm(text, nonsense):
    body = reply(text, logprobs=nonsense, stop_reason=nonsense) | {"usage": nonsense}
    found = to_completion(read_reply(json.dumps(body), "chat"), PLAIN)
    assert len(found.logprobs) == len(found.offsets)


@given(st.text(), st.lists(st.integers(0, 1000)), st.booleans())
def test_a_text_ends_before_the_first_stop_string(text, cuts, heeded):
    whole = Reply(text, "stop", heeded or None, tuple(pieces(text, cuts)) if text else ())
    found = to_completion(whole, STOPPING)
    assert text.startswith(found.text)
    assert not any(stop in found.text for stop in STOPPING.stop)
    assert not found.finished
    assert all(end <= len(found.text) for _, end in found.offsets)


@pytest.mark.parametrize(
    ("reason", "stopped", "options", "finished"),
    [
        ("stop", None, PLAIN, True),
        ("length", None, PLAIN, False),
        ("stop", True, PLAIN, False),
        ("stop", None, STOPPING, False),
        ("stop", False, STOPPING, True),
    ],
)
def test_who_ended_a_text_is_claimed_only_where_it_is_known(reason, stopped, options, finished):
    assert to_completion(Reply("so", reason, stopped), options).finished is finished


@pytest.mark.parametrize("wrong", [None, float("nan"), 0.5, "−1", True])
def test_one_wrong_log_probability_discards_all(wrong):
    content = [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": wrong}]
    found = read_reply(json.dumps(reply("ab", logprobs={"content": content})), "chat")
    assert to_completion(found, PLAIN).logprobs == ()


def test_too_few_log_probabilities_are_discarded():
    logprobs = {"tokens": ["a", "b"], "token_logprobs": [-1.0]}
    found = read_reply(json.dumps(reply("ab", api="completions", logprobs=logprobs)), "completions")
    assert to_completion(found, PLAIN).logprobs == ()


def test_bytes_spell_what_a_token_alone_cannot():
    halves = [{"token": "�", "bytes": list(part), "logprob": -1.0} for part in ("é".encode()[:1], "é".encode()[1:])]
    found = read_reply(json.dumps(reply("é", logprobs={"content": halves})), "chat")
    assert to_completion(found, PLAIN).offsets == ((0, 1), (0, 1))


def test_a_refusal_that_is_marked_as_one_is_what_was_said():
    body = reply(None)
    body["choices"][0]["message"]["refusal"] = "I will not."
    assert read_reply(json.dumps(body), "chat").text == "I will not."


def test_an_answer_of_nothing_is_empty_and_half_a_surrogate_is_replaced():
    assert read_reply(json.dumps(reply(None, reason="length")), "chat").text == ""
    assert read_reply(json.dumps(reply("a\ud800")), "chat").text == "a�"


@given(st.text(min_size=1), st.text(min_size=1), st.lists(st.integers(0, 1000)))
def test_scores_belong_to_the_continuation_alone(prompt, text, cuts):
    tokens = [*pieces(prompt, cuts), *pieces(text, cuts)]
    found = to_score(Reply(prompt + text, "length", None, tuple(tokens)), prompt, text)
    assert len(found.logprobs) == len(pieces(text, cuts))
    assert found.offsets[0][0] == 0


@given(st.text(), st.integers(0, 3), st.integers(0, 3))
def test_keys_are_equal_exactly_for_the_same_sample(prompt, one, other):
    model, options = ServedModel("small"), GenerateOptions(temperature=1.0, n=4)
    keys = {generate_request(model, prompt, options, sample).key for sample in (one, other)}
    assert len(keys) == 1 + (one != other)


def test_greedy_requests_send_no_seed_and_scores_no_tokens():
    assert "seed" not in generate_request(ServedModel("small"), "a", PLAIN, 0).body
    assert score_request(ServedModel("small", api="completions"), "a", " b").body["max_tokens"] == 0
