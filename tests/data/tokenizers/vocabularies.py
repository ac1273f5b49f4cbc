"""A vocabulary in the form of GPT-1's, and the texts that round trips are tried on."""

import json
from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

# Words end in </w>.
GPT1_TOKENS = "<unk> l o w e r l</w> o</w> w</w> e</w> r</w> ,</w> !</w> 1</w> lo low low</w> er</w> lower</w> é</w>"
GPT1_VOCABULARY = {token: i for i, token in enumerate(GPT1_TOKENS.split())}
GPT1_MERGES = ["l o", "lo w", "lo w</w>", "e r</w>", "low er</w>"]
any_text = st.one_of(st.text(), st.text(alphabet=" \t\n\r\x00\u2581\u2585\u2028<|>endoftext0x41ab'"))


def write_vocabulary(folder: Path, ids: Mapping[str, object], merges: list[str], names=("vocab.json", "merges.txt")):
    """The two files, under Transformers' names unless others are given."""
    folder.mkdir(exist_ok=True)
    (folder / names[0]).write_text(json.dumps(ids), encoding="utf-8")
    (folder / names[1]).write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
