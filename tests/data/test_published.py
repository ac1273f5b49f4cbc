"""Data sets by name, from TFDS and from Hugging Face: their text, and what they lack in one line."""

import errno
import logging
import os
import sys
import time
from collections import Counter

import pyarrow.parquet as pq
import pytest
import requests

from gpt_jax.data import tfds_source
from gpt_jax.data.sources import open_source
from gpt_jax.errors import InputError
from tests.data.rows import read, write_rows


@pytest.fixture
def tfds_dataset(tmp_path):
    """Prepares a dataset with the given features in `tmp_path/datasets`; returns its name."""
    tfds = pytest.importorskip("tensorflow_datasets")

    def make(name, examples, splits=("train", "test")):
        def generate(self):
            yield from enumerate(examples)

        members = {
            "__module__": __name__,
            "VERSION": tfds.core.Version("1.0.0"),
            "code_path": None,
            "_info": lambda self: tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict({key: tfds.features.Text() for key in examples[0]})
            ),
            "_split_generators": lambda self, manager: {split: self._generate_examples() for split in splits},
            "_generate_examples": generate,
        }
        builder = type(name, (tfds.core.GeneratorBasedBuilder,), members, skip_registration=True)
        builder(data_dir=tmp_path / "datasets", file_format="array_record").download_and_prepare()
        return builder.name

    return make


def test_a_tfds_dataset_gives_its_text_feature(tfds_dataset, tmp_path, root):
    name = tfds_dataset("MadeUpTexts", [{"text": f"na\u00efve {i}", "title": "no"} for i in range(5)])
    source = open_source(f"tfds:{name}", tmp_path / "datasets", root)
    assert sorted(read(source)) == [f"na\u00efve {i}" for i in range(5)]  # "train", and not "test"


def test_a_tfds_dataset_with_one_text_feature_gives_that(tfds_dataset, tmp_path, root):
    name = tfds_dataset("MadeUpNotes", [{"note": "a"}, {"note": "b"}], splits=("one", "two"))
    assert sorted(read(open_source(f"tfds:{name}", tmp_path / "datasets", root))) == ["a", "a", "b", "b"]


def test_a_tfds_dataset_without_a_clear_text_feature_is_refused(tfds_dataset, tmp_path, root):
    name = tfds_dataset("MadeUpPairs", [{"first": "a", "second": "b"}])
    with pytest.raises(InputError, match="has no feature 'text', only first, second"):
        read(open_source(f"tfds:{name}", tmp_path / "datasets", root))


class Refusing:
    """A TFDS builder that warns of its folder, and whose preparation the system refuses."""

    name = "refusing"

    def __init__(self, number):
        self.number = number

    def is_prepared(self):
        logging.getLogger("absl").warning("Variant folder has no dataset_info.json")
        return False

    def download_and_prepare(self):
        print("Downloading")
        try:
            raise OSError(self.number, os.strerror(self.number), "glue/1.0.0.incomplete")
        except OSError as error:
            raise RuntimeError("Failed to construct dataset") from error


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOLCK])
def test_a_cache_that_tfds_may_not_write_is_one_line_that_names_it(root, capfd, caplog, number):
    with pytest.raises(InputError, match=rf"^GPT_JAX_CACHE: the cache '{root}' .*{os.strerror(number)}"):
        tfds_source._prepared(Refusing(number), root)
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_what_else_tfds_fails_with_names_the_data_set(root):
    with pytest.raises(InputError, match="TFDS cannot prepare 'refusing': Failed to construct dataset"):
        tfds_source._prepared(Refusing(errno.ENOTCONN), root)


def test_tfds_is_given_a_time_to_answer_and_one_more_try():
    from tensorflow_datasets.core.download import downloader

    opened, retries = downloader._open_url, downloader.MAX_RETRIES
    with tfds_source.bounded():
        started = time.perf_counter()
        with pytest.raises(requests.exceptions.ConnectionError), downloader._open_url("http://127.0.0.1:9/data.zip"):
            pass
        assert time.perf_counter() - started < 2
    assert (downloader._open_url, downloader.MAX_RETRIES) == (opened, retries)


