"""The documentation as a site: `make docs` writes build/site, which asks no host for anything.

The source folder is the whole checkout, so that links between Markdown files lead to the same places on the site.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import GoogleDocstring

from outgrow import __version__

project, html_title = "outgrow", f"outgrow {__version__}"
root_doc = "docs/contents"
include_patterns = ["*.md", "docs/**", "examples/**/README.md", "benchmarks/RESULTS.md"]
exclude_patterns = ["docs/_templates", ".*", "build", "outgrow-runs", "shared", "src", "tests"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
templates_path = ["_templates"]
myst_heading_anchors = 4
highlight_language = "none"
default_role = "code"  # docstrings write `name`, as Markdown does
autodoc_default_options = {"members": True}
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "Array": "Array"}
autodoc_member_order = "bysource"
html_theme = "furo"
html_additional_pages = {"index": "index.html"}
html_copy_source = False
html_show_copyright = html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """Read docstrings in Google's style."""
    app.connect("autodoc-process-docstring", google_style)


def google_style(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring as reStructuredText; the extension `napoleon` takes "Word: text" under a field for its type."""
    found = [line.replace("|", r"\|") if ">>>" not in line else line for line in lines]
    lines[:] = found if what in ("attribute", "property") else GoogleDocstring(found).lines()
