"""One GPT-1 vocabulary, under OpenAI's names."""

import pytest

from tests.data.tokenizers.vocabularies import GPT1_MERGES, GPT1_VOCABULARY, write_vocabulary


@pytest.fixture
def gpt1_folder(tmp_path):
    names = ("encoder_bpe_40000.json", "vocab_40000.bpe")
    write_vocabulary(tmp_path / "gpt1", GPT1_VOCABULARY, GPT1_MERGES, names)
    return tmp_path / "gpt1"
