"""Mappings are functions, each fills a window, and what is tested was never trained on."""

from collections import Counter

import pytest

from gpt_jax.data import mappings
from gpt_jax.data.mappings import EXAMPLE, EXAMPLES, KEYS, VALUE, WIDTH, held_out
from gpt_jax.data.sources import open_source


def mapping_of(text: str) -> dict[str, str]:
    """The mapping that a text writes. A key with two values fails here."""
    written = [text[n : n + EXAMPLE] for n in range(0, len(text), EXAMPLE)]
    assert [one[-1] for one in written] == [" "] * (EXAMPLES - 1) + ["\n"]
    pairs = {(one[:VALUE], one[VALUE]) for one in written}
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


@pytest.fixture
def trained(monkeypatch, tmp_path) -> list[str]:
    monkeypatch.setattr(mappings, "DOCUMENTS", 4)
    monkeypatch.setattr(mappings, "_training_texts", mappings._training_texts.__wrapped__)  # what is kept stays whole
    documents = list(open_source("mappings", None, tmp_path).documents())
    text = "".join("".join(document.parts()) for document in documents)
    assert len(documents) == 4
    return [text[n : n + WIDTH] for n in range(0, len(text), WIDTH)]


def test_a_mapping_gives_each_key_one_value_and_fills_a_window(trained):
    assert len(trained) == 4 * mappings.TOGETHER
    for text in (*trained, *mappings.unseen(50)):
        assert len(text.encode()) == WIDTH
        assert all(key.islower() and value.isupper() for key, value in mapping_of(text).items())
    assert {len(mapping_of(text)) for text in trained} >= {2, KEYS}


def test_what_is_tested_is_held_out_of_the_training_text_and_rarely_shows_less_than_all_of_it(trained):
    whole = [mapping_of(text) for text in (*trained, *mappings.unseen(200))]
    sizes = Counter(len(mapping) for mapping in whole[len(trained) :])
    assert sizes[KEYS] > 100  # of 200: 24 examples show all eight keys with 70 %
    for n, mapping in enumerate(whole):
        if len(mapping) == KEYS:  # the hash is of the whole mapping
            assert held_out(mapping) == (n >= len(trained))


def test_mappings_are_the_same_at_every_call_and_no_two_alike(trained):
    assert mappings.unseen(50)[:10] == mappings.unseen(10)
    assert len({*trained, *mappings.unseen(50)}) == len(trained) + 50
