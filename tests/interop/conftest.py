"""The folder that most tests here change something in."""

from pathlib import Path

import pytest

from tests.interop.weights_folders import write_reference


@pytest.fixture
def folder(tmp_path) -> Path:
    """A weights folder in Transformers' layout with golden GPT-2 weights."""
    return write_reference(tmp_path / "gpt2", "gpt2")
