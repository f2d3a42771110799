"""Files written so that nothing is lost: whole or not at all, by one writer, without leftovers."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from shiftlens.errors import ShiftlensError

RUN_LOCK = "run.lock"
UNFINISHED = ".shiftlens.tmp"
"""What the name of a file ends with until it is whole."""
_SIGNS_OF_A_DISK = ("(os error ", "inline_container", "PytorchStreamWriter", "iostream")


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole under its name or not there at all.

    Args:
        path: The file; what it held before is replaced.
        content: Its bytes.

    Raises:
        ShiftlensError: The folder cannot be written to, or the disk is full.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ShiftlensError(f"cannot write {path}: {error.strerror}") from error


def check_folder(path: Path) -> None:
    """See whether a folder can be made or written to, without making it.

    Raises:
        ShiftlensError: It cannot.
    """
    nearest = next(
        parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists()
    )
    if not nearest.is_dir():
        raise ShiftlensError(f"cannot write to folder {path}: {nearest} is a file")
    if not os.access(nearest, os.W_OK):
        raise ShiftlensError(f"cannot write to folder {path}: permission denied")


def check_file(path: Path) -> None:
    """See whether a file can be written, without writing it.

    Raises:
        ShiftlensError: It cannot.
    """
    check_folder(path.parent)
    if path.is_dir():
        raise ShiftlensError(f"cannot write {path}: it is a folder; give the name of a file")


def make_folder(path: Path) -> Path:
    """Make a folder and its parents.

    Raises:
        ShiftlensError: It cannot be made or written to.
    """
    check_folder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShiftlensError(f"cannot write to folder {path}: {error.strerror}") from error
    return path


@contextlib.contextmanager
def saving(path: str | Path) -> Iterator[None]:
    """Say in one line that a library could not write its files.

    Args:
        path: What is written inside.

    Raises:
        ShiftlensError: The folder cannot be written to, or the disk is full.
    """
    try:
        yield
    except ShiftlensError:
        raise
    except Exception as error:  # torch raises RuntimeError, tokenizers a bare Exception
        words = " ".join(str(error).split())
        of_disk = isinstance(error, OSError | SafetensorError)
        if not of_disk and not any(sign in words for sign in _SIGNS_OF_A_DISK):
            raise
        reason = getattr(error, "strerror", None) or words
        advice = "choose another folder"
        if not isinstance(error, PermissionError):
            advice = f"make room, or {advice}"
        raise ShiftlensError(f"cannot write {path}: {reason}; {advice}") from error


@contextlib.contextmanager
def left_as_found(path: Path) -> Iterator[None]:
    """Take away the empty folders, this one and its parents, that something made and then failed.

    Args:
        path: What may be made inside.
    """
    missing = _missing(path)
    try:
        yield
    except BaseException:
        _remove_empty(missing)
        raise


def _missing(path: Path) -> list[Path]:
    """A folder and its parents, so far as they are not there, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):  # it holds something
            folder.rmdir()


@contextlib.contextmanager
def _locked(path: Path, folder: str | Path) -> Iterator[None]:
    """Hold a lock file; where what is inside fails, take away what was not there before.

    Only who holds the lock takes anything away: whoever is refused may be in another's folder.
    """
    missing = _missing(Path(folder))
    lock, new = _acquired(path, folder)
    try:
        yield
    except BaseException:
        _remove_empty(missing)  # before the lock goes, which may lie beside the folder
        if new:
            with contextlib.suppress(OSError):
                path.unlink()
        _remove_empty(missing)  # the lock may have lain inside
        raise
    finally:
        lock.release()


def _acquired(path: Path, folder: str | Path) -> tuple[FileLock, bool]:
    """A lock on the file that is there now, and whether the file is new.

    The last holder may take its file away between our opening and locking it; a lock on such a
    file would keep nobody out.
    """
    lock, missing = FileLock(path), _missing(Path(folder))
    make_folder(path.parent)
    try:
        new = _touch(path)
        before = path.stat()
        lock.acquire(timeout=0)
        if os.path.samestat(before, path.stat()):
            return lock, new
        lock.release()
    except (Timeout, FileNotFoundError):
        lock.release()
    except OSError as error:
        _remove_empty(missing)
        raise ShiftlensError(f"cannot write {path}: {error.strerror}") from error
    raise ShiftlensError(f"another process is writing to {folder}")


def _touch(path: Path) -> bool:
    """Make an empty file, and say whether it is new."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Hold a store's folder against a second writer, and sweep away what a killed one left.

    Args:
        path: The folder; made where it is missing. The lock file lies beside it.

    Yields:
        Nothing; the folder is released on exit, also when the process dies.

    Raises:
        ShiftlensError: Another process is writing there, or the folder or its lock cannot be made.
    """
    check_folder(Path(path))
    folder = Path(path).resolve()
    with _locked(folder.with_name(folder.name + ".lock"), path):
        make_folder(folder)
        for leftover in folder.glob(f"*{UNFINISHED}"):
            leftover.unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def running(path: str | Path) -> Iterator[None]:
    """Hold a run folder against a second run, and sweep away what a killed one left half-written.

    What lies in the folder of another run inside it is that run's own.

    Args:
        path: The folder; made where it is missing. The lock file lies in it.

    Yields:
        Nothing; the folder is released on exit, also when the process dies.

    Raises:
        ShiftlensError: As :func:`writing`.
    """
    check_folder(Path(path))
    folder = Path(path).resolve()
    with _locked(folder / RUN_LOCK, path):
        for leftover in folder.rglob(f"*{UNFINISHED}"):
            nested = leftover.relative_to(folder).parents
            if not any((folder / inner / RUN_LOCK).exists() for inner in list(nested)[:-1]):
                leftover.unlink(missing_ok=True)
        yield


def file_hashes(folder: Path, without: str = "") -> dict[str, str]:
    """SHA-256 of every file in a folder, by its path there.

    Args:
        folder: The folder.
        without: A file to leave out.
    """
    hashes = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != without:
            with path.open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes
