"""Where text comes from: the built-in corpus, data sets by name, and local files, all as documents.

| source | documents |
|---|---|
| `shakespeare` | one per play (plays.py) |
| `plays_train` | one per play of those that the plays' tasks train on (data/scenes.py) |
| `mappings` | small tasks, 50 mappings each, made here (data/mappings.py) |
| `local` | all text below the data folder (formats.py says in which files, local.py which are left out) |
| `local:PATH` | all text in the file or folder PATH, absolute or below the data folder |
| `hf:NAME`, `hf:NAME:CONFIG:SPLIT` | one per row of a Hugging Face data set (hugging_face.py) |
| `tfds:NAME` | one per example (tfds_source.py) |
| `scan_length`, `sums`, ... | the training part of a pair, 20 examples each (data/pairs/composition.py) |

Several sources by weight are a mixture (data/mixture.py). Text is UTF-8. A byte-order mark at the
start of a file is dropped, and nothing else is changed.
"""

from __future__ import annotations

from pathlib import Path

from gpt_jax.data.text import Source
from gpt_jax.errors import InputError, unknown

COMPOSITION = ("scan_length", "scan_jump", "scan_turn_left", "sums")
NAMES = ("shakespeare", "plays_train", "mappings", "local", "local:PATH", "hf:NAME", "tfds:NAME", *COMPOSITION)


def open_source(name: str, data_dir: Path | None, root: Path, text_key: str = "text") -> Source:
    """The source that `DataConfig.source` names, or one source of a mixture.

    Args:
      name: one of `NAMES`.
      data_dir: where local files, or prepared TFDS datasets, are. It must exist if given.
      root: the cache folder, for what TFDS prepares of the built-in corpus and for remembered digests.
      text_key: the key or column that holds a row's text.

    Raises:
      InputError: an unknown name, a missing folder or file, nothing to read in it.
    """
    if data_dir is not None and not Path(data_dir).exists():
        raise InputError(f"data_dir: {str(data_dir)!r} does not exist")
    kind, _, rest = name.partition(":")
    if name == "shakespeare":
        from gpt_jax.data import tfds_source

        return tfds_source.shakespeare(root)
    if name == "plays_train":
        from gpt_jax.data.scenes import training_text

        return training_text()
    if name == "mappings":
        from gpt_jax.data import mappings

        return mappings.training_text()
    if kind == "tfds" and rest:
        from gpt_jax.data import tfds_source

        return tfds_source.by_name(rest, data_dir, root, text_key)
    if kind == "hf" and rest:
        from gpt_jax.data.sources import hugging_face

        return hugging_face.open_dataset(rest, data_dir, root, text_key)
    if name == "local" or (kind == "local" and rest):
        from gpt_jax.data.sources import local

        return local.open_place(name, _place(name, rest, data_dir), root, text_key)
    if name in COMPOSITION:
        from gpt_jax.data.pairs import composition

        return composition.training_text(name, data_dir)
    raise unknown("data.source", name, NAMES)


def _place(name: str, rest: str, data_dir: Path | None) -> Path:
    if data_dir is None and not Path(rest).is_absolute():
        raise InputError(f"data.source: {name!r} needs a data folder: give --data-dir (data_dir)")
    return Path(data_dir or "") / rest
