"""Local files, TFDS datasets and the built-in corpus as documents; what is wrong with them in one line."""

import errno
import gzip
import json
import logging
import os
import sys
import time
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import zstandard

from gpt_jax.data import tfds_source
from gpt_jax.data.plays import plain_text
from gpt_jax.data.sources import open_source
from gpt_jax.errors import InputError


@pytest.fixture
def root(tmp_path):
    (tmp_path / "cache" / "locks").mkdir(parents=True)
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    """Text in every form that is read, and files that are not."""
    place = tmp_path / "texts"
    (place / "below").mkdir(parents=True)
    (place / "a.txt").write_bytes("caf\u00e9\r\n".encode())
    (place / "b.md").write_text("# Title\n", encoding="utf-8")
    (place / "below" / "c.jsonl").write_text('{"text": "one"}\n\n{"text": "two", "id": 2}\n', encoding="utf-8")
    with gzip.open(place / "below" / "d.txt.gz", "wt", encoding="utf-8") as file:
        file.write("packed")
    with gzip.open(place / "e.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"text": "three"}')
    (place / "bom.TXT").write_bytes(b"\xef\xbb\xbfmarked")
    (place / ".hidden.txt").write_text("hidden", encoding="utf-8")
    (place / "image.png").write_bytes(b"\xff\x00")
    return place


def read(source):
    return ["".join(document.parts()) for document in source.documents()]


def test_a_folder_gives_all_text_below_it_in_the_order_of_paths(folder, root):
    source = open_source("local", folder, root)
    assert read(source) == ["caf\u00e9\r\n", "# Title\n", "one", "two", "packed", "marked", "three"]
    assert read(source) == read(source)


def test_documents_are_named_by_file_and_line(folder, root):
    names = [document.name for document in open_source("local", folder, root).documents()]
    assert names[0].endswith("a.txt") and names[3].endswith("c.jsonl' line 3")


@pytest.mark.parametrize("name", ["local:a.txt", "local:{folder}/a.txt"])
def test_a_single_file_by_relative_or_absolute_path(name, folder, root):
    assert read(open_source(name.format(folder=folder), folder, root)) == ["caf\u00e9\r\n"]
    assert read(open_source("local", folder / "a.txt", root)) == ["caf\u00e9\r\n"]


def test_the_digest_follows_the_content(folder, root):
    before = open_source("local", folder, root).digest
    (folder / "a.txt").rename(folder / "aa.txt")
    assert open_source("local", folder, root).digest == before
    (folder / "aa.txt").write_text("changed", encoding="utf-8")
    assert open_source("local", folder, root).digest != before


def test_the_digest_of_a_large_file_is_remembered_until_it_changes(folder, root, monkeypatch):
    monkeypatch.setattr("gpt_jax.disk.ALWAYS_HASHED", 0)
    hashed = []
    monkeypatch.setattr(
        "gpt_jax.disk.sha256", lambda path: hashed.append(path.name) or path.read_text(encoding="utf-8")
    )
    first = open_source("local:a.txt", folder, root).digest
    assert open_source("local:a.txt", folder, root).digest == first
    assert hashed == ["a.txt"]
    (folder / "a.txt").write_text("longer than it was", encoding="utf-8")
    assert open_source("local:a.txt", folder, root).digest != first


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"caf\xe9", "x.txt' is not UTF-8 text"),
        ("x.txt.gz", b"no gzip", "x.txt.gz' is a damaged .gz file"),
        ("x.txt.gz", gzip.compress(b"text" * 1000, mtime=0)[:-20], "x.txt.gz' is a damaged .gz file"),
        ("x.jsonl.gz", gzip.compress(b'{"text": "a"}' * 99, mtime=0)[:30], "x.jsonl.gz' is a damaged .gz file"),
        ("x.jsonl", b'{"text": "a"}\nnot json', "x.jsonl' line 2: not JSON"),
        ("x.jsonl", b'{"text": "a"}\n{"body": "b"}', "x.jsonl' line 2 has no text"),
        ("x.jsonl", b'{"text": 3}', "x.jsonl' line 1 has no text"),
        ("x.jsonl", b'["text"]', "x.jsonl' line 1 has no text"),
    ],
)
def test_unreadable_files_are_named(tmp_path, root, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read(open_source(f"local:{name}", tmp_path, root))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "data_dir", "message"),
    [
        ("local", None, "'local' needs a data folder: give --data-dir"),
        ("local:a.txt", None, "'local:a.txt' needs a data folder: give --data-dir"),
        ("local", "missing", "missing' does not exist"),
        ("shakespeare", "missing", "missing' does not exist"),
        ("local:missing.txt", ".", "missing.txt' does not exist"),
        ("local", "cache", "cache' holds no text: expected .txt, .md, .jsonl"),
        ("shakespear", None, "unknown data.source 'shakespear': did you mean 'shakespeare'?"),
        ("local:", None, "unknown data.source 'local:'"),
        ("tfds:imdb_review", None, "unknown TFDS dataset 'imdb_review': did you mean 'imdb_reviews'?"),
    ],
)
def test_wrong_places_and_names_are_refused(tmp_path, root, name, data_dir, message):
    with pytest.raises(InputError) as error:
        open_source(name, data_dir and tmp_path / data_dir, root)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "missing").exists()


