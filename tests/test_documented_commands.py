"""Every command in README.md and docs/ that begins with `python -m experiments` is one that the command line reads.

What it names is there: the command and its options, the experiment or recipe, the scale, and the settings' keys.
"""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

import configs
from experiments import experiment as experiments
from experiments.command import carry_out, load, overview
from gpt_jax.config import RunConfig, flatten, to_dict

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
START = "python -m experiments"
KEYS = set(flatten(to_dict(RunConfig())))


def commands(page):
    """The fenced commands of a page, without what a shell reads: variables before, comments and redirections after."""
    fenced = re.findall(r"^ *```[a-z]*\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = "\n".join(fenced).replace("\\\n", " ").split("\n")
    for line in lines:
        if match := re.search(rf"{START}(?![.\w])(.*)", line):  # not `python -m experiments.corpora.clean_books`
            yield shlex.split(re.split(r"\s[|;>&]", match[1])[0], comments=True)


FOUND = [pytest.param(words, id=f"{page.name}: {' '.join(words)}") for page in PAGES for words in commands(page)]


@pytest.mark.parametrize("words", FOUND)
def test_a_documented_command_is_read_and_names_what_is_there(words, capsys):
    if words in ([], ["--help"]):
        assert overview()
        return
    command, read = load(words[0]), []
    recorded = dataclasses.replace(command, act=lambda arguments: read.append(arguments) or 0)
    assert carry_out(recorded, words[1:], START) == 0, capsys.readouterr().err
    if not read or command.arguments is None:  # --help, or words that another program reads
        return
    (arguments,) = read
    named = vars(arguments)
    for field, known in (("recipe", configs.names()), ("config", configs.names())):
        assert named.get(field) in (None, *known)
    if (name := named.get("name")) is not None and re.fullmatch(r"[a-z_0-9.-]+", name):
        assert name in (*experiments.names(), *configs.names(), "wider")
        if named.get("scale") and name in experiments.names():
            assert named["scale"] in experiments.load(name).scales
        if named.get("only") and name in experiments.names():
            assert set(named["only"]) <= set(experiments.load(name).arms)
    settings = {setting.partition("=")[0] for setting in named.get("overrides") or ()}
    assert settings <= KEYS | {"KEY"}


def test_pages_have_commands():
    assert len(FOUND) > 30
