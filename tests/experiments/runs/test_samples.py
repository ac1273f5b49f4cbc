"""samples.txt holds any text, and drops what came after a step."""

import pytest

from experiments.runs.pretraining.samples import Samples, read_samples

HOSTILE = (
    "=== step 5, 10 tokens ===\n",
    "\r\r\n=== step 9, 9 tokens, 1 characters ===\nx\n\n",
    "",
    "\n\n",
    "a\rb\x85c\u2028d",
    "=== step 1, 1 tokens, 999 characters ===",
    "\ufeffé😀\0",
)


def test_a_text_comes_back_whatever_it_holds(tmp_path):
    path = tmp_path / "samples.txt"
    samples = Samples(path, 0)
    for step, text in enumerate(HOSTILE, 1):
        samples.write(step, 64 * step, text)
    assert [(sample.step, sample.text) for sample in read_samples(path)] == list(enumerate(HOSTILE, 1))


@pytest.mark.parametrize("step", range(len(HOSTILE) + 1))
def test_opening_at_a_step_gives_the_bytes_of_a_file_that_ends_there(tmp_path, step):
    whole, cut = Samples(tmp_path / "whole", 0), Samples(tmp_path / "cut", 0)
    for n, text in enumerate(HOSTILE, 1):
        whole.write(n, 64 * n, text)
        if n <= step:
            cut.write(n, 64 * n, text)
    Samples(tmp_path / "whole", step)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "cut").read_bytes()


def test_a_file_of_an_older_version_is_read_and_kept(tmp_path):
    path = tmp_path / "samples.txt"
    old = "=== step 4, 1,024 tokens ===\nto be\nor\n\n=== step 8, 2,048 tokens ===\nnot\n\n"
    path.write_text(old, encoding="utf-8")
    assert [(sample.step, sample.text) for sample in read_samples(path)] == [(4, "to be\nor"), (8, "not")]
    Samples(path, 8)
    assert path.read_text(encoding="utf-8") == old


@pytest.mark.parametrize("tail", ["=== step 2, 128 tokens, 9 characters ===\nto b", "=== st", "\0\0\0\0"])
def test_a_sample_cut_short_by_a_crash_is_dropped(tmp_path, tail):
    path = tmp_path / "samples.txt"
    Samples(path, 0).write(1, 64, "whole")
    before = path.read_bytes()
    path.write_bytes(before + tail.encode())
    Samples(path, 9)
    assert path.read_bytes() == before
