"""What of the engine ``ray`` needs no Ray: its channel under lost replies, its parcels, its sums."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metanas.errors import MetanasError, MissingDependencyError
from metanas.worker import RayOptions, _ray_cluster, make_engine
from metanas.worker import _ray_parcel as parcel
from metanas.worker._ray_cluster import Needs, needs_of, room
from metanas.worker._ray_link import Link, NodeEnd

# --- the channel


class ActorUnavailableError(Exception):
    """As Ray's."""


class LossyRay:
    """Ray with an actor whose replies, or whose calls, are lost now and then."""

    exceptions = sys.modules[__name__]

    def __init__(self, rng: random.Random, loss: float) -> None:
        self.node, self.obeyed = NodeEnd(), list[int]()
        self._rng, self._loss = rng, loss
        self.exchange = self

    def remote(self, request: bytes) -> tuple[bytes | None]:
        request = request.replace(b'"wait": 5.0', b'"wait": 0.0')
        lost_call, lost_reply = (self._rng.random() < self._loss for _ in range(2))
        reply = None if lost_call else self.node.exchange(request, lambda _, body: self.obeyed.append(body["n"]), str)
        return (None if lost_reply else reply,)

    def get(self, ref: tuple[bytes | None]) -> bytes:
        if ref[0] is None:
            raise ActorUnavailableError
        return ref[0]


@pytest.mark.parametrize("seed", range(5))
def test_every_message_and_command_arrives_once_and_in_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from metanas.worker import _ray_link

    monkeypatch.setattr(_ray_link, "_RETRY", 0.0)
    rng = random.Random(seed)
    ray: Any = LossyRay(rng, 0.3)
    link = Link(ray, ray)
    heard: list[int] = []
    said = sent = 0
    for _ in range(400):
        if rng.random() < 0.3 and said < 60:
            ray.node.say("message", {"n": said})
            said += 1
        if rng.random() < 0.3 and sent < 60:
            link.send("command", {"n": sent})
            sent += 1
        ref = rng.choice(link.refs)
        heard += [body["n"] for _, body in link.take(ref)[0]]
        assert link.check()
    assert heard == [*range(60)]
    assert ray.obeyed == [*range(60)]


def test_an_actor_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from metanas.worker import _ray_link

    monkeypatch.setattr(_ray_link, "_RETRY", 0.0)
    monkeypatch.setattr(_ray_link, "_REFUSED_PATIENCE", 0.0)
    ray: Any = LossyRay(random.Random(0), 1.0)
    link = Link(ray, ray)
    assert link.check()
    while link.check():
        assert link.take(link.refs[0]) == ([], "")
    assert not link.alive


# --- parcels


def test_a_folder_arrives_as_it_was_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcel, "_PIECE", 1000)
    source = tmp_path / "images"
    for name, size in {"a/1.png": 0, "a/2.png": 5000, "b/c/3.png": 999}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(os.urandom(size))
    pieces = list(parcel.pack([(source, "images")]))
    assert len(pieces) > 5
    assert max(map(len, pieces)) <= 1000
    parcel.unpack(pieces, target := tmp_path / "target")
    for path in source.rglob("*.png"):
        assert (target / "images" / path.relative_to(source)).read_bytes() == path.read_bytes()


def test_nothing_is_unpacked_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "evil").write_text("x")
    target = tmp_path / "target"
    with pytest.raises(tarfile.FilterError):
        parcel.unpack(parcel.pack([(tmp_path / "evil", "../escaped")]), target)
    link = tmp_path / "link"
    link.symlink_to("/etc/passwd")
    with pytest.raises(tarfile.FilterError):
        parcel.unpack(parcel.pack([(link, "link")]), target)
    assert not (tmp_path / "escaped").exists()


def test_a_node_takes_a_parcel_once(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    taken = []

    def pieces() -> Iterator[bytes]:
        taken.append(1)
        yield from parcel.pack([(tmp_path / "data.csv", "data.csv")])

    (folder := tmp_path / "node").mkdir()
    for _ in range(3):
        assert (parcel.receive(folder, "data", pieces()) / "data.csv").read_text() == "a,b\n"
    assert len(taken) == 1


def test_the_folder_on_a_node_belongs_to_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcel.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = parcel.node_folder("abc")
    assert folder.parent.stat().st_mode & 0o077 == 0
    folder.parent.chmod(0o777)
    with pytest.raises(MetanasError, match="its user's own"):
        parcel.node_folder("abc")


def test_what_killed_workers_left_on_a_node_is_removed_by_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcel.tempfile, "gettempdir", lambda: str(tmp_path))
    for name in ("old", "mine"):
        (parcel.node_folder(name) / "worker-1").mkdir()
    os.utime(parcel.node_folder("old"), (0, 0))
    parcel.leave_node("mine")
    parcel.remove_old(parcel.node_folder("mine"))
    assert [path.name for path in parcel.node_folder("mine").parent.iterdir()] == ["mine"], "its other worker is there"
    (parcel.node_folder("mine") / "worker-1").rmdir()
    parcel.leave_node("mine")
    assert not list(tmp_path.glob("metanas-*/*"))


