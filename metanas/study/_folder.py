"""The run folder: where everything that a search knows lies, and who owns it."""

from __future__ import annotations

import json
import os
import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from metanas._files import new_file
from metanas._version import __version__
from metanas.errors import StudyError

ARTEFACTS = ("network.py", "weights.safetensors", "architecture.json", "preparation.json")
"""Files of a trained network, in ``best/``."""
_PACKAGES = ("torch", "optuna", "numpy", "scikit-learn", "networkx")


@dataclass(frozen=True)
class RunFolder:
    """Paths in a run folder."""

    PREDICTOR: ClassVar[str] = "./predictor"
    """What a run file in the folder calls the predictor that lies there."""

    path: Path
    """The folder."""

    @property
    def run_file(self) -> Path:
        """The run file as resolved."""
        return self.path / "run.yaml"

    @property
    def space_file(self) -> Path:
        """The space file, copied."""
        return self.path / "space.yaml"

    @property
    def info_file(self) -> Path:
        """Versions, machine, seeds and the data's fingerprint."""
        return self.path / "info.json"

    @property
    def journal(self) -> Path:
        """The study: a journal that Optuna and its dashboard read."""
        return self.path / "study.journal"

    @property
    def log(self) -> Path:
        """What happened, one JSON object a line."""
        return self.path / "log.jsonl"

    @property
    def workers(self) -> Path:
        """What workers printed."""
        return self.path / "workers"

    @property
    def spool(self) -> Path:
        """Results that workers have written and the study has not recorded yet."""
        return self.path / "spool"

    @property
    def checkpoints(self) -> Path:
        """How far trials under way have come."""
        return self.path / "checkpoints"

    @property
    def predictor(self) -> Path:
        """What the predictor knew of the space when the search began, where it began with one."""
        return self.path / self.PREDICTOR

    @property
    def supernet(self) -> Path:
        """The ranking by a supernet, where the strategy trains one."""
        return self.path / "supernet"

    @property
    def proxies(self) -> Path:
        """Zero-cost proxies of random networks, where the strategy begins with them."""
        return self.path / "proxies.json"

    @property
    def best(self) -> Path:
        """The network that was found."""
        return self.path / "best"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @classmethod
    def create(cls, parent: Path, name: str) -> RunFolder:
        """A new folder ``parent/name-time``."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        for suffix in ("", *(f"-{k}" for k in range(2, 100))):
            path = parent / f"{name}-{stamp}{suffix}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise StudyError(
                    "a run folder must be made", found=error.strerror or str(error), where=str(path),
                    remedy="choose another place with --runs",
                ) from error  # fmt: skip
            return cls(path)
        raise StudyError(
            "a run folder needs a name of its own", found=f"a hundred of {name}-{stamp}", where=str(parent)
        )

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing folder.

        Raises
        ------
        StudyError
            If it holds no run.

        """
        folder = cls(path)
        # A run.yaml alone may be a file to start a search from.
        if not (os.path.isfile(folder.run_file) and os.path.isfile(folder.info_file)):
            found = "none that a search made" if os.path.isdir(path) else "no such folder"
            remedy = _nearest_run(path) or "give a folder that 'metanas search' made"
            raise StudyError("this must be a run folder", found=found, where=str(path), remedy=remedy)
        return folder

    def read_info(self) -> dict[str, Any]:
        """What :meth:`write_info` wrote; empty when it is not there yet."""
        try:
            data = json.loads(self.info_file.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            return {}
        return data if isinstance(data, dict) else {}

    def command(self, name: str, *more: str, file: str = "", python: bool | None = None) -> str:
        """A command on this run, or on a ``file`` of its, as it is typed; with ``--allow-python`` where ``python``, which
        by default is whether the run names code of the user's.
        """
        allowed = self.read_info().get("needs_python") if python is None else python
        return shlex.join(["metanas", name, str(self.path / file), *more, *(["--allow-python"] if allowed else [])])

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Keep what a reader needs to know besides the trials."""
        write_atomically(self.info_file, json.dumps(info, indent=2) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is either the old or the new one, whatever happens."""
    with new_file(path) as part:
        part.write_text(text, encoding="utf-8")


def _nearest_run(path: Path) -> str:
    parent = path if os.path.isdir(path) else path.parent
    runs = sorted(child.parent for child in parent.glob("*/info.json"))
    return f"did you mean {runs[-1]}?" if runs else ""


def environment() -> dict[str, Any]:
    """Versions and machine, for the record."""
    versions = {"metanas": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    cores = os.cpu_count() or 1
    return {"versions": versions, "machine": f"{platform.system()} {platform.machine()}, {cores} cores"}
