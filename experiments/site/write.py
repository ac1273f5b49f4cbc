"""Writes the site: an index and a page for each claim, each a file that needs no other and nothing from outside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.experiment import load, names
from experiments.published.file import RESULTS, published_files
from experiments.site.pages import Page, counted, page
from experiments.verdicts.report import RULE
from gpt_jax.disk import write_atomically
from gpt_jax.errors import InputError

TEMPLATES = Path(__file__).parent / "templates"
VEGA_LITE = "5.21"


def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that defines `vegaEmbed`."""
    try:
        from vl_convert import javascript_bundle
    except ImportError:
        raise InputError(
            "site: the package vl-convert-python is missing: pip install -e '.[site]' installs it"
        ) from None
    return javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)


def write_site(folder: Path, root: Path = RESULTS, report: Callable[[str, int, int], None] = lambda *_: None) -> Path:
    """Writes `index.html` and CLAIM.html for each claim into `folder`, and returns the path of the index.

    `root` holds the published runs. Raises `InputError` on damaged ones, and where a package is missing.
    """
    try:
        import jinja2
    except ImportError:
        raise InputError("site: the package jinja2 is missing: pip install -e '.[site]' installs it") from None
    scripts = {"library": library(), "drawing": (TEMPLATES / "drawing.js").read_text(encoding="utf-8")}
    loader = jinja2.FileSystemLoader(TEMPLATES, encoding="utf-8")
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    templates.filters["code"] = with_code
    templates.globals |= {
        "style": (TEMPLATES / "style.css").read_text(encoding="utf-8"),
        "rule": " ".join(RULE.split()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    pages: list[Page] = []
    for number, name in enumerate(names()):
        report("pages", number, len(names()))
        made = page(load(name), published_files(name, root))
        write_atomically(folder / made.href, templates.get_template("claim.html").render(page=made, **scripts))
        pages.append(made)
    pages.sort(key=lambda made: not made.scales)  # claims with runs come first, in the order in which `list` has them
    write_atomically(folder / "index.html", templates.get_template("index.html").render(pages=pages, lead=lead(pages)))
    report("pages", len(names()), len(names()))
    return folder / "index.html"


def with_code(text: str) -> Any:
    """`text` as HTML in which what stands between backticks is code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def lead(pages: Sequence[Page]) -> str:
    """What was found over all claims, in one sentence or two."""
    verdicts = sum((made.verdicts for made in pages), Counter())
    begun = sum(bool(made.verdicts) for made in pages)
    if not verdicts:
        return f"{len(pages)} claims are stated. No run that compares anything is published yet."
    found = f"Of {len(pages)} claims, {begun} have published runs. Their {verdicts.total()} primary comparisons:"
    return f"{found} {counted(verdicts)}."
