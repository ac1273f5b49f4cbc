"""Sets that are made of others: whole or not there, and in the form that claims read."""

import zipfile

import pytest

from experiments import cli
from experiments.corpora import catalogue
from experiments.corpora.transforms import make
from gpt_jax.errors import InputError

STORY = " ".join(f"word{n}" for n in range(40)) + "\n"


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """The parts of `books` and of `mixtures`, tiny."""
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path))
    public = tmp_path / "public"
    for name, file, text in (
        ("novels", "copy.txt", STORY),
        ("litbank", "two.txt", STORY.replace("word", "other")),
        ("litbank", "one.txt", STORY),
        ("wikitext2", "test.txt", " = Title = \n"),
    ):
        (public / name).mkdir(parents=True, exist_ok=True)
        (public / name / file).write_text(text, encoding="utf-8")
    for name in ("abc", "inaugural", "state_union"):
        (public / name).mkdir()
        with zipfile.ZipFile(public / name / f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}/README", "about")
            archive.writestr(f"{name}/1.txt", "caf\u00e9".encode("latin-1"))
    return public


def test_books_and_mixtures_are_made_of_their_parts(parts):
    make(catalogue.get("books"))
    assert sorted(path.name for path in (parts / "books").iterdir()) == ["one.txt", "two.txt"]
    make(catalogue.get("mixtures"))
    found = sorted(str(path.relative_to(parts / "mixtures")) for path in (parts / "mixtures").rglob("*.txt"))
    assert found == [
        "books/one.txt",
        "books/two.txt",
        "news/1.txt",
        "speeches/inaugural-1.txt",
        "speeches/state_union-1.txt",
        "wikipedia/test.txt",
    ]
    assert (parts / "mixtures/news/1.txt").read_text(encoding="utf-8") == "caf\u00e9"
    assert catalogue.get("mixtures").here and not [path for path in parts.iterdir() if path.name.startswith(".")]


def test_a_damaged_part_leaves_no_half_a_set(parts):
    make(catalogue.get("books"))
    (parts / "abc/abc.zip").write_bytes(b"damaged")
    with pytest.raises(InputError, match="mixtures cannot be made"):
        make(catalogue.get("mixtures"))
    assert not (parts / "mixtures").exists() and not [path for path in parts.iterdir() if path.name.startswith(".")]


def test_a_claim_without_its_data_says_how_to_fetch_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path))
    assert cli.main(["run", "books", "--out", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "python -m experiments data get books" in said and str(tmp_path / "public") in said
