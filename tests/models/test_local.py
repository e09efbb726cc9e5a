"""LocalLanguageModel against a plain forward pass, on tiny random models made on the spot."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from outgrow.errors import ConfigError, ModelError
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.models.tokens import (
    contiguous_spans,
    decode_after,
    encode_answer,
    generated_spans,
    spans_by_decoding,
    spelled_spans,
)

CONTEXT = 48
PROMPTS = ("a", "Where does Mira live?", "What?", "Where does Tobin eat all of his rice?", "", "äöü 😀 ok")


def byte_tokenizer(end: str | None = "<end>") -> PreTrainedTokenizerFast:
    """One token per byte, so that most random texts cut through characters; no padding token."""
    vocabulary = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    if end:
        vocabulary[end] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end)


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Words with a mark for the space before them: the mark of a text's first word is dropped in decoding."""
    words = ["<end>", "<unk>", "▁red", "▁green", "▁blue", "▁sky", "▁sea", "ish", "▁Answer:"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>")


def random_model(architecture: str, tokenizer: PreTrainedTokenizerFast, scale: float = 0.3):
    """A small random model; a large initial scale makes its distributions uneven."""
    common = {"vocab_size": len(tokenizer), "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        if architecture == "llama":
            sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
            config = LlamaConfig(max_position_embeddings=CONTEXT, initializer_range=scale, **sizes, **common)
            return LlamaForCausalLM(config)
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT}
        return GPT2LMHeadModel(GPT2Config(initializer_range=scale, **sizes, **common))


def make(architecture: str = "llama", batch_size: int = 4, tokenizer=None, **kwargs) -> LocalLanguageModel:
    tokenizer = tokenizer or byte_tokenizer()
    return LocalLanguageModel(
        random_model(architecture, tokenizer, **kwargs), tokenizer, name="tiny", batch_size=batch_size
    )


def plain_logprobs(model: LocalLanguageModel, prompt: list[int], tokens: list[int]) -> list[float]:
    """The oracle: one sequence, no padding, no cache."""
    model.model.eval()
    with torch.no_grad():
        logprobs = model.model(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
    return [logprobs[len(prompt) - 1 + place, token].item() for place, token in enumerate(tokens)]


def greedy(model: LocalLanguageModel, prompt: list[int], steps: int) -> list[int]:
    """The oracle of greedy decoding: the whole sequence anew for every token."""
    tokens: list[int] = []
    model.model.eval()
    for _ in range(steps):
        with torch.no_grad():
            tokens.append(int(model.model(torch.tensor([prompt + tokens])).logits[0, -1].argmax()))
        if tokens[-1] == model.tokenizer.eos_token_id:
            break
    return tokens


def assert_same(one, other, tolerance: float = 1e-5) -> None:
    for left, right in zip(one, other, strict=True):
        assert (left.text, left.offsets, left.finished) == (right.text, right.offsets, right.finished)
        assert left.logprobs == pytest.approx(right.logprobs, abs=tolerance)


def flat(lists):
    return [one for several in lists for one in several]


@pytest.fixture(params=["llama", "gpt2"])
def architecture(request) -> str:
    return request.param


def test_greedy_texts_are_those_of_a_plain_loop_without_cache_or_padding(architecture):
    model = make(architecture)
    answers = flat(model.generate(PROMPTS[:4], GenerateOptions(max_new_tokens=6)))
    for prompt, answer in zip(PROMPTS, answers, strict=False):
        ids = model.tokenizer(prompt)["input_ids"]
        tokens = greedy(model, ids, 6)
        assert answer.logprobs == pytest.approx(plain_logprobs(model, ids, tokens), abs=1e-5)
        assert answer.text == model.tokenizer.decode(tokens, skip_special_tokens=True)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_batch_gives_what_one_prompt_at_a_time_gives(architecture, temperature):
    options = GenerateOptions(max_new_tokens=8, temperature=temperature, n=3 if temperature else 1, seed=2)
    together = make(architecture, batch_size=5).generate(PROMPTS, options)
    alone = make(architecture, batch_size=1).generate(PROMPTS, options)
    assert_same(flat(together), flat(alone))


def test_a_prompt_is_sampled_the_same_among_other_prompts():
    options = GenerateOptions(max_new_tokens=8, temperature=1.0, n=2)
    model = make()
    assert_same(model.generate(PROMPTS, options)[3], model.generate([PROMPTS[3], "x"], options)[0])


def test_another_seed_samples_another_text():
    texts = {make().generate(["a"], GenerateOptions(temperature=2.0, seed=seed))[0][0].text for seed in range(3)}
    assert len(texts) == 3


def test_samples_of_one_prompt_differ():
    [samples] = make().generate(["a"], GenerateOptions(temperature=2.0, n=4))
    assert len({sample.text for sample in samples}) == 4


def test_sampled_tokens_have_the_frequencies_of_the_tempered_model():
    model = make(scale=0.2)
    first = [one.logprobs[0] for one in model.generate(["a"], GenerateOptions(1, temperature=0.7, n=3000))[0]]
    with torch.no_grad():
        logprobs = model.model(torch.tensor([model.tokenizer("a")["input_ids"]])).logits[0, -1].log_softmax(-1)
    tempered = (logprobs / 0.7).softmax(-1)
    expected = float(tempered @ logprobs)
    spread = math.sqrt(float(tempered @ (logprobs - expected) ** 2) / 3000)
    assert sum(first) / 3000 == pytest.approx(expected, abs=4 * spread)
    assert abs(float(logprobs.exp() @ logprobs) - expected) > 8 * spread  # or the check would pass untempered


def test_temperature_does_not_change_the_log_probs_that_are_recorded():
    model = make()
    [[answer]] = model.generate(["abc"], GenerateOptions(max_new_tokens=1, temperature=3.0))
    tables = plain_logprobs(model, model.tokenizer("abc")["input_ids"], [0])
    assert len(tables) == len(answer.logprobs) == 1
    with torch.no_grad():
        logprobs = model.model(torch.tensor([model.tokenizer("abc")["input_ids"]])).logits[0, -1].log_softmax(-1)
    assert min(abs(float(value) - answer.logprobs[0]) for value in logprobs) < 1e-5


def test_scores_are_those_of_a_plain_forward_pass(architecture):
    model = make(architecture, batch_size=3)
    pairs = [("a", " bcd"), ("Where does Mira live?", " Oslo"), ("", "x"), ("What?", ""), ("öä", " 😀!")]
    for (prompt, continuation), scored in zip(pairs, model.logprobs(pairs), strict=True):
        before = model.tokenizer(prompt)["input_ids"] or [model.tokenizer.eos_token_id]
        tokens = model.tokenizer(continuation, add_special_tokens=False)["input_ids"]
        expected = plain_logprobs(model, before, tokens) if tokens else []
        assert list(scored.logprobs) == pytest.approx(expected, abs=1e-5)
        assert (scored.text, scored.finished) == (continuation, False)


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("batch_size", [2, 8])
def test_continuations_of_one_prompt_have_the_scores_of_plain_forward_passes(
    architecture, batch_size, copies, monkeypatch
):
    if not copies:  # such as a model with recurrent states
        monkeypatch.setattr("outgrow.models.causal._repeatable", lambda cache: False)
    model = make(architecture, batch_size=batch_size)
    prompts = ["Where does Mira live? She says:", "And where does Ole live?", "Where?"]
    pairs = [(prompt, text) for text in (" Oslo", " Bergen", " O", "") for prompt in prompts]
    for (prompt, text), scored in zip(pairs, model.logprobs(pairs, end=True), strict=True):
        before, tokens = (model.tokenizer(each, add_special_tokens=False)["input_ids"] for each in (prompt, text))
        expected = plain_logprobs(model, before, [*tokens, model.tokenizer.eos_token_id])
        assert list(scored.logprobs) == pytest.approx(expected, abs=1e-5)


def test_a_prompt_of_several_continuations_is_read_once(monkeypatch):
    model, read = make(), []
    forward = model.model.forward
    monkeypatch.setattr(model.model, "forward", lambda **given: read.append(given["input_ids"]) or forward(**given))
    prompt = "Where does Mira live? She says:"
    model.logprobs([(prompt, text) for text in (" Oslo", " Rome", " Bonn")])
    assert [tuple(ids.shape) for ids in read] == [(1, len(prompt)), (3, len(" Oslo") - 1)]


def test_scores_do_not_depend_on_the_batch(architecture):
    pairs = [(prompt, " Oslo" * repeat) for prompt in PROMPTS[:3] for repeat in (1, 3, 2)]
    assert_same(make(architecture, batch_size=7).logprobs(pairs), make(architecture, batch_size=1).logprobs(pairs))


def test_a_completion_is_scored_as_it_was_generated():
    model = make(tokenizer=byte_tokenizer())
    letters = [index for text, index in model.tokenizer.get_vocab().items() if text.isascii() and text.isalpha()]
    with torch.no_grad():  # only letters are probable: their text is tokenised into the tokens that were generated
        model.model.lm_head.weight[[index for index in range(len(model.tokenizer)) if index not in letters]] = 0.0
        model.model.lm_head.weight[letters] *= 3.0
    generated = flat(model.generate(PROMPTS[:4], GenerateOptions(max_new_tokens=7)))
    stable = [(prompt, one) for prompt, one in zip(PROMPTS, generated, strict=False) if one.text.isalpha()]
    assert stable
    scored = model.logprobs([(prompt, one.text) for prompt, one in stable])
    assert_same(scored, [one for _, one in stable])


def test_spans_follow_each_other_and_cover_the_text(architecture):
    options = GenerateOptions(max_new_tokens=20, temperature=1.5, n=4)
    for answer in flat(make(architecture).generate(PROMPTS, options)):
        assert len(answer.offsets) == len(answer.logprobs)
        assert {place for start, end in answer.offsets for place in range(start, end)} == set(range(len(answer.text)))
        starts = [start for start, _ in answer.offsets]
        assert starts == sorted(starts)


def test_every_piece_of_a_character_gets_the_span_of_that_character():
    tokenizer = byte_tokenizer()
    text = "a😀é"
    ids = tokenizer(text)["input_ids"]
    spans = [(0, 1), *[(1, 2)] * 4, *[(2, 3)] * 2]
    assert spans_by_decoding(tokenizer, [], ids, text) == spans
    [scored] = make(tokenizer=tokenizer).logprobs([("x", text)])
    assert list(scored.offsets) == spans


def test_spans_of_generated_tokens_are_those_found_by_decoding():
    tokenizer = byte_tokenizer()
    for text in ("plain", "a😀é", "", " two words"):
        ids = tokenizer(text)["input_ids"]
        assert generated_spans(tokenizer, [3], ids, text) == spans_by_decoding(tokenizer, [3], ids, text)
    whole = tokenizer("é")["input_ids"]  # its first byte alone is no text that would be taken apart so
    text = decode_after(tokenizer, [3], whole[:1])
    assert generated_spans(tokenizer, [3], whole[:1], text) == [(0, len(text))]


def test_a_tokenizer_without_offsets_of_its_own_gives_the_same_spans():
    class Slow:
        is_fast = False

        def __init__(self, fast):
            self.fast = fast

        def __call__(self, text, **options):
            return self.fast(text, **options)

        def __getattr__(self, name):
            return getattr(self.fast, name)

    model = make()
    slow = LocalLanguageModel(model.model, Slow(model.tokenizer), name="slow")
    pairs = [("x", " a😀é"), ("", "plain"), ("x", "")]
    assert_same(slow.logprobs(pairs), model.logprobs(pairs))


@given(st.text(max_size=20), st.data())
def test_spelled_spans_are_those_of_the_bytes(text: str, data: st.DataObject) -> None:
    """Pieces of any length, cut inside characters too, where they are bytes then."""
    assume("<0x" not in text)  # what spells a byte is one
    owners = [place for place, character in enumerate(text) for _ in character.encode("utf-8", "surrogatepass")]
    raw = text.encode("utf-8", "surrogatepass")
    cuts = sorted({0, len(raw), *data.draw(st.lists(st.integers(0, len(raw)), max_size=6))})
    pieces, wanted = [], []
    for start, end in pairwise(cuts):
        try:
            pieces.append(raw[start:end].decode())
            wanted.append((owners[start], owners[end - 1] + 1))
        except UnicodeDecodeError:
            pieces += [f"<0x{byte:02X}>" for byte in raw[start:end]]
            wanted += [(owners[place], owners[place] + 1) for place in range(start, end)]
    assert spelled_spans(pieces, text) == wanted


def test_spelled_pieces_may_begin_with_a_space_of_the_tokenizer_s_and_hold_special_tokens() -> None:
    assert spelled_spans([" ", " blue", ""], " blue") == [(0, 0), (0, 5), (5, 5)]
    assert spelled_spans(["", " so", " it"], "so it") == [(0, 0), (0, 2), (2, 5)]
    assert spelled_spans(["a"], "b") is None
    assert spelled_spans([], "") == []


def test_a_real_slow_tokenizer_s_tokens_are_found_in_any_text(real_data: Path) -> None:
    """Its decoding drops spaces and spells bytes out, so that decoding beginnings finds nothing."""
    from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

    file = str(real_data / "models" / "llama_tokenizer" / "tokenizer.model")
    slow = SentencePieceBackend(vocab_file=file, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    assert not slow.is_fast
    assert encode_answer(slow, " blue sky")[1] == [(0, 0), (0, 5), (5, 9)]
    assert encode_answer(slow, "a😀é")[1] == [(0, 1), *[(1, 2)] * 4, (2, 3)]
    assert encode_answer(slow, "\nx")[1] == [(0, 0), (0, 1), (1, 2)]


def test_tokens_of_a_slow_tokenizer_that_changes_a_text_are_aligned_with_it() -> None:
    class Lowering:
        is_fast = False
        all_special_ids = ()
        words = ("so", "it", "is")

        def __call__(self, text, **options):
            return {"input_ids": [self.words.index(word) for word in text.lower().split()]}

        def convert_ids_to_tokens(self, ids):
            return [self.words[index] for index in ids]

        def decode(self, ids, **options):
            return " ".join(self.convert_ids_to_tokens(ids))

    assert encode_answer(Lowering(), " So it Is") == ([0, 1, 2], [(0, 3), (3, 6), (6, 9)])


def test_space_that_no_token_claims_goes_to_the_token_after_it():
    assert contiguous_spans([(2, 4), (4, 4), (6, 7)], 9) == [(0, 4), (4, 4), (4, 9)]


def test_the_space_in_front_of_an_answer_is_kept_by_tokenizers_that_drop_it_at_the_start_of_a_text():
    tokenizer = word_tokenizer()
    ids = tokenizer("sky blue")["input_ids"]
    assert decode_after(tokenizer, ids[:1], ids[1:]) == " blue"
    assert tokenizer.decode(ids[1:]) == "blue"


def test_a_model_that_ends_its_text_is_recorded_with_the_log_prob_of_the_end():
    model = make()
    end = model.tokenizer.eos_token_id
    with torch.no_grad():
        model.model.lm_head.weight.zero_()  # every token is as probable as any other: the first one in order wins
    model.model.generation_config.eos_token_id = [0, end]
    [[answer]] = model.generate(["abc"], GenerateOptions())
    assert (answer.text, answer.finished, answer.offsets) == ("", True, ((0, 0),))
    assert answer.logprobs == pytest.approx([-math.log(len(model.tokenizer))])


def test_an_end_token_of_the_tokenizer_alone_ends_a_text():
    model = make(tokenizer=word_tokenizer())
    with torch.no_grad():
        model.model.lm_head.weight.zero_()
    model.model.generation_config.eos_token_id = None
    assert model.generate(["sky"], GenerateOptions())[0][0].finished


def test_a_model_without_an_end_token_goes_on_to_its_limit():
    model = make(tokenizer=byte_tokenizer(end=None))
    [[answer]] = model.generate(["abc"], GenerateOptions(max_new_tokens=5))
    assert (len(answer.logprobs), answer.finished) == (5, False)


def test_a_stop_string_ends_the_text_before_it():
    model = make(architecture="gpt2")
    [[whole]] = model.generate(["Where does Mira live?"], GenerateOptions(max_new_tokens=12))
    stop = whole.text[3:5]
    [[cut_short]] = model.generate(["Where does Mira live?"], GenerateOptions(max_new_tokens=12, stop=("never", stop)))
    assert cut_short.text == whole.text[: whole.text.index(stop)]
    assert not cut_short.finished
    assert cut_short.logprobs == pytest.approx(whole.logprobs[: len(cut_short.logprobs)], abs=1e-5)
    assert max((end for _, end in cut_short.offsets), default=0) == len(cut_short.text)


def test_a_full_context_ends_the_text():
    [[answer]] = make().generate(["x" * (CONTEXT - 3)], GenerateOptions(max_new_tokens=10))
    assert len(answer.logprobs) == 3


def test_a_short_prompt_in_a_batch_with_a_long_one_has_its_whole_budget(architecture):
    prompts = ["a", "x" * (CONTEXT - 2)]
    short, _ = flat(make(architecture).generate(prompts, GenerateOptions(max_new_tokens=10)))
    assert_same([short], make(architecture).generate(["a"], GenerateOptions(max_new_tokens=10))[0])


@pytest.mark.parametrize("length", [CONTEXT, CONTEXT + 9])
def test_a_prompt_that_leaves_no_room_is_refused_by_its_index(length):
    with pytest.raises(ModelError, match=rf"(?s)index 1 .*{length} tokens.*at most {CONTEXT - 1}"):
        make().generate(["a", "x" * length], GenerateOptions())


def test_a_pair_may_fill_the_context_but_not_exceed_it():
    model = make()
    assert len(model.logprobs([("a", "x" * (CONTEXT - 1))])[0].logprobs) == CONTEXT - 1
    with pytest.raises(ModelError, match=rf"(?s)index 0 .*{CONTEXT + 1} tokens.*at most {CONTEXT}"):
        model.logprobs([("a", "x" * CONTEXT)])


def test_an_empty_prompt_without_a_token_to_begin_with_is_refused():
    with pytest.raises(ModelError, match="is empty"):
        make(tokenizer=byte_tokenizer(end=None)).generate([""], GenerateOptions())


@pytest.mark.parametrize(
    "options",
    [
        GenerateOptions(n=2),
        GenerateOptions(n=0),
        GenerateOptions(max_new_tokens=0),
        GenerateOptions(temperature=-1.0),
        GenerateOptions(stop=("",)),
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError):
        make().generate(["a"], options)


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(ConfigError):
        make(batch_size=0)


def test_a_model_that_gives_nan_is_refused():
    model = make()
    with torch.no_grad():
        model.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        model.generate(["a"], GenerateOptions())
    with pytest.raises(ModelError, match="NaN"):
        model.logprobs([("a", "b")])


def test_nothing_asked_is_nothing_answered():
    assert make().generate([], GenerateOptions()) == []
    assert make().logprobs([]) == []


@pytest.mark.parametrize("training", [True, False])
def test_a_model_in_training_stays_in_training_but_answers_without_dropout(training):
    model = make("gpt2")  # dropout of 0.1
    model.model.train(training)
    first, second = (model.generate(["a"], GenerateOptions(8))[0] for _ in range(2))
    assert_same(first, second)
    assert model.model.training is training


def test_a_saved_model_is_loaded_under_the_name_of_its_folder(tmp_path):
    model = make()
    model.model.save_pretrained(tmp_path / "small")
    model.tokenizer.save_pretrained(tmp_path / "small")
    loaded = LocalLanguageModel.load(tmp_path / "small")
    assert loaded.name == "small"
    assert_same(loaded.generate(["abc"], GenerateOptions(8))[0], model.generate(["abc"], GenerateOptions(8))[0])


def test_a_prompt_without_room_may_be_left_unanswered_while_the_others_are_answered():
    options = GenerateOptions(max_new_tokens=3, too_long="empty")
    model = make()
    first, none, last = model.generate(["a", "x" * CONTEXT, "abc"], options)
    assert none == []
    assert_same([*first, *last], flat(model.generate(["a", "abc"], options)))


def test_a_pair_without_room_may_be_left_unscored():
    none, scored = make().logprobs([("a", "x" * CONTEXT), ("a", "x")], too_long="empty")
    assert (none.text, none.logprobs) == ("x" * CONTEXT, ())
    assert len(scored.logprobs) == 1


@pytest.mark.parametrize("text", [" bcd", ""])
def test_the_end_of_a_text_is_scored_where_it_is_asked_for(text):
    model = make()
    [scored] = model.logprobs([("a", text)], end=True)
    tokens = model.tokenizer(text)["input_ids"] if text else []
    expected = plain_logprobs(model, model.tokenizer("a")["input_ids"], [*tokens, model.tokenizer.eos_token_id])
    assert scored.logprobs == pytest.approx(expected, abs=1e-5)
    assert (scored.finished, scored.offsets[-1]) == (True, (len(text), len(text)))


def test_the_end_is_not_scored_where_a_tokenizer_has_none():
    [scored] = make(tokenizer=byte_tokenizer(end=None)).logprobs([("a", "b")], end=True)
    assert (len(scored.logprobs), scored.finished) == (1, False)
