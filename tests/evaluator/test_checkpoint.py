"""A training that was killed goes on from its checkpoint and ends where it would have ended."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from metanas.evaluator import _checkpoint
from metanas.evaluator._checkpoint import Checkpoint
from metanas.evaluator._recipe import Recipe
from metanas.evaluator._training import TrainingOutcome, train
from metanas.trial import Status

EPOCHS = 5


@pytest.fixture(autouse=True)
def each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """These epochs last no longer than a checkpoint takes."""
    monkeypatch.setattr(_checkpoint, "_SHARE", 1e9)


class Killed(Exception):
    """Stands for a kill -9."""


def data(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(60, *shape, generator=torch.Generator().manual_seed(seed))
    return inputs, (inputs.flatten(1).mean(1) > 0).long()


def network(kind: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if kind == "table":
            return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), *head)


def run(
    model: nn.Module, parts: Any, *, checkpoint: Checkpoint | None = None, kill: int = 0, optimizer: str = "adamw"
) -> tuple[TrainingOutcome, list[int]]:
    epochs: list[int] = []

    def report(epoch: int, metrics: dict[str, float]) -> Status | None:
        epochs.append(epoch)
        if epoch == kill:
            raise Killed
        return None

    recipe = Recipe(batch_size=16, optimizer=optimizer)  # type: ignore[arg-type]
    outcome = train(
        model, *parts, recipe=recipe, epochs=EPOCHS, task="classification", metrics=["accuracy"], device="cpu", seed=3,
        report=report, checkpoint=checkpoint,
    )  # fmt: skip
    return outcome, epochs


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize(("kind", "shape"), [("table", (6,)), ("image", (3, 8, 8))])
@pytest.mark.parametrize("kill", [2, 4])
def test_it_ends_as_if_nothing_had_happened(
    kind: str, shape: tuple[int, ...], optimizer: str, kill: int, tmp_path: Path
) -> None:
    parts = data(*shape), data(*shape, seed=1)
    whole = network(kind)
    expected, _ = run(whole, parts, optimizer=optimizer)
    path = tmp_path / "t0" / "state.safetensors"
    with pytest.raises(Killed):
        run(network(kind), parts, checkpoint=Checkpoint(path, {"a": 1}), kill=kill, optimizer=optimizer)
    resumed = network(kind)
    outcome, epochs = run(resumed, parts, checkpoint=Checkpoint(path, {"a": 1}), optimizer=optimizer)
    assert epochs == list(range(kill - 1, EPOCHS + 1)), "what was kept last is told again"
    assert (outcome.metrics, outcome.epochs, outcome.status) == (expected.metrics, EPOCHS, Status.COMPLETE)
    assert same(resumed, whole)


@pytest.mark.parametrize("damage", ["torn", "text", "header", "other", "shape", "empty"])
def test_a_checkpoint_that_does_not_fit_is_left_alone(damage: str, tmp_path: Path) -> None:
    parts = data(6), None
    whole = network("table")
    run(whole, parts)
    path = tmp_path / "state.safetensors"
    wider = nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 2))
    with pytest.raises(Killed):
        run(
            wider if damage == "shape" else network("table"), parts, kill=2,
            checkpoint=Checkpoint(path, {"a": 2 if damage == "other" else 1}),
        )  # fmt: skip
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage in ("text", "empty"):
        path.write_text("no tensors" if damage == "text" else "")
    elif damage == "header":
        path.write_bytes(path.read_bytes().replace(b"identity", b"identitx"))
    again = network("table")
    _, epochs = run(again, parts, checkpoint=Checkpoint(path, {"a": 1}))
    assert epochs == [*range(1, EPOCHS + 1)]
    assert same(again, whole)


def test_nothing_of_it_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    torch.save({"identity": {"a": 1}}, path)
    _, epochs = run(network("table"), (data(6), None), checkpoint=Checkpoint(path, {"a": 1}))
    assert epochs[0] == 1


def test_a_nearly_full_disk_gets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(free=_checkpoint._RESERVE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    outcome, _ = run(network("table"), (data(6), None), checkpoint=Checkpoint(tmp_path / "state.safetensors", {}))
    assert outcome.status is Status.COMPLETE
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_stops_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_checkpoint, "save_file", full)
    outcome, _ = run(network("table"), (data(6), None), checkpoint=Checkpoint(tmp_path / "state.safetensors", {}))
    assert outcome.status is Status.COMPLETE
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_take_a_small_part_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_checkpoint, "_SHARE", 0.05)
    clock = iter(range(1000))
    monkeypatch.setattr(_checkpoint.time, "monotonic", lambda: next(clock))  # each look takes a second
    written: list[str] = []
    monkeypatch.setattr(
        _checkpoint, "save_file", lambda tensors, path, metadata: path.write_text("") or written.append(path)
    )
    run(network("table"), (data(6), None), checkpoint=Checkpoint(tmp_path / "state.safetensors", {}))
    assert len(written) == 1, "the next would be due after twenty seconds"


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.two.weight = self.one.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.two(self.one(inputs)))
        return result


def test_weights_that_are_used_twice_stay_one(tmp_path: Path) -> None:
    def make() -> Tied:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Tied()

    parts, path = (data(6), None), tmp_path / "state.safetensors"
    whole = make()
    run(whole, parts)
    with pytest.raises(Killed):
        run(make(), parts, checkpoint=Checkpoint(path, {}), kill=2)
    resumed = make()
    run(resumed, parts, checkpoint=Checkpoint(path, {}))
    assert resumed.one.weight is resumed.two.weight
    assert same(resumed, whole)


class Odd(nn.Linear):
    def get_extra_state(self) -> Any:
        return {"calls": 1}

    def set_extra_state(self, state: Any) -> None:
        pass


def test_a_module_that_keeps_more_than_tensors_has_none(tmp_path: Path) -> None:
    outcome, _ = run(Odd(6, 2), (data(6), None), checkpoint=Checkpoint(tmp_path / "state.safetensors", {}))
    assert outcome.status is Status.COMPLETE
    assert list(tmp_path.iterdir()) == []
