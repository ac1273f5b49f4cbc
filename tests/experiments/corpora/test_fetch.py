"""What is fetched is whole or not there: a server on this machine that damages, cuts, refuses and repeats."""

import hashlib
import io
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from experiments import cli
from experiments import experiment as experiments
from experiments.corpora import catalogue, fetch
from experiments.corpora.fetch import Fetcher, is_whole
from gpt_jax.data.public_files import Files
from gpt_jax.data.tasks import load_task
from gpt_jax.errors import InputError

QUESTIONS = {"TREC.train.all": b"0 What is it ?\n3 Who is she ?\n" * 40, "TREC.test.all": b"5 How many ?\n"}


class Server(ThreadingHTTPServer):
    """Serves `content` by path. `cuts` says how often a path's answer ends in the middle; `parts`, whether a part of a
    file can be asked for."""

    def __init__(self):
        self.content: dict[str, bytes] = {}
        self.cuts: dict[str, int] = {}
        self.parts = False
        self.asked: list[str] = []
        self.sent = 0  # bytes
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.asked.append(self.path)
        body = self.server.content.get(self.path)
        if body is None:
            self.send_error(404)
            return
        first = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1]) if self.server.parts else 0
        if first >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        body = body[first:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.server.cuts.get(self.path, 0) > 0
        self.server.cuts[self.path] = self.server.cuts.get(self.path, 0) - 1
        sent = body[: len(body) // 2] if cut else body
        self.server.sent += len(sent)
        self.wfile.write(sent)

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def declare(tmp_path, monkeypatch):
    """Has the catalogue's set `trec` come from these addresses."""
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))

    def declared(address: str, content: dict[str, bytes] = QUESTIONS, member: str = "") -> catalogue.DataSet:
        rows = [
            ("trec", name, str(len(body)), hashlib.sha256(body).hexdigest(), f"{address}{member or '/' + name}")
            for name, body in content.items()
        ]
        lines = "".join("\t".join(row) + "\n" for row in rows)
        (tmp_path / "files.tsv").write_text("set\tfile\tbytes\tsha256\turl\n" + lines, encoding="utf-8")
        monkeypatch.setattr(catalogue, "MANIFEST", tmp_path / "files.tsv")
        catalogue._manifest.cache_clear()
        return catalogue.get("trec")

    yield declared
    catalogue._manifest.cache_clear()


def serve(server, content=QUESTIONS, below=""):
    server.content |= {f"{below}/{name}": body for name, body in content.items()}


def test_a_task_is_fetched_once_and_found_without_a_data_folder(server, declare, capsys):
    declare(server.address)
    serve(server)
    assert cli.main(["data", "get", "trec"]) == 0
    assert "2 of 2 files fetched" in capsys.readouterr().out
    task, splits = load_task("trec")
    assert task.name == "trec" and splits["test"][0].texts == ("How many ?",)
    assert Files().text("TREC.test.all") == "5 How many ?\n"
    asked = len(server.asked)
    assert cli.main(["data", "get", "trec"]) == 0 and len(server.asked) == asked
    assert cli.main(["data", "list", "trec"]) == 0
    assert any(line.split()[:4] == ["trec", "0.00", "MB", "yes"] for line in capsys.readouterr().out.splitlines())


def test_a_wrong_checksum_is_refused_and_the_other_files_arrive(server, declare, capsys):
    data = declare(server.address)
    serve(server, {**QUESTIONS, "TREC.train.all": QUESTIONS["TREC.train.all"].replace(b"Who", b"Why")})
    assert cli.main(["data", "get", "trec"]) == 2
    said = capsys.readouterr().err
    assert "1 of 2 files" in said and "TREC.train.all from 127.0.0.1" in said and "another checksum" in said
    assert str(data.folder) in said and said.count("\n") == 1
    assert sorted(path.name for path in data.folder.iterdir()) == ["TREC.test.all"]


def test_a_server_without_parts_begins_again_and_half_a_file_never_has_its_name(server, declare):
    data = declare(server.address)
    serve(server)
    server.cuts["/TREC.train.all"] = 1
    assert Fetcher().fetch(data) == 2 and data.here
    (data.folder / "TREC.train.all").unlink()
    server.cuts["/TREC.train.all"] = 9
    with pytest.raises(InputError, match=r"transfer of TREC\.train\.all from 127\.0\.0\.1:\d+ was cut"):
        Fetcher().fetch(data)
    assert sorted(path.name for path in data.folder.iterdir()) == [".TREC.train.all.part", "TREC.test.all"]


def test_a_transfer_that_is_cut_goes_on_where_it_stopped(server, declare, monkeypatch):
    monkeypatch.setattr(fetch, "CHUNK", 1)
    data = declare(server.address)
    serve(server)
    server.parts, server.cuts["/TREC.train.all"] = True, 4
    assert Fetcher().fetch(data) == 2 and data.here
    assert server.sent == sum(map(len, QUESTIONS.values()))


