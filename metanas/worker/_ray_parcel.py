"""Files that a worker needs and its node may lack: packed once, put into Ray's object store once, unpacked once a node.

A parcel is a tar archive in pieces of bytes: of the data set's file or folder as it is, or of Python modules. On a node
that sees the original path, say on a shared disk, nothing is moved. What comes back from a node, the artefacts of the
final training, is packed alike, and unpacked by name into the one folder that it is meant for.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from metanas.errors import MetanasError

_PIECE = 32 * 2**20
"""Bytes of a piece: large for the network, small for the memory of whoever holds one."""
_OLD_SECONDS = 2 * 86_400
"""Age after which a folder that a killed worker left behind is removed."""
_DOTTED = re.compile(r"\b([A-Za-z_]\w*)(?:\.\w+)*:[A-Za-z_]\w*")
_PATH_KEYS = ("table", "images", "arrays")
"""Keys of ``data`` in a run file that hold a path."""
_SKIPPED = {"node_modules", "site-packages", "runs"}
"""Folders beside a user's modules that hold none of them."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """Files under one name."""

    key: str
    """Name of its folder on the node; unique to its contents in this search."""
    files: tuple[tuple[Path, str], ...]
    """Path here, of a file or a folder, and its name in the parcel."""


# --- what goes


def data_path(setup: Mapping[str, Any]) -> Path | None:
    """The file or folder that holds the data of a setup; None for data that come with a package."""
    data = setup.get("data")
    spec = data.get("spec") if isinstance(data, Mapping) else None
    if isinstance(spec, Mapping):
        spec = next((spec[key] for key in _PATH_KEYS if isinstance(spec.get(key), str)), None)
    if not isinstance(spec, str):
        return None
    path = Path(data["base"], Path(spec).expanduser()) if isinstance(data, Mapping) else Path(spec)
    return path.absolute() if path.exists() else None


def with_data_at(setup: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The setup with its data at another path."""
    data = setup["data"]
    spec = data["spec"]
    if isinstance(spec, Mapping):
        key = next(key for key in _PATH_KEYS if isinstance(spec.get(key), str))
        spec = {**spec, key: str(path)}
    else:
        spec = str(path)
    return {**setup, "data": {**data, "spec": spec, "base": str(path.parent)}}


def data_parcel(setup: Mapping[str, Any]) -> Parcel | None:
    """The data of a setup."""
    path = data_path(setup)
    return None if path is None else Parcel("data", ((path, path.name),))


def code_parcel(setup: Mapping[str, Any]) -> Parcel | None:
    """Python modules of the user's that a setup names, with all modules beside them; None where there are none.

    A module that is installed is not sent: install it on the nodes too.
    """
    if setup.get("allow_python") is not True:
        return None
    names = {match.group(1) for text in _texts(setup) for match in _DOTTED.finditer(text)}
    roots = {root for name in sorted(names) if (root := _source_root(name)) is not None}
    files = [(path, str(path.relative_to(root))) for root in sorted(roots) for path in sorted(_modules_in(root))]
    unique = {name: path for path, name in reversed(files)}
    return Parcel("code", tuple((path, name) for name, path in sorted(unique.items()))) if unique else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


def _source_root(name: str) -> Path | None:
    """The folder on the module path that holds a module which is not installed."""
    if name == "metanas" or name in sys.stdlib_module_names or name in sys.builtin_module_names:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    origin = Path(spec.origin).absolute()
    root = origin.parent.parent if spec.submodule_search_locations else origin.parent
    installed = {Path(path) for path in sysconfig.get_paths().values()}
    return None if "site-packages" in root.parts or root in installed else root


def _modules_in(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = [
            name for name in folders
            if not name.startswith((".", "__")) and name not in _SKIPPED and not (here / name / "pyvenv.cfg").exists()
        ]  # fmt: skip
        yield from (here / name for name in names if name.endswith(".py"))


# --- packing


def pack(files: Iterable[tuple[Path, str]]) -> Iterator[bytes]:
    """The files as a tar archive, in pieces."""
    sink = _Sink()
    with tarfile.open(fileobj=sink, mode="w|") as archive:  # type: ignore[call-overload]
        for path, name in files:
            yield from _add(archive, path, name, sink)
    yield from sink.pieces(rest=True)


def _add(archive: tarfile.TarFile, path: Path, name: str, sink: _Sink) -> Iterator[bytes]:
    archive.add(path, name, recursive=False)
    yield from sink.pieces()
    if path.is_dir() and not path.is_symlink():
        for child in sorted(path.iterdir()):
            yield from _add(archive, child, f"{name}/{child.name}", sink)


def unpack(pieces: Iterable[bytes], folder: Path) -> None:
    """Unpack pieces into a folder that is there; nothing gets outside it, and nothing but files and folders into it."""
    with tarfile.open(fileobj=_Source(pieces), mode="r|") as archive:  # type: ignore[call-overload]
        archive.extractall(folder, filter="data")


class _Sink:
    """A file to write into whose contents are taken in pieces."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()

    def write(self, data: bytes) -> int:
        return self._buffer.write(data)

    def pieces(self, *, rest: bool = False) -> Iterator[bytes]:
        if self._buffer.tell() >= _PIECE or (rest and self._buffer.tell()):
            held = self._buffer.getvalue()
            self._buffer = io.BytesIO()
            for start in range(0, len(held), _PIECE):
                yield held[start : start + _PIECE]


class _Source:
    """A file to read from, made of pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, None)) is not None:
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


# --- on a node


def node_folder(search: str) -> Path:
    """The folder of a search on this node; nobody else can read it or write into it."""
    parent = Path(tempfile.gettempdir(), f"metanas-{os.getuid() if hasattr(os, 'getuid') else 'workers'}")
    parent.mkdir(mode=0o700, exist_ok=True)
    state = parent.lstat()
    if hasattr(os, "getuid") and (state.st_uid != os.getuid() or state.st_mode & 0o077 or parent.is_symlink()):
        raise MetanasError(
            "the folder for what a search needs on a node must be its user's own", found=str(parent),
            remedy="remove it, or set TMPDIR", where="node",
        )  # fmt: skip
    folder = parent / search
    folder.mkdir(exist_ok=True)
    return folder


def receive(folder: Path, key: str, pieces: Iterable[bytes]) -> Path:
    """Unpack a parcel, unless another worker of this node has; ``pieces`` are taken only if needed."""
    target = folder / key
    with FileLock(folder / f"{key}.lock"):
        if not target.exists():
            remove_old(folder)
            partial = folder / f"{key}.new"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            unpack(pieces, partial)
            partial.rename(target)
    return target


def leave_node(search: str) -> None:
    """Remove the folder of a search once no worker of this node has anything in it."""
    folder = node_folder(search)
    if not any(folder.glob("worker-*")):
        shutil.rmtree(folder, ignore_errors=True)


def remove_old(folder: Path) -> None:
    """Remove the folders of other searches that nobody has used for days, and note that this one is used."""
    os.utime(folder)
    for other in folder.parent.iterdir():
        if other != folder and other.is_dir() and time.time() - other.stat().st_mtime > _OLD_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
