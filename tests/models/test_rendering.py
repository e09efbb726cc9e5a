"""Chat templates of well-known models: what is asked, what is learned, and what comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
import trl
from test_local import byte_tokenizer, random_model
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, pipeline

from outgrow.config import Local
from outgrow.errors import ConfigError, ModelError
from outgrow.models.loading import load_tokenizer
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions, Messages
from outgrow.models.rendering import ChatRenderer, Renderer, renderer

SPECIAL = {
    "qwen2_5": ("<|im_start|>", "<|im_end|>"),
    "llama3": ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "gemma3": ("<bos>", "<start_of_turn>", "<end_of_turn>"),
    "phi3": ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
}
QUESTION: Messages = (("system", "Be brief."), ("user", "What is 2 + 2?"))
FOLLOWED: Messages = (*QUESTION, ("assistant", "Four, äh 4."), ("user", "And 3 + 3?"))
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ refuse }}{% else %}[{{ m.role }}]{{ m.content }}{% endif %}"
    "{% endfor %}[assistant]"
)


def template(name: str) -> str:
    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def chat_tokenizer(name: str):
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[name])})
    tokenizer.bos_token = SPECIAL[name][0]
    tokenizer.chat_template = template(name)
    return tokenizer


def turns(messages: Messages) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in messages]


@pytest.fixture(params=SPECIAL)
def name(request) -> str:
    return request.param


def test_the_prompt_is_transformers_generation_prompt(name):
    tokenizer = chat_tokenizer(name)
    for messages in (QUESTION, FOLLOWED):
        expected = tokenizer.apply_chat_template(turns(messages), add_generation_prompt=True)["input_ids"]
        assert ChatRenderer(tokenizer).prompt(messages) == expected


@pytest.mark.parametrize("answer", ["Four.", "4", "äh 😀\n4"])
def test_what_is_learned_are_the_tokens_of_trl_s_assistant_mask(name, answer):
    tokenizer = chat_tokenizer(name)
    chat = ChatRenderer(tokenizer)
    asked, learned = chat.prompt(QUESTION), [*chat.answer(f" {answer}")[0], chat.end]
    masked = tokenizer.apply_chat_template(
        turns((*QUESTION, ("assistant", answer))),
        chat_template=template(f"{name}_training"),
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    whole, mask = masked["input_ids"], masked["assistant_masks"]
    assert whole[: len(asked) + len(learned)] == asked + learned
    assert all(mask[len(asked) : len(asked) + len(learned)])
    # Besides, trl learns whitespace that is asked here, and what stands behind the token that ends an answer.
    others = [
        token
        for place, token in enumerate(whole)
        if mask[place] and place not in range(len(asked), len(asked) + len(learned))
    ]
    assert tokenizer.decode(others, skip_special_tokens=True).strip() == ""


@pytest.mark.parametrize("answer", ["Four.", "\nFour", "äh 😀 4\n"])
def test_what_is_learned_decodes_to_the_answer(name, answer):
    tokenizer = chat_tokenizer(name)
    assert tokenizer.decode(ChatRenderer(tokenizer).answer(f" {answer}")[0]) == answer


def test_spans_cover_the_answer_with_the_space_that_the_conversation_lacks(name):
    tokens, spans = ChatRenderer(chat_tokenizer(name)).answer(" äh 4")
    assert len(tokens) == len("äh 4".encode())
    assert (spans[0][0], spans[-1][1]) == (0, len(" äh 4"))


def test_a_conversation_s_first_question_is_a_prefix_of_the_second(name):
    chat = ChatRenderer(chat_tokenizer(name))
    first, second = chat.prompt(QUESTION), chat.prompt(FOLLOWED)
    assert second[: len(first)] == first


def test_an_answer_that_begins_like_the_template_ends_is_not_merged_with_it():
    tokenizer = chat_tokenizer("qwen2_5")
    newline = tokenizer.encode("\n")[0]
    merging = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    vocabulary = {**tokenizer.get_vocab(), "ĊĊ": len(tokenizer)}
    merging.model = models.BPE(
        {token: place for token, place in vocabulary.items() if place < 256 or token == "ĊĊ"}, [("Ċ", "Ċ")]
    )
    both = PreTrainedTokenizerFast(tokenizer_object=merging, eos_token="<end>", chat_template=tokenizer.chat_template)
    assert len(both.encode("\n\n")) == 1
    chat = ChatRenderer(both)
    assert chat.prompt(QUESTION)[-1] == newline
    assert both.decode(chat.answer(" \nFour")[0]) == "\nFour"


@pytest.mark.parametrize("refuses", [True, False])
def test_a_template_without_a_system_role_has_it_in_front_of_the_question(refuses):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = NO_SYSTEM.replace("{{ refuse }}", "{{ raise_exception('no') }}" if refuses else "")
    chat = ChatRenderer(tokenizer, "Be brief.")
    assert chat.text("What?") == "[user]Be brief.\n\nWhat?[assistant]"
    assert chat.end == tokenizer.eos_token_id


def test_arguments_reach_the_template():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ messages[0].content }}{% if not think %}<no>{% endif %}"
    assert renderer(tokenizer, {"think": True}).text("a") == "a"
    assert renderer(tokenizer).text("a") == "a<no>"


def test_plain_text_is_asked_where_there_is_no_template_or_no_chat_is_wanted():
    assert type(renderer(byte_tokenizer())) is Renderer
    assert type(renderer(chat_tokenizer("qwen2_5"), False)) is Renderer
    with pytest.raises(ConfigError, match="takes no messages"):
        renderer(byte_tokenizer()).prompt(QUESTION)


def test_a_base_model_is_refused_where_chat_or_a_system_message_is_wanted():
    with pytest.raises(ModelError, match="has no chat template"):
        renderer(byte_tokenizer(), True)
    with pytest.raises(ConfigError, match="takes no system message"):
        renderer(byte_tokenizer(), "auto", "Be brief.")


def test_a_template_that_refuses_a_conversation_is_said_to():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ModelError, match=r"roles must alternate(.|\n)*chat: false"):
        renderer(tokenizer).prompt("a")


def test_greedy_answers_are_those_of_transformers_chat_pipeline(name):
    tokenizer = chat_tokenizer(name)
    tokenizer.pad_token = tokenizer.eos_token
    network = random_model("llama", tokenizer).eval()
    network.config.max_position_embeddings = 512
    model = LocalLanguageModel(network, tokenizer, name="tiny", local=Local(system="Be brief."))
    asked = ["What is 2 + 2?", "Why?"]
    ours = model.generate(asked, GenerateOptions(max_new_tokens=12))
    network.generation_config.eos_token_id = [tokenizer.eos_token_id, model.renderer.end]
    generator = pipeline("text-generation", model=network, tokenizer=tokenizer)
    for question, [answer] in zip(asked, ours, strict=True):
        whole = turns((("system", "Be brief."), ("user", question)))
        theirs = generator(whole, max_new_tokens=12, do_sample=False, return_full_text=False)
        assert answer.text == theirs[0]["generated_text"]


def test_a_generated_answer_has_the_score_of_its_text(name):
    tokenizer = chat_tokenizer(name)
    network = random_model("llama", tokenizer).eval()
    network.config.max_position_embeddings = 512
    model = LocalLanguageModel(network, tokenizer, name="tiny", batch_size=2)
    questions = [FOLLOWED, QUESTION, (("user", "Why?"),)]
    said = [one for [one] in model.generate(questions, GenerateOptions(max_new_tokens=6))]
    pairs = [(question, one.text) for question, one in zip(questions, said, strict=True)]
    for one, scored in zip(said, model.logprobs(pairs), strict=True):
        again = tokenizer(one.text, add_special_tokens=False)["input_ids"]
        if len(again) == len(one.logprobs):  # the tokenizer gives the tokens that were generated
            assert scored.logprobs == pytest.approx(one.logprobs, abs=1e-4)


def test_a_chat_template_that_adds_text_beyond_measure_is_refused(decoder_folder):
    tokenizer = load_tokenizer(str(decoder_folder))
    tokenizer.chat_template = "{{ 'x' * 10000000 }}"
    with pytest.raises(ModelError, match="CHAT_CHARS"):
        ChatRenderer(tokenizer).text("a plot")