def test_markdown_becomes_the_form_of_a_printed_play():
    markdown = (
        "# Hamlet\n\n## ACT I\n\n_FRANCISCO at his post. Enter to\nhim BERNARDO_\n\n\n**BERNARDO**  \nWho's there?  \n"
        "_\\[Aside]_  \nLong live the king!\n\n*Exeunt.*\n"
    )
    assert plain_text(markdown) == (
        "Hamlet\n\nACT I\n\n[FRANCISCO at his post. Enter to\nhim BERNARDO]\n\nBERNARDO:\nWho's there?\n"
        "[Aside]\nLong live the king!\n\n[Exeunt.]\n"
    )


def test_the_built_in_corpus_is_38_plays_without_markup(root, capfd):
    plays = read(open_source("shakespeare", None, root))
    assert len(plays) == 38 and 4_900_000 < sum(map(len, plays)) < 5_100_000
    assert any(play.startswith("Hamlet\n\nACT I\n\nSCENE I. Elsinore.") for play in plays)
    assert not set("_*#\\") & set("".join(plays))
    assert "To be, or not to be: that is the question:" in "".join(plays)
    assert capfd.readouterr() == ("", "")  # TFDS reports nothing on the terminal


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


def test_json_text_may_hold_any_character(tmp_path, root):
    text = 'quotes " and \u2028 lines \n and \x00'
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": text}, ensure_ascii=False), encoding="utf-8")
    assert read(open_source("local:x.jsonl", tmp_path, root)) == [text]


ROWS = [{"body": f"row {n}", "text": f"text {n}"} for n in range(5)] + [
    {"body": None, "text": None},
    {"body": "", "text": ""},
]