@pytest.fixture
def hub_folder(tmp_path):
    pytest.importorskip("datasets")
    place = tmp_path / "sets" / "made"
    write_rows(place / "data" / "train-00000-of-00001.parquet")
    write_rows(place / "data" / "test-00000-of-00001.parquet", [{"text": "a test", "body": "-"}])
    return place


def test_a_hugging_face_data_set_is_streamed_by_name_config_and_split(hub_folder, tmp_path, root):
    source = open_source("hf:made", tmp_path / "sets", root)
    assert read(source) == read(source) == [f"text {n}" for n in range(5)]
    assert source.left_out == {"rows without text": 2}
    assert read(open_source("hf:made::test", tmp_path / "sets", root)) == ["a test"]
    assert read(open_source("hf:made:default:train", tmp_path / "sets", root, "body"))[0] == "row 0"
    before = source.digest
    write_rows(hub_folder / "data" / "train-00000-of-00001.parquet", [{"text": "new", "body": ""}])
    assert open_source("hf:made", tmp_path / "sets", root).digest != before


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("hf:made::tset", "text", "unknown split of hf:made::tset 'tset': did you mean 'test'?"),
        ("hf:made:none", "text", "unknown config of hf:made:none 'none'"),
        ("hf:made", "txt", "'txt': did you mean 'text'?"),
        ("hf:a:b:c:d", "text", "'hf:a:b:c:d' is not allowed: hf:NAME"),
    ],
)
def test_what_a_data_set_lacks_is_one_line(hub_folder, tmp_path, root, name, key, message):
    with pytest.raises(InputError) as error:
        read(open_source(name, tmp_path / "sets", root, key))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_configs_of_a_data_set_are_named_where_one_must_be_chosen(tmp_path, root):
    pytest.importorskip("datasets")
    for config in ("de", "en"):
        write_rows(tmp_path / "several" / config / "train.parquet")
    card = "".join(f"- config_name: {c}\n  data_files: {c}/train.parquet\n" for c in ("de", "en"))
    (tmp_path / "several" / "README.md").write_text(f"---\nconfigs:\n{card}---\n", encoding="utf-8")
    with pytest.raises(InputError, match="unknown config of hf:several '': allowed: de, en"):
        open_source("hf:several", tmp_path, root)
    assert read(open_source("hf:several:en", tmp_path, root))


def test_a_pointer_of_git_lfs_is_no_data_set(hub_folder, tmp_path, root):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (hub_folder / "data" / "train-00000-of-00001.parquet").write_text(pointer, encoding="utf-8")
    with pytest.raises(InputError, match="only a pointer of Git LFS"):
        open_source("hf:made", tmp_path / "sets", root)


def test_a_data_set_with_code_is_refused_and_its_code_not_run(hub_folder, tmp_path, root):
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')"
    place = tmp_path / "sets" / "script"
    place.mkdir()
    (place / "script.py").write_text(code, encoding="utf-8")
    with pytest.raises(InputError) as error:
        open_source("hf:script", tmp_path / "sets", root)
    assert "\n" not in str(error.value) and not ran.exists()


def test_without_the_package_or_the_network_a_data_set_is_one_line_at_once(tmp_path, root, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot find 'hf:no_such/name'"):
        open_source("hf:no_such/name", tmp_path, root)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="needs the package datasets"):
        open_source("hf:no_such/name", tmp_path, root)


def test_streamed_text_is_kept_once_it_is_whole(tmp_path):
    from gpt_jax.data.sources.hugging_face import keeping, left_out_of

    texts, left_out = [f"text {n}" for n in range(2500)], Counter({"rows without text": 3})
    next(keeping(iter(texts), tmp_path / "kept.parquet", left_out))  # and no more
    assert not (tmp_path / "kept.parquet").exists()
    assert list(keeping(iter(texts), tmp_path / "kept.parquet", left_out)) == texts
    assert pq.read_table(tmp_path / "kept.parquet").column("text").to_pylist() == texts
    assert left_out_of(tmp_path / "kept.parquet") == left_out
