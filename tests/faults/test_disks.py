"""A full disk, a disk that cannot be written to: one line, nothing half-written, and resume."""

import ctypes
import json
import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest
from same_files import contents, differing

WHATS = ("sweep", "train", "export", "report")


def _may_mount(folder):
    """Whether this process may mount; what a container may not."""
    try:
        with mounted(folder, "size=64k"):
            return True
    except OSError:
        return False


@contextmanager
def mounted(folder, options, flags=0):
    """A small disk of its own, at a folder."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir(parents=True, exist_ok=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", flags, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def mounting(tmp_path):
    if not _may_mount(tmp_path / "probe"):
        pytest.skip("mounting is not permitted here; the limit on file sizes is tested instead")


def whole(folder):
    """Every JSON there parses, and no half-written file has a finished one's name."""
    for path in folder.rglob("*.json"):
        if "checkpoint-" not in str(path):
            json.loads(path.read_text())
    return [path.name for path in folder.rglob("*.tmp*")]


@pytest.mark.parametrize("what", WHATS)
def test_a_full_disk_is_one_line_and_with_room_the_run_goes_on(
    warm,
    undisturbed,
    tmp_path,
    mounting,
    what,
):
    sizes = {"sweep": "300k", "train": "600k", "export": "100k", "report": "1m"}
    with mounted(tmp_path / "disk", f"size={sizes[what]}") as disk:
        (disk / "page").mkdir()
        ended = warm.run(what, disk / ("page" if what == "report" else "out"))
        assert "No space left on device" in ended.message, ended.message
        assert whole(disk) == []
        if what in undisturbed:
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            warm.done(what, disk / "out")
            assert differing(contents(disk / "out"), undisturbed[what][0]) == []


@pytest.mark.parametrize("what", WHATS)
def test_a_file_that_cannot_grow_is_one_line_and_then_the_run_goes_on(
    warm,
    undisturbed,
    tmp_path,
    what,
):
    """What a quota does: EFBIG in place of ENOSPC, from the same calls."""
    limits = {"sweep": 2_000, "train": 60_000, "export": 30_000, "report": 20_000}
    out = tmp_path / "out"
    if what == "report":
        out.mkdir()
    ended = warm.run(what, out, file_bytes=limits[what])
    assert "cannot write" in ended.message and "File too large" in ended.message
    assert not out.exists() or whole(out) == []
    if what in undisturbed:
        warm.done(what, out)
        assert differing(contents(out), undisturbed[what][0]) == []


@pytest.mark.parametrize("what", WHATS)
def test_a_folder_that_is_another_users_is_one_line(warm, tmp_path, what):
    """Root ignores permissions, so the run is somebody else's."""
    if os.getuid() != 0:
        tmp_path.chmod(0o500)
    readable(tmp_path, warm.home)
    before = sorted(tmp_path.iterdir())
    ended = warm.run(what, tmp_path / "out", nobody=os.getuid() == 0)
    tmp_path.chmod(0o755)
    assert "cannot write" in ended.message and "denied" in ended.message
    assert sorted(tmp_path.iterdir()) == before


def readable(*folders):
    """Let others look into folders that pytest keeps to itself, not write to them."""
    subprocess.run(["chmod", "-R", "a+rX", *map(str, folders)], check=True)
    for folder in folders:
        for path in (folder, *folder.parents):
            if path.owner() == folder.owner() and path.parts[1:2] == folder.parts[1:2]:
                path.chmod(path.stat().st_mode | 0o055 if path.parent != path else 0o755)


@pytest.mark.parametrize("what", ["sweep", "train", "report"])
def test_a_run_folder_on_a_read_only_disk_is_one_line(warm, tmp_path, mounting, what):
    with mounted(tmp_path / "disk", "size=64m") as disk:
        source = warm.home / {"sweep": "swept", "train": "trained", "report": "swept"}[what]
        shutil.copytree(source, disk / "out")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        before = contents(disk / "out")
        ended = warm.run(what, disk / "out")
        assert "cannot write" in ended.message
        assert contents(disk / "out") == before