def write_rows(path, rows=ROWS):
    """`rows` in the format that the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path, row_group_size=2)
    elif path.suffix == ".arrow":
        table = pa.table(columns)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    else:
        path.write_bytes(packed(path, lines))


def packed(path, content):
    """`content` in two halves, each a member or frame of its own."""
    halves = content[: len(content) // 2], content[len(content) // 2 :]
    if path.suffix == ".gz":
        return b"".join(map(gzip.compress, halves))
    if path.suffix == ".zst":
        skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # what pzstd writes between frames
        return skippable.join(map(zstandard.compress, halves))
    return content


FORMATS = ["x.parquet", "x.arrow", "x.jsonl", "x.jsonl.zst", "x.jsonl.gz", "x.json.gz", "x.json.zst"]


@pytest.mark.parametrize("file", FORMATS)
def test_every_format_of_rows_gives_the_same_texts_and_counts_rows_without(tmp_path, root, file):
    write_rows(tmp_path / "rows" / file)
    for key, word in (("text", "text"), ("body", "row")):
        source = open_source("local:rows", tmp_path, root, key)
        for _ in range(2):  # a second reading counts nothing twice
            assert read(source) == [f"{word} {n}" for n in range(5)]
            assert source.left_out == {"rows without text": 2}
    assert open_source("local:rows", tmp_path, root).digest != source.digest  # another column is other text


def test_a_zst_text_of_several_frames_is_read_whole(tmp_path, root):
    text = "na\u00efve\r\n" * 100_000
    (tmp_path / "x.txt.zst").write_bytes(packed(tmp_path / "x.txt.zst", text.encode()))
    assert read(open_source("local:x.txt.zst", tmp_path, root)) == [text]


@pytest.mark.parametrize("file", ["x.parquet", "x.arrow", "x.jsonl.zst", "x.txt.zst", "x.jsonl.gz"])
@pytest.mark.parametrize("left", [0, 0.3, 0.9])
def test_a_packed_file_that_is_empty_or_cut_short_is_named(tmp_path, root, file, left):
    if file.startswith("x.txt"):
        (tmp_path / file).write_bytes(packed(tmp_path / file, b"text of a file " * 50))
    else:
        write_rows(tmp_path / file)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[: int(len(content) * left)])
    with pytest.raises(InputError, match=f"{file}' is a damaged") as error:
        read(open_source(f"local:{file}", tmp_path, root))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["x.parquet", "x.arrow"])
def test_a_missing_column_is_refused_with_those_there_are(tmp_path, root, file):
    write_rows(tmp_path / file)
    with pytest.raises(InputError, match="'txt': did you mean 'text'\\? allowed: body, text"):
        read(open_source(f"local:{file}", tmp_path, root, "txt"))


@pytest.mark.parametrize("value", ["[" * 100_000, '{"text": ' + "9" * 5000 + "}"])
def test_json_past_the_parser_is_named_by_line(tmp_path, root, value):
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n' + value, encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.jsonl' line 2: "):
        read(open_source("local:x.jsonl", tmp_path, root))


def test_a_pointer_of_git_lfs_is_not_text(tmp_path, root):
    (tmp_path / "x.txt").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="only a pointer of Git LFS"):
        open_source("local", tmp_path / "x.txt", root)


def test_a_cloned_data_set_trains_on_its_rows_and_not_on_its_card(tmp_path, root):
    clone = tmp_path / "clone"
    for split in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001", "validation-00000-of-00001"):
        write_rows(clone / "data" / f"{split}.parquet", [{"text": split}])
    (clone / "README.md").write_text("---\nlicense: mit\n---\nA card.", encoding="utf-8")
    (clone / ".gitattributes").write_text("", encoding="utf-8")
    (clone / "load.py").write_text("raise SystemExit('run')", encoding="utf-8")
    source = open_source("local", clone, root)
    assert read(source) == ["train-00000-of-00002", "train-00001-of-00002"]
    assert source.left_out == {
        "data set cards": 1,
        "tables of other splits than train": 2,
        "hidden files and folders": 1,
        "files ending in .py": 1,
    }


def test_a_folder_without_text_says_what_was_left_out(tmp_path, root):
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "load.py").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds no text: .*left out: 1 files ending in \.py"):
        open_source("local:only", tmp_path, root)


def test_links_are_followed_once_and_without_end(folder, root, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "o.txt").write_text("outside", encoding="utf-8")
    plain = read(open_source("local", folder, root))
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "aagain.txt").symlink_to(folder / "a.txt")  # the file itself is read, under its own name
    (folder / "below" / "loop").symlink_to(folder)
    (tmp_path / "outside" / "loop").symlink_to(tmp_path / "outside")
    source = open_source("local", folder, root)
    assert sorted(read(source)) == sorted([*plain, "outside"])
    assert source.left_out["links to what is read already"] == 3
    assert source.left_out["hidden files and folders"] == 1 and source.left_out["files ending in .png"] == 1


def test_runs_and_weights_below_the_data_folder_are_no_text(folder, root):
    before = open_source("local", folder, root)
    for place, config in (("out/e/a/seed-0", {"identity": {}, "digest": "0"}), ("weights", {"model_type": "gpt2"})):
        (folder / place).mkdir(parents=True)
        (folder / place / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (folder / place / "samples.txt").write_text("what a model wrote", encoding="utf-8")
    (folder / "out" / "e" / "report.md").write_text("what is reported of the experiment", encoding="utf-8")
    after = open_source("local", folder, root)
    assert after.digest == before.digest and read(after) == read(before)
    assert after.left_out["folders of runs and weights"] == 2


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
        ("hf:made:none", "text", "cannot open 'hf:made:none'"),
        ("hf:made", "txt", "'txt': did you mean 'text'?"),
        ("hf:a:b:c:d", "text", "'hf:a:b:c:d' is not allowed: hf:NAME"),
    ],
)
def test_what_a_data_set_lacks_is_one_line(hub_folder, tmp_path, root, name, key, message):
    with pytest.raises(InputError) as error:
        read(open_source(name, tmp_path / "sets", root, key))
    assert message in str(error.value) and "\n" not in str(error.value)


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


def test_answers_of_evaluations_below_the_data_folder_are_no_text(folder, root):
    before = open_source("local", folder, root)
    about = dict.fromkeys(("folder", "seed", "limit", "stride", "overflow", "results"))
    for name in ("scores", "of.two"):
        (folder / f"{name}.json").write_text(json.dumps(about), encoding="utf-8")
        (folder / f"{name}.items.jsonl").write_text('{"text": "what a model answered"}\n', encoding="utf-8")
    after = open_source("local", folder, root)
    assert after.digest == before.digest and read(after) == read(before)
    assert after.left_out["answers of evaluations"] == 2
    (folder / "own.items.jsonl").write_text('{"text": "a text of the user"}\n', encoding="utf-8")
    (folder / "scores.json").write_text("{}", encoding="utf-8")
    assert sorted(read(open_source("local", folder, root))) == sorted(
        [*read(before), "a text of the user", "what a model answered"]
    )


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
