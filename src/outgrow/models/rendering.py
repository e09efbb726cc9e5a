"""From prompts and answers to tokens: plain text, or messages through a model's chat template.

Training, generation and scoring use the same renderer, so a student is trained on the tokens that it will be asked
with. Prompt and answer are tokenized apart; the boundary between them is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from outgrow import bounds
from outgrow.errors import ConfigError, ModelError
from outgrow.models.protocols import Messages, as_turns, with_system
from outgrow.models.tokens import Span, encode_answer

_MARK = "\u2021mark\u2021"
"""Stands for an answer in a template; occurs in none."""


@dataclass(frozen=True)
class Renderer:
    """Plain text: a prompt as it is, and an answer that ends in the end-of-sequence token."""

    tokenizer: Any

    @property
    def end(self) -> int | None:
        """The token that ends an answer, if there is one."""
        end: int | None = self.tokenizer.eos_token_id
        return end

    def text(self, prompt: str | Messages) -> str:
        """Return the text that the model reads.

        Raises:
            ConfigError: Messages for a model that is not asked through a chat template.
        """
        if isinstance(prompt, str):
            return prompt
        raise ConfigError("This model takes no messages: it is asked in plain text.", fix="Set `chat: true`.")

    def prompt(self, prompt: str | Messages) -> list[int]:
        """Return the tokens of a prompt."""
        tokens: list[int] = self.tokenizer(self.text(prompt), verbose=False)["input_ids"]
        return tokens

    def answer(self, text: str) -> tuple[list[int], list[Span]]:
        """Return the tokens of an answer, which begins with a space, and their spans in it; without the end."""
        return encode_answer(self.tokenizer, text)


@dataclass(frozen=True)
class ChatRenderer(Renderer):
    """Messages through the tokenizer's chat template; a text is one user's message.

    Where a template knows no system role, the system message stands before the first user's message. The space before
    an answer is not part of the conversation.

    Example:
        ```python
        chat = ChatRenderer(load_tokenizer("HuggingFaceTB/SmolLM2-135M-Instruct"), "Be brief.")
        chat.text("What is 2 + 2?")  # <|im_start|>system … <|im_start|>user … <|im_start|>assistant
        ```
    """

    system: str | None = None
    """A system message before all others."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the template."""

    def text(self, prompt: str | Messages) -> str:
        """Return the conversation up to the beginning of the answer."""
        return self._filled(with_system(prompt, self.system), add_generation_prompt=True)

    def prompt(self, prompt: str | Messages) -> list[int]:
        """Return the tokens of a conversation; special tokens are the template's own."""
        return self._tokens(self.text(prompt))

    def answer(self, text: str) -> tuple[list[int], list[Span]]:
        """Return tokens and spans; the first span includes the space that the conversation lacks."""
        said = text.removeprefix(" ")
        tokens, spans = encode_answer(self.tokenizer, said)
        shift = len(text) - len(said)
        moved = [(start + shift, end + shift) for start, end in spans]
        return tokens, [(0, moved[0][1]), *moved[1:]] if moved else moved

    @cached_property
    def end(self) -> int | None:
        """The first special token behind an answer in the template; else the end-of-sequence token."""
        whole = self._filled((("user", "a"), ("assistant", _MARK)), add_generation_prompt=False)
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        behind = self._tokens(whole.rpartition(_MARK)[2])
        return next((token for token in behind if token in special), self.tokenizer.eos_token_id)

    @cached_property
    def _knows_system(self) -> bool:
        # Some templates refuse a system message, others leave it out.
        try:
            return _MARK in self._apply((("system", _MARK), ("user", "a")), add_generation_prompt=True)
        except Exception:
            return False

    def _filled(self, messages: Messages, *, add_generation_prompt: bool) -> str:
        if messages[0][0] == "system" and not self._knows_system:
            (_, told), (role, first), *rest = messages
            messages = ((role, f"{told}\n\n{first}"), *rest)
        try:
            return self._apply(messages, add_generation_prompt=add_generation_prompt)
        except Exception as error:  # templates raise whatever they like
            raise ModelError(
                f"The chat template of {self.tokenizer.name_or_path} refuses a conversation: {error}",
                found=", ".join(role for role, _ in messages),
                fix="Set `chat: false` to ask in plain text.",
            ) from error

    def _apply(self, messages: Messages, *, add_generation_prompt: bool) -> str:
        text: str = self.tokenizer.apply_chat_template(
            as_turns(messages), tokenize=False, add_generation_prompt=add_generation_prompt, **self.arguments
        )
        if len(text) > bounds.CHAT_CHARS.most + 2 * sum(len(said) for _, said in messages):
            raise ValueError(f"it adds more than {bounds.CHAT_CHARS}")
        return text

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return tokens


def renderer(tokenizer: Any, chat: bool | Mapping[str, Any] | str = "auto", system: str | None = None) -> Renderer:
    """Return the renderer that a section of an experiment file asks for; see `outgrow.config.local.Local`.

    Raises:
        ModelError: `chat` is wanted and there is no chat template.
        ConfigError: There is a system message, or further arguments, and no chat.
    """
    has = getattr(tokenizer, "chat_template", None) is not None
    if chat is False or (chat == "auto" and not has):
        if system is not None:
            fix = "Leave `system` out, or take an instruction-tuned model."
            raise ConfigError("A model without a chat template takes no system message.", found=system[:80], fix=fix)
        return Renderer(tokenizer)
    if not has:
        raise ModelError(
            f"{tokenizer.name_or_path} has no chat template.",
            wanted="an instruction-tuned model",
            fix="Leave `chat` out, or take the instruction-tuned form of the model.",
        )
    return ChatRenderer(tokenizer, system, chat if isinstance(chat, Mapping) else {})
