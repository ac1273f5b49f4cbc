"""Mixtures: as many characters of each source, and nothing but the sources' own text."""

import json

import pytest

from experiments.command import carry_out
from experiments.corpora import mix


@pytest.fixture
def sources(tmp_path):
    for number, name in enumerate("abcd"):
        (tmp_path / "sources" / name).mkdir(parents=True)
        for part in range(3):
            lines = "".join(f"{name} {part} {line} {'x' * number}\n" for line in range(8_000))
            (tmp_path / "sources" / name / f"{part}.txt").write_text(lines, encoding="utf-8")
    return tmp_path / "sources"


def characters(folder):
    return {
        path.stem: sum(len(json.loads(line)["text"]) for line in path.read_text(encoding="utf-8").splitlines())
        for path in sorted(folder.glob("*.jsonl"))
    }


def test_every_mixture_has_the_same_length_in_equal_shares(sources, tmp_path):
    folders, encodings = mix.mix(sources, tmp_path / "out", ["b", "a", "d", "c"], 120_000)
    assert set(encodings) == {"utf-8-sig"} and encodings.total() == len(list(sources.rglob("*.txt")))
    assert [folder.name for folder in folders] == ["sources1", "sources2", "sources4"]
    assert characters(folders[0]) == {"b": 120_000}
    assert characters(folders[1]) == {"a": 60_000, "b": 60_000}
    assert characters(folders[2]) == dict.fromkeys("abcd", 30_000)


def test_a_smaller_share_is_the_beginning_of_a_larger_one(sources, tmp_path):
    folders, _ = mix.mix(sources, tmp_path / "out", ["b", "a"], 120_000)
    whole, half = (
        "".join(json.loads(line)["text"] for line in (folder / "b.jsonl").read_text(encoding="utf-8").splitlines())
        for folder in folders
    )
    assert whole.startswith(half) and len(half) == 60_000


@pytest.mark.parametrize("text", ["a line\n" * 20_000, "no end of line " * 10_000, "short", ""])
def test_pieces_are_the_text_cut(text):
    found = mix.pieces(text)
    assert "".join(found) == text
    assert all(len(piece) >= mix.PIECE for piece in found[:-1])
    assert all(len(piece) <= 2 * mix.PIECE for piece in found)


@pytest.mark.parametrize(
    "order, characters, complaint",
    [
        ("a,z", "1000", "unknown source 'z'"),
        ("a,b", "99000000", "--characters: source 'a' has"),
    ],
)
def test_what_cannot_be_mixed_ends_with_one_line_and_2(sources, tmp_path, capsys, order, characters, complaint):
    status = carry_out(
        mix.COMMAND, [str(sources), str(tmp_path / "out"), "--order", order, "--characters", characters], "mix"
    )
    error = capsys.readouterr().err
    assert status == 2 and complaint in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
