"""The patterns, against the definitions of the papers written out pair by pair."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt_jax.attention.parts import Band, Columns, causal
from gpt_jax.attention.patterns import (
    Banded,
    Dense,
    Fixed,
    LogSparse,
    Pattern,
    Strided,
    check_pattern,
    parse_patterns,
)
from gpt_jax.config import ModelConfig
from gpt_jax.errors import InputError

DEFINITIONS = {
    # Child et al. 2019, section 4.2: A1 = {t, ..., i} with t = max(0, i - l), A2 = {j: (i - j) mod l = 0}.
    Strided(3): lambda i: set(range(max(0, i - 3), i + 1)) | {j for j in range(i + 1) if (i - j) % 3 == 0},
    # A1 = {j: floor(j/l) = floor(i/l)}, A2 = {j: j mod l in the block's last c}.
    Fixed(4, 2): lambda i: {j for j in range(i + 1) if j // 4 == i // 4 or j % 4 in (2, 3)},
    Banded(5): lambda i: {i - d for d in range(5) if i - d >= 0},
    LogSparse(2): lambda i: {i, i - 1, *(i - 2**m for m in range(10))} & set(range(i + 1)),
    Dense(): lambda i: set(range(i + 1)),
}


@pytest.mark.parametrize("pattern", DEFINITIONS, ids=repr)
def test_mask_is_the_published_definition(pattern):
    mask = pattern.mask(23)
    assert mask.dtype == bool and mask.shape == (23, 23)
    for i in range(23):
        assert set(np.nonzero(mask[i])[0].tolist()) == DEFINITIONS[pattern](i)


@given(st.integers(1, 40), st.integers(1, 12))
def test_strided_attends_short_distances_and_all_multiples(length, stride):
    mask = Strided(stride).mask(length)
    for i in range(length):
        # FACTS: row i holds min(i, k) + 1 near pairs and the multiples 2k, 3k, ... up to i.
        assert mask[i].sum() == min(i, stride) + 1 + max(0, i // stride - 1)


@given(st.integers(1, 40), st.integers(1, 12))
def test_log_sparse_attends_a_window_and_powers_of_two(length, window):
    far = [m for m in range(7) if 2**m >= window]
    for i, row in enumerate(LogSparse(window).mask(length)):
        assert row.sum() == min(i + 1, window) + sum(2**m <= i for m in far)


@pytest.mark.parametrize("pattern", DEFINITIONS, ids=repr)
def test_every_query_attends_itself_and_never_the_future(pattern):
    mask = pattern.mask(17)
    assert mask.diagonal().all() and not np.triu(mask, 1).any()


@pytest.mark.parametrize(
    "text", ["Dense(), Banded(window=256)", "Dense,Banded(256)", "(Dense(), Banded(256),)", "[Dense, Banded(256)]"]
)
def test_patterns_are_read_from_text(text):
    assert parse_patterns(text) == (Dense(), Banded(256))


def test_what_str_writes_is_read_back():
    patterns = tuple(DEFINITIONS)
    assert parse_patterns(", ".join(map(str, patterns))) == patterns


@pytest.mark.parametrize(
    "text",
    ["Bandd(3)", "Banded", "Banded(0)", "Banded('x')", "Banded(1.5)", "Fixed(4, 5)", "import os", "Dense(", "x.y()"],
)
def test_wrong_patterns_are_named_in_one_line(text):
    with pytest.raises(InputError) as error:
        parse_patterns(text)
    assert "\n" not in str(error.value)


def test_log_sparse_rows_grow_like_the_logarithm():
    for length in (64, 256, 1024):
        assert LogSparse(1).mask(length)[-1].sum() == 1 + math.log2(length)


widths = st.integers(1, 70)
any_pattern = st.one_of(
    st.just(Dense()),
    st.builds(Banded, widths),
    st.builds(Strided, widths),
    widths.flatmap(lambda block: st.builds(Fixed, st.just(block), st.integers(1, block))),
    st.builds(LogSparse, widths),
)


@given(any_pattern, st.integers(1, 140))
def test_parts_hold_each_allowed_pair_once(pattern, length):
    check_pattern(pattern, length)


@given(any_pattern, st.integers(1, 140))
def test_no_key_is_farther_back_than_the_parts_reach(pattern, length):
    queries, keys = np.nonzero(pattern.mask(length))
    assert (queries - keys).max() < max(part.reach(length) for part in pattern.parts(length))


@dataclasses.dataclass(frozen=True)
class Lying(Strided):
    """The strided pattern with other parts, as a test says."""

    def parts(self, length):
        return LIES[self.stride]


LIES = {
    3: (Band(3), Columns(3, causal(20, skip=2))),  # distance 3 is missing
    4: (Band(5), Columns(4, causal(20, skip=1))),  # distance 4 is held twice
    5: (Band(7), Columns(5, causal(20, skip=2))),  # distance 6 is not allowed
}


@pytest.mark.parametrize(("stride", "said"), [(3, "lacks query 3, key 0"), (4, "twice query 4"), (5, "holds query 6")])
def test_parts_that_lie_are_caught(stride, said):
    with pytest.raises(InputError, match=said):
        check_pattern(Lying(stride), 20)


@dataclasses.dataclass(frozen=True)
class Seer(Pattern):
    def allows(self, i, j):
        return i - j < 3


@dataclasses.dataclass(frozen=True)
class Selfless(Pattern):
    def allows(self, i, j):
        return j < i


@pytest.mark.parametrize(("pattern", "said"), [(Seer(), "the future"), (Selfless(), "attend itself")])
def test_a_config_refuses_a_pattern_that_is_not_causal(pattern, said):
    with pytest.raises(InputError, match=said):
        ModelConfig(attention=(pattern,))


def test_two_patterns_of_one_name_are_refused_and_one_may_be_defined_again():
    def define(name, qualname):
        return type(name, (Pattern,), {"__module__": __name__, "__qualname__": qualname})

    define("Again", "Again")
    again = define("Again", "Again")
    assert parse_patterns("Again()") == (again(),)
    with pytest.raises(InputError, match="'Again'") as error:
        define("Again", "Other.Again")
    assert "\n" not in str(error.value)


def test_patterns_do_not_start_jax():
    program = "import sys, gpt_jax.attention.patterns; print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8").stdout == "False\n"
