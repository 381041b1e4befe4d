"""The key file: made once, by one of those who wanted to, and read by its owner only."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tollhouse.kernel.errors import SealBroken
from tollhouse.vault.keys import FileKeyProvider, KeyFileUnreadable, KeyFileUnsafe

OPEN = "import sys; from pathlib import Path; from tollhouse.vault.keys import FileKeyProvider as P; "
PROGRAM = OPEN + "print(P.open(Path(sys.argv[1])).derive('test').hex())"


def test_a_key_file_is_made_for_its_owner(tmp_path: Path) -> None:
    """A new key file can be read by its owner only, whatever the process lets others do, and is alone."""
    before = os.umask(0)
    try:
        keys = FileKeyProvider.open(tmp_path / "keys.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "keys.json"]
    assert keys.current_version == 1


def test_a_key_file_is_read_again(tmp_path: Path) -> None:
    """The second start has the keys of the first."""
    first, second = (FileKeyProvider.open(tmp_path / "keys.json") for _ in range(2))
    wrapped = first.wrap(b"k" * 32, bound_to=b"place")
    assert second.unwrap(wrapped, version=1, bound_to=b"place") == b"k" * 32
    assert first.derive("x") == second.derive("x") != first.derive("y")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o777])
def test_a_key_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    """A key file that anybody else may read, write or execute is refused, and the refusal holds no key."""
    path = tmp_path / "keys.json"
    FileKeyProvider.open(path)
    path.chmod(mode)
    with pytest.raises(KeyFileUnsafe) as refused:
        FileKeyProvider.open(path)
    assert json.loads(path.read_text())["root"] not in str(refused.value)


@pytest.mark.parametrize("content", ["", "{bad", "[]", "{}", '{"keyEncryptionKeys": {}, "root": ""}', "\N{POUND SIGN}"])
def test_invalid_key_file_is_rejected_without_its_content(tmp_path: Path, content: str) -> None:
    """An invalid key file is rejected by its name, without any of its content, and stays unchanged."""
    path = tmp_path / "keys.json"
    path.touch(mode=0o600)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(KeyFileUnreadable) as refused:
        FileKeyProvider.open(path)

    assert str(refused.value) == f"The key file {path} is damaged or is not a key file. Restore the original."
    assert path.read_text(encoding="utf-8") == content


def test_two_processes_agree(tmp_path: Path) -> None:
    """Processes that make the key file at the same moment have the same keys."""
    path = tmp_path / "keys.json"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(3)
    ]
    keys = {process.communicate(timeout=20)[0] for process in started}
    assert len(keys) == 1
    assert keys == {f"{FileKeyProvider.open(path).derive('test').hex()}\n".encode()}


def test_two_threads_agree(tmp_path: Path) -> None:
    """So have threads of one process."""
    with ThreadPoolExecutor(8) as pool:
        opened = pool.map(lambda _: FileKeyProvider.open(tmp_path / "keys.json").derive("test"), range(8))
    assert len(set(opened)) == 1


def test_partial_file_of_a_dead_process_is_ignored(tmp_path: Path) -> None:
    """A partial file of a process with the same number blocks nothing."""
    (tmp_path / f"keys.json.{os.getpid()}.new").write_text("{")
    assert FileKeyProvider.open(tmp_path / "keys.json").current_version == 1


def test_wrapped_keys_are_bound() -> None:
    """A wrapped key opens under its version and its associated data only."""
    keys = FileKeyProvider({1: b"a" * 32, 7: b"b" * 32}, b"r" * 32)
    wrapped = keys.wrap(b"k" * 32, bound_to=b"place")
    assert keys.current_version == 7
    assert keys.unwrap(wrapped, version=7, bound_to=b"place") == b"k" * 32
    for version, place, content in (
        (1, b"place", wrapped),
        (8, b"place", wrapped),
        (7, b"x", wrapped),
        (7, b"place", b""),
    ):
        with pytest.raises(SealBroken):
            keys.unwrap(content, version=version, bound_to=place)
