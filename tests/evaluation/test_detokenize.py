"""De-tokenisers lose nothing: every line of tokens comes back, and ordinary ones read as text."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gpt_jax.evaluation.detokenize import JOINER, PENN, WIKITEXT, detokenize, tokenize

TOKENS = [
    "a",
    "the",
    "<unk>",
    "5",
    "1,000",
    "U.S.",
    "Mr.",
    "et.",
    "n't",
    "'s",
    "'t",
    '"',
    "``",
    "''",
    "(",
    ")",
    ",",
    ".",
    "...",
    "..",
    "-",
    "--",
    "@-@",
    "@,@",
    "@.@",
    "$",
    "%",
    ";",
    "x-y",
    "",
    JOINER,
    JOINER + "b",
    "'",
]


@settings(max_examples=2 * settings().max_examples)
@given(st.lists(st.one_of(st.sampled_from(TOKENS), st.text(st.characters(exclude_characters=" \n"), max_size=4))))
def test_any_line_comes_back(tokens):
    line = " ".join(tokens)
    for style in (WIKITEXT, PENN):
        assert tokenize(detokenize(line, style), style) == line


def test_wikitext_reads_as_text():
    line = 'He said , " It weighs 1 @,@ 200 kg ( 0 @.@ 5 t ) " ; the well @-@ known U.S. model didn \'t .'
    assert detokenize(line, WIKITEXT) == ('He said, "It weighs 1,200 kg (0.5 t)"; the well-known U.S. model didn\'t.')


def test_penn_reads_as_text():
    line = "mr. smith did n't pay $ N million , said the fund 's head"
    assert detokenize(line, PENN) == "mr. smith didn't pay $N million, said the fund's head"


def test_a_token_that_looks_like_two_is_marked():
    assert detokenize("it (sic) ends", PENN) == f"it {JOINER}(sic) ends"
