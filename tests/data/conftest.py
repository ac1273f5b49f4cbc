"""A play, cut down: real text that comes with the dependencies, and a tokenizer trained on it once."""

import json

import pytest

from gpt_jax.data.plays import plain_text, play_files
from gpt_jax.data.tokenizers import make_tokenizer


@pytest.fixture(scope="session")
def play():
    """The first 60,000 characters of a play, with speakers, stage directions and blank lines."""
    return plain_text(play_files()[0].read_text(encoding="utf-8"))[:60_000]


@pytest.fixture(scope="session")
def sentencepiece(play):
    """SentencePiece with 600 entries, trained on the play."""
    return make_tokenizer("sentencepiece", 600, lambda: [play])


@pytest.fixture(scope="session")
def gpt2():
    return make_tokenizer("gpt2", 50257, None)


@pytest.fixture
def speeches(play, tmp_path):
    """A .jsonl file of 60 documents of different lengths, and their texts."""
    texts = [part for part in play.split("\n\n") if len(part) > 40][:60]
    folder = tmp_path / "speeches"
    folder.mkdir()
    (folder / "speeches.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8"
    )
    return folder, texts


@pytest.fixture
def root(tmp_path):
    (tmp_path / "cache" / "locks").mkdir(parents=True)
    return tmp_path / "cache"
