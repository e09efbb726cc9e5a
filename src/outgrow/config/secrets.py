"""What is a secret by its name, in an experiment file and in the environment; and how it is kept out of output."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from outgrow.errors import ConfigError

HIDDEN = "(hidden)"
"""Stands for a secret in everything that is written."""

_KEYS = frozenset(
    {"access_token", "api_key", "apikey", "authorization", "hf_token", "hub_token", "password", "secret", "token"}
)
_VARIABLE = re.compile(r"(^|_)(API_?KEYS?|KEYS?|TOKENS?|SECRETS?|PASS|PASSWORD|PASSWD|CREDENTIALS?|AUTH|COOKIES?)(_|$)")
_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def is_secret(key: object, value: object) -> bool:
    """Return whether a setting is a secret, by its name.

    Example:
        >>> is_secret("hub_token", "hf_1"), is_secret("token", None), is_secret("pad_token", "<pad>")
        (True, False, False)
    """
    return str(key).lower() in _KEYS and isinstance(value, str) and bool(value)


def is_secret_variable(name: str) -> bool:
    """Return whether an environment variable holds a secret, by its name.

    Example:
        >>> [is_secret_variable(name) for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MINILM", "TOKENIZER")]
        [True, True, False, False]
    """
    return _VARIABLE.search(name.upper()) is not None


def without_credentials(text: str) -> str:
    """Return a text in which no URL has a user or a password.

    Example:
        >>> without_credentials("https://me:sk-1@host/v1")
        'https://(hidden)@host/v1'
    """
    return _IN_URL.sub(HIDDEN, text)


def refuse_secrets(settings: Any, place: str = "") -> None:
    """Raise a ConfigError, without the secret, for settings that hold one: they are written into store and results."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            where = f"{place}{key}"
            if is_secret(key, value):
                raise ConfigError(
                    f"{where} is a secret, and an experiment is written into the store and the results.",
                    fix="Leave it out, and set HF_TOKEN or OPENAI_API_KEY: they are read where they are needed.",
                )
            refuse_secrets(value, f"{where}.")
    elif isinstance(settings, list | tuple):
        for index, value in enumerate(settings):
            refuse_secrets(value, f"{place}{index}.")
