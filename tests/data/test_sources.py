"""Local files, TFDS datasets and the built-in corpus as documents; what is wrong with them in one line."""

import gzip
import json

import pytest

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
        ("x.jsonl", b'{"text": "a"}\nnot json', "x.jsonl' line 2 is not JSON"),
        ("x.jsonl", b'{"text": "a"}\n{"body": "b"}', "x.jsonl' line 2 has no text"),
        ("x.jsonl", b'{"text": 3}', "x.jsonl' line 1 has no text"),
        ("x.jsonl", b'["text"]', "x.jsonl' line 1 has no text"),
    ],
)  # fmt: skip
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
