"""The API key: which host it is for, and how it is kept out of everything that is written or shown."""

from __future__ import annotations

import json
import os
import re
from typing import Any
from urllib.parse import urlsplit

from outgrow.errors import ConfigError

_HOME = "https://api.openai.com/v1"
"""What OPENAI_API_KEY is for where OPENAI_BASE_URL is not set."""
_ESCAPE = re.compile(r"\\u00([0-9a-fA-F]{2})|\\(/)")
_REDACTED = "[key]"


def api_key() -> str | None:
    """Return the key in OPENAI_API_KEY, if any; a ConfigError if it cannot be one."""
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(  # without the key
            "The environment variable OPENAI_API_KEY holds no key.",
            found="characters that no key has, such as line breaks",
            fix="Copy it once more.",
        )
    return key or None


def is_for(base_url: str | None) -> bool:
    """Return whether the key is for this server: the scheme and host of OPENAI_BASE_URL, by default OpenAI's.

    Example:
        >>> is_for("https://api.openai.com/v1"), is_for("http://api.openai.com/v1"), is_for("https://other.example/v1")
        (True, False, False)
    """
    return base_url is None or _origin(base_url) == _origin(home_url())


def home_url() -> str:
    """Return OPENAI_BASE_URL, by default OpenAI's own."""
    return os.environ.get("OPENAI_BASE_URL") or _HOME


def key_fix(base_url: str) -> str:
    """Return what to do about a server that asks for a key."""
    if is_for(base_url):
        return "Set the environment variable OPENAI_API_KEY to a key of this server."
    return (
        f"Set OPENAI_BASE_URL={base_url.rstrip('/')} and OPENAI_API_KEY: the key is sent to the host of that URL only."
    )


def redact(text: str, key: str | None) -> str:
    r"""Return a text without the key, also where its characters are written as JSON escapes.

    Example:
        >>> redact(r"your key is s\u006b-1", "sk-1")
        'your key is [key]'
    """
    if not key:
        return text
    text = text.replace(key, _REDACTED)
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2], text)
    return plain.replace(key, _REDACTED) if key in plain else text


def redact_body(text: str, key: str | None) -> str:
    """Return the JSON body of a reply without the key; one that repeats it loses its tokens, which may spell it."""
    if redact(text, key) == text:
        return text
    try:
        return json.dumps(_redacted(json.loads(text), key), ensure_ascii=False)
    except (ValueError, RecursionError):
        return redact(text, key)


def _redacted(value: Any, key: str | None) -> Any:
    if isinstance(value, str):
        return redact(value, key)
    if isinstance(value, list):
        return [_redacted(each, key) for each in value]
    if isinstance(value, dict):
        return {redact(name, key): _redacted(own, key) for name, own in value.items() if name != "logprobs"}
    return value


def _origin(url: str) -> tuple[str, str | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname
    except ValueError:  # `check_url` refuses it
        return url, None