@pytest.mark.parametrize("spec", ["data.csv", {"table": "data.csv", "target": "b"}])
def test_data_are_found_and_moved(tmp_path: Path, spec: Any) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    setup = {"data": {"spec": spec, "base": str(tmp_path), "fingerprint": "f"}, "seed": 1}
    found = parcel.data_parcel(setup)
    assert found is not None
    assert found.files == ((tmp_path / "data.csv", "data.csv"),)
    moved = parcel.with_data_at(setup, Path("/node/data/data.csv"))["data"]
    assert moved["spec"] == (
        "/node/data/data.csv" if isinstance(spec, str) else {**spec, "table": "/node/data/data.csv"}
    )
    assert moved["fingerprint"] == "f"


def test_built_in_data_stay_where_they_are(tmp_path: Path) -> None:
    for spec in ("digits", {"name": "digits", "test": 0.2}):
        assert parcel.data_parcel({"data": {"spec": spec, "base": str(tmp_path)}}) is None
    assert parcel.data_parcel({}) is None


def test_modules_that_are_not_installed_go_with_those_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "mine_ray.py",
        "helper.py",
        "pkg_ray/__init__.py",
        "pkg_ray/deep/block.py",
        ".venv/no.py",
        "runs/no.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    setup = {"allow_python": True, "space": {"text": "ops: {f: {python: pkg_ray.deep.block:Block}}"}, "seed": 3}
    found = parcel.code_parcel(setup)
    assert found is not None
    assert [name for _, name in found.files] == [
        "helper.py",
        "mine_ray.py",
        "pkg_ray/__init__.py",
        "pkg_ray/deep/block.py",
    ]
    assert parcel.code_parcel(setup | {"allow_python": False}) is None
    installed = {"allow_python": True, "evaluator": {"python": "metanas.testing.evaluators:ScriptedEvaluator"},
                 "metrics": ["torch.nn:Linear", "json:dumps", "nowhere:f"]}  # fmt: skip
    assert parcel.code_parcel(installed) is None


# --- private clusters


def test_folders_of_clusters_whose_process_was_killed_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ray_cluster, "Path", lambda text: tmp_path if text == "/tmp" else Path(text))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    notes = {"killed": dead.pid, "lives": os.getpid(), "elsewhere": dead.pid, "torn": dead.pid}
    for name, pid in notes.items():
        (tmp_path / f"mn-ray-{name}").mkdir()
        owner = {"host": "another" if name == "elsewhere" else socket.gethostname(), "pid": pid}
        (tmp_path / f"mn-ray-{name}" / "owner.json").write_text("{" if name == "torn" else json.dumps(owner))
    (tmp_path / "mn-ray-other").mkdir()
    folder = _ray_cluster._private_folder()
    assert {path.name.removeprefix("mn-ray-") for path in tmp_path.iterdir() if path != folder} == {
        "lives", "elsewhere", "torn", "other",
    }  # fmt: skip
    assert json.loads((folder / "owner.json").read_text())["pid"] == os.getpid()


# --- sums


@pytest.mark.parametrize(
    ("needs", "resources", "count"),
    [
        (Needs(1, 0), {"CPU": 8, "GPU": 2}, 8),
        (Needs(0.5, 0), {"CPU": 2}, 4),
        (Needs(1, 1), {"CPU": 8, "GPU": 2}, 2),
        (Needs(1, 0.5), {"CPU": 8, "GPU": 2}, 4),
        (Needs(1, 0.6), {"CPU": 8, "GPU": 2}, 2),
        (Needs(1, 0.1), {"CPU": 64, "GPU": 1}, 10),
        (Needs(1, 2), {"CPU": 8, "GPU": 3}, 1),
        (Needs(4, 0.5), {"CPU": 8, "GPU": 2}, 2),
        (Needs(1, 0, 3), {"CPU": 8, "memory": 10}, 3),
        (Needs(1, 1), {"CPU": 8}, 0),
        (Needs(1, 0), {}, 0),
    ],
)
def test_how_many_workers_fit_on_a_node(needs: Needs, resources: dict[str, float], count: int) -> None:
    assert needs.fit(resources) == count


def test_workers_take_a_gpu_each_where_there_are_some() -> None:
    nodes = {"head": {"CPU": 4.0}, "other": {"CPU": 8.0, "GPU": 2.0}}
    assert needs_of(RayOptions(), nodes, 100) == Needs(1, 1)
    assert room(needs_of(RayOptions(gpus_per_trial=0.5), nodes), nodes) == 4
    # On a processor a training's memory is the node's, and is reserved.
    assert needs_of(RayOptions(gpus_per_trial=0), nodes, 100) == Needs(1, 0, 100)
    assert needs_of(RayOptions(gpus_per_trial=0, memory_per_trial=7), nodes, 100) == Needs(1, 0, 7)


def test_wrong_options_are_refused_before_ray_is_imported() -> None:
    with pytest.raises(MetanasError, match="gpus_per_trial is 0"):
        make_engine("ray", {}, [], options={"gpus_per_trial": 2.5})
    with pytest.raises(MetanasError, match="reads address, gpus_per_trial"):
        make_engine("ray", {}, [], options={"gpus": 1})


def test_without_ray_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x")
    with pytest.raises(MissingDependencyError, match=r"pip install 'metanas\[ray\]'"):
        make_engine("ray", {}, [], tmp_path)
