"""Texts with places to be filled in: prompts of refiners, judges and tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from outgrow.errors import ConfigError

QUERY = "Question: {prompt}\nAnswer:"
"""How a model of plain text is asked by default; its answer follows after a space."""


def asked_by(template: str | None, *, chats: bool) -> str:
    """Return a template of a question, by default `QUERY`, and for a model that chats the question alone.

    Example:
        >>> asked_by(None, chats=True)
        '{prompt}'
    """
    return template or ("{prompt}" if chats else QUERY)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Puts values in the places `{name}` of a template, all at once: braces in a value are just text.

    Example:
        >>> fill("Q: {prompt} A: {answer}", {"prompt": "what is {answer} in {x}?", "answer": "a set"})
        'Q: what is {answer} in {x}? A: a set'
    """
    return re.sub(r"\{(\w+)\}", lambda place: values.get(place[1], place[0]), template)


def check_template(what: str, template: str, *, needs: Sequence[str], refuses: Sequence[str] = ()) -> None:
    """Checks that a template has the places it needs.

    Raises:
        ConfigError: A place is missing, or one is there that cannot be filled.
    """
    places = set(re.findall(r"\{(\w+)\}", template))
    if not places.issuperset(needs) or places.intersection(refuses):
        without = f", without {', '.join(f'{{{name}}}' for name in refuses)}" if refuses else ""
        raise ConfigError(
            f"The {what} template cannot be filled.",
            found=repr(template),
            wanted=f"a text with {' and '.join(f'{{{name}}}' for name in needs)}{without}",
        )