def test_a_later_call_goes_on_too_and_a_part_of_another_file_is_thrown_away(server, declare):
    data = declare(server.address)
    serve(server)
    server.parts = True
    whole, part = QUESTIONS["TREC.train.all"], data.folder / ".TREC.train.all.part"
    data.folder.mkdir(parents=True)
    for left, sent in (
        (whole[:1000], len(whole) - 1000),
        (b"x" * 1000, 2 * len(whole) - 1000),
        (whole * 2, len(whole)),
    ):
        (data.folder / "TREC.train.all").unlink(missing_ok=True)
        part.write_bytes(left)
        server.sent = -len(QUESTIONS["TREC.test.all"]) if not (data.folder / "TREC.test.all").exists() else 0
        Fetcher().fetch(data)
        assert data.here and not part.exists() and server.sent == sent


def test_a_file_that_was_changed_on_the_disk_is_fetched_again(server, declare):
    data = declare(server.address)
    serve(server)
    Fetcher().fetch(data)
    (data.folder / "TREC.test.all").write_bytes(b"5 How much ?\n")
    assert Fetcher().fetch(data) == 1
    assert all(is_whole(data.folder / file.path, file) for file in data.files)


def test_a_mirror_serves_where_the_origin_does_not_and_is_asked_first(server, declare):
    data = declare("http://127.0.0.1:9")
    serve(server, below="/trec")
    assert Fetcher([server.address]).fetch(data) == 2
    data = declare(server.address)
    serve(server)
    (data.folder / "TREC.test.all").unlink()
    server.content.pop("/trec/TREC.test.all")
    assert Fetcher([server.address]).fetch(data) == 1 and server.asked[-3:] == ["/trec/TREC.test.all"] * 2 + [
        "/TREC.test.all"
    ]


def test_without_a_network_one_line_within_seconds_says_what_to_put_where(declare, capsys):
    data = declare("http://127.0.0.1:9")
    started = time.perf_counter()
    assert cli.main(["data", "get", "trec"]) == 2
    assert time.perf_counter() - started < 5
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "cannot be reached" in said
    assert f"put TREC.train.all, TREC.test.all into {str(data.folder)!r}" in said


def test_a_member_of_an_archive_is_checked_by_itself(server, declare):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("in/TREC.test.all", QUESTIONS["TREC.test.all"])
    content = {"TREC.test.all": QUESTIONS["TREC.test.all"]}
    data = declare(server.address, content, "/all.zip#in/TREC.test.all")
    server.content["/all.zip"] = b"no archive"
    with pytest.raises(InputError, match="another checksum"):
        Fetcher().fetch(data)
    server.content["/all.zip"] = packed.getvalue()
    assert Fetcher().fetch(data) == 1 and Files().text("TREC.test.all") == "5 How many ?\n"


def test_every_address_is_public_and_every_set_has_files_parts_or_tfds():
    for data in catalogue.SETS:
        assert bool(data.files) + bool(data.made) + bool(data.tfds) == 1, data.name
        for file in data.files:
            assert file.url.startswith("https://") and len(file.sha256) == 64 and file.bytes > 0
    mirrored = catalogue.get("scan").files[0].addresses[1]
    assert mirrored.startswith("https://cdn.jsdelivr.net/gh/brendenlake/SCAN@c4b756c") and mirrored.endswith("/LICENSE")


def test_parts_come_before_what_is_made_of_them_and_unknown_names_are_refused():
    names = [data.name for data in catalogue.with_parts(("mixtures",))]
    assert names.index("novels") < names.index("books") < names.index("mixtures") == len(names) - 1
    with pytest.raises(InputError, match="trec"):
        catalogue.with_parts(("trecc",))


def test_what_a_set_is_said_to_serve_is_a_claim_or_a_task():
    from gpt_jax.data.pairs.shifted import pair_names
    from gpt_jax.data.tasks import task_names
    from gpt_jax.evaluation.task import find_tasks

    known = {*experiments.names(), *task_names(), *pair_names()}
    for data in catalogue.SETS:
        for reader in data.readers:
            assert "=" in reader or " " in reader or reader in known or find_tasks([reader]), (data.name, reader)


def test_a_set_names_every_claim_that_reads_it_or_is_tested_on_it():
    for claim in map(experiments.load, experiments.names()):
        for name in (*((claim.data,) if claim.data else ()), *claim.tests):
            assert claim.name in catalogue.get(name).readers, (claim.name, name)


def test_a_set_that_serves_an_evaluation_task_is_found_under_the_names_it_is_fetched_by(tmp_path, monkeypatch):
    from gpt_jax.evaluation.task import find_tasks

    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path))
    asked = []
    for data in catalogue.SETS:
        for file in data.files:
            (data.folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            (data.folder / file.path).touch()
        for reader in data.readers if data.files else ():
            try:
                tasks = find_tasks([reader])
            except InputError:
                continue  # a claim, or a task of fine-tuning
            for task in tasks:
                asked.append(task.name)
                try:
                    task.load(Files())
                except InputError as error:  # an empty file says nothing, and is there
                    assert "is needed" not in str(error), (data.name, task.name, str(error))
    assert {"blimp", "lambada", "wikitext2", "winograd", "two_digit_addition"} <= set(asked)
