"""How GPUs are found and cores shared, on made-up machines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metanas.errors import MetanasError
from metanas.worker import Device, Slot, find_devices, plan_slots

GIB = 2**30
A, B, C = (Device(f"GPU-{letter * 4}-1", size * GIB) for letter, size in zip("abc", (80, 40, 24), strict=True))


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that answers for A, B and C, alone on PATH; CUDA_VISIBLE_DEVICES is not set."""
    if sys.platform == "win32":
        pytest.skip("the fake is a shell script")
    program = tmp_path / "nvidia-smi"
    lines = "\n".join(f"echo '{device.uuid}, {(device.memory or 0) // 2**20}'" for device in (A, B, C))
    program.write_text(f'#!/bin/sh\n[ "$1" = --query-gpu=uuid,memory.total ] || exit 1\n{lines}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


def test_gpus_are_listed_with_their_memory(nvidia_smi: Path) -> None:
    assert find_devices() == [A, B, C]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("", []),
        ("-1", []),
        ("2,0", [C, A]),
        ("1, 7, 0", [B]),
        (B.uuid, [B]),
        ("GPU-c", [C]),
        ("GPU-", []),
        ("MIG-1234", [Device("MIG-1234", None)]),
    ],
)
def test_cuda_visible_devices_is_respected(
    visible: str, expected: list[Device], nvidia_smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_devices() == expected


def test_without_a_driver_that_works_there_is_no_gpu(nvidia_smi: Path) -> None:
    nvidia_smi.write_text("#!/bin/sh\necho 'has failed because it could not communicate with the driver'\nexit 9\n")
    assert find_devices() == []
    nvidia_smi.unlink()
    assert find_devices() == []


def test_memory_that_the_driver_does_not_tell_is_unknown(nvidia_smi: Path) -> None:
    nvidia_smi.write_text("#!/bin/sh\necho 'GPU-x, [N/A]'\n")
    assert find_devices() == [Device("GPU-x", None)]


@pytest.mark.parametrize(
    ("cores", "threads"), [(1, [1]), (2, [1, 1]), (8, [1] * 8), (11, [2, 2, 2, 1, 1, 1, 1, 1]), (64, [8] * 8)]
)
def test_auto_without_gpus_shares_all_cores(cores: int, threads: list[int]) -> None:
    assert plan_slots("auto", [], cores) == [Slot(device="cpu", visible="", threads=count) for count in threads]


def test_a_number_of_cpu_workers_may_exceed_the_cores() -> None:
    assert [slot.threads for slot in plan_slots(3, [], 2)] == [1, 1, 1]
    assert [slot.threads for slot in plan_slots(3, [], 8)] == [3, 3, 2]


def test_auto_is_one_worker_a_gpu() -> None:
    slots = plan_slots("auto", [A, B, C], 8)
    assert [(slot.device, slot.visible) for slot in slots] == [("cuda:0", device.uuid) for device in (A, B, C)]
    assert [slot.memory for slot in slots] == [80 * GIB, 40 * GIB, 24 * GIB]
    assert [slot.threads for slot in slots] == [3, 3, 2]


def test_more_workers_than_gpus_take_turns_and_share_what_their_processes_leave_of_the_memory() -> None:
    slots = plan_slots(3, [A, B], 6)
    assert [slot.visible for slot in slots] == [A.uuid, B.uuid, A.uuid]
    assert [slot.memory for slot in slots] == [79 * GIB, 40 * GIB, 79 * GIB]
    assert {slot.memory for slot in plan_slots(4, [Device("GPU-small", GIB)], 4)} == {GIB // 4}
    assert [slot.visible for slot in plan_slots(1, [A, B], 6)] == [A.uuid]
    assert plan_slots(2, [Device("MIG-1", None)], 2)[0].memory is None


@pytest.mark.parametrize("workers", [0, -1, "two", True, 1.5])
def test_a_senseless_number_of_workers_is_refused(workers: object) -> None:
    with pytest.raises(MetanasError, match="workers is auto or a whole number from 1"):
        plan_slots(workers, [], 2)  # type: ignore[arg-type]


def test_by_default_the_machine_is_asked(nvidia_smi: Path) -> None:
    assert [slot.visible for slot in plan_slots("auto")] == [A.uuid, B.uuid, C.uuid]
    nvidia_smi.unlink()
    assert 1 <= len(plan_slots("auto")) <= 8


def test_a_slot_lowers_the_memory_limit_of_a_setup() -> None:
    slot = Slot(device="cuda:0", visible="GPU-x", threads=1, memory=10)
    assert slot.setup({"a": 1}) == {"a": 1, "memory_limit": 10}
    assert slot.setup({"memory_limit": 4})["memory_limit"] == 4
    assert slot.setup({"memory_limit": 40})["memory_limit"] == 10
    assert Slot(device="cpu", visible="", threads=1).setup({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(("allowed", "threads"), [("1", 1), ("99", None), ("two", None), ("0", None)])
def test_a_worker_has_no_more_threads_than_the_user_allows(
    monkeypatch: pytest.MonkeyPatch, allowed: str, threads: int | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    monkeypatch.setattr("metanas.worker._devices.usable_cores", lambda: 8)
    assert [slot.threads for slot in plan_slots(1, [])] == [threads or 8]
