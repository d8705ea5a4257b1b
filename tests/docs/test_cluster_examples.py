"""The files of examples/cluster, as far as one machine can tell: scripts run with stand-ins for Slurm and Ray."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from metanas.study import RunFile, parse_run_text, plan, read_run_file
from metanas.worker import RayOptions

EXAMPLES = Path(__file__).parents[2] / "examples" / "cluster"
SCRIPTS = ["head.sh", "node.sh", "slurm.sbatch"]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")

STAND_INS = {
    "ray": """\
echo "ray $* mode=$RAY_AUTH_MODE stats=$RAY_USAGE_STATS_ENABLED token=$(cat "$RAY_AUTH_TOKEN_PATH")" >> "$RECORD"
case "$*" in *--head*) port="$(echo "$*" | sed 's/.*--port=\\([0-9]*\\).*/\\1/')"
    exec python3 -c "import socket, time
s = socket.create_server(('127.0.0.1', $port)); time.sleep(60)";; esac
""",
    "metanas": """\
echo "metanas $* address=$RAY_ADDRESS mode=$RAY_AUTH_MODE mode_of_token=$(stat -c %a "$RAY_AUTH_TOKEN_PATH")" >> "$RECORD"
for _ in $(seq 200); do [ "$(grep -c '^ray' "$RECORD")" = 2 ] && break; sleep 0.1; done
trap 'echo drained >> "$RECORD"; exit 5' TERM
if [ -n "${LONG:-}" ]; then echo running >> "$RECORD"; for _ in $(seq 300); do sleep 0.1; done; fi
""",
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"\n',
    "scontrol": "echo node1; echo node2\n",
    "hostname": "echo 127.0.0.1\n",
}


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine whose Slurm, Ray and metanas write down how they were called."""
    (folder := tmp_path / "bin").mkdir()
    for name, text in STAND_INS.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{text}")
        (folder / name).chmod(0o755)
    (tmp_path / "bin" / "activate").touch()
    return {
        "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path),
        "RECORD": str(tmp_path / "record"), "METANAS_ENV": str(tmp_path), "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_PER_TASK": "16",
        "SLURM_GPUS_ON_NODE": "4",
    }  # fmt: skip


def run(script: str, *arguments: object, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = ["bash", str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)


def record_of(environment: dict[str, str]) -> str:
    path = Path(environment["RECORD"])
    return path.read_text() if path.exists() else ""


def wait_for(text: str, environment: dict[str, str]) -> str:
    deadline = time.monotonic() + 60
    while text not in (record := record_of(environment)):
        assert time.monotonic() < deadline, record
        time.sleep(0.05)
    return record


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_sound(script: str) -> None:
    text = (EXAMPLES / script).read_text()
    assert subprocess.run(["bash", "-n", EXAMPLES / script], check=False).returncode == 0
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert "export RAY_AUTH_MODE=token" in code
    assert "ray stop" not in code.replace("where 'ray stop' would", "")
    if shutil.which("shellcheck"):
        checked = subprocess.run(
            ["shellcheck", "--severity=warning", EXAMPLES / script], capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stdout.decode()


@pytest.mark.parametrize("folder", [False, True])
def test_a_slurm_job_starts_ray_on_all_nodes_and_a_search(
    folder: bool, machine: dict[str, str], tmp_path: Path
) -> None:
    target = tmp_path if folder else tmp_path / "run.yaml"
    job = run("slurm.sbatch", target, environment=machine)
    assert job.wait(60) == 0
    lines = record_of(machine).splitlines()
    (ray,) = (line for line in lines if "--head" in line)
    (other,) = (line for line in lines if line.startswith("ray") and "--head" not in line)
    (search,) = (line for line in lines if line.startswith("metanas"))
    address = f"127.0.0.1:{20000 + os.getpid() % 10000}"
    assert "start --block --num-cpus=16 --num-gpus=4 --head --node-ip-address=127.0.0.1" in ray
    assert f"start --block --num-cpus=16 --num-gpus=4 --address={address}" in other
    for line in (ray, other):
        assert "mode=token stats=0" in line
    assert ray.split("token=")[-1] == other.split("token=")[-1]
    assert len(ray.split("token=")[-1]) == 64
    verb = "resume" if folder else "search"
    assert f"metanas {verb} {target} --set workers.engine=ray --set workers.address=auto address={address}" in search
    assert "mode_of_token=600" in search
    assert not list(tmp_path.glob(".metanas-ray-*")), "the token goes with the job"


def test_a_slurm_job_that_ends_drains_its_search(machine: dict[str, str], tmp_path: Path) -> None:
    job = run("slurm.sbatch", tmp_path / "run.yaml", environment=machine | {"LONG": "1"})
    wait_for("running", machine)
    os.kill(job.pid, signal.SIGTERM)
    assert job.wait(60) == 5
    assert "drained" in record_of(machine)


def test_two_plain_machines(machine: dict[str, str], tmp_path: Path) -> None:
    node = run("node.sh", "127.0.0.1", environment=machine)
    assert node.wait(60) == 1, "no token, no node"
    head = run("head.sh", "127.0.0.1", 20000 + os.getpid() % 10000, environment=machine)
    wait_for("--head", machine)
    os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
    assert run("node.sh", "127.0.0.1", environment=machine).wait(60) == 0
    first, second = record_of(machine).splitlines()
    assert "mode=token stats=0" in first
    assert "start --block --address=127.0.0.1:6379" in second
    assert first.split("token=")[-1] == second.split("token=")[-1]


def test_the_run_file_is_one(tmp_path: Path) -> None:
    planned = plan(read_run_file(EXAMPLES / "run.yaml"))
    assert on_ray(planned.run).address == "auto"


def on_ray(run: RunFile) -> RayOptions:
    assert run.engine == "ray"
    return RayOptions.from_mapping(run.engine_options)


@pytest.fixture
def manifest() -> dict[str, Any]:
    """The documents of the manifest, by kind."""
    return {document["kind"]: document for document in yaml.safe_load_all((EXAMPLES / "kuberay.yaml").read_text())}


def test_the_manifest_holds_what_kuberay_requires(manifest: dict[str, Any]) -> None:
    assert {*manifest} == {"ConfigMap", "PersistentVolumeClaim", "RayJob"}
    for document in manifest.values():
        assert document["metadata"]["name"]
    job = manifest["RayJob"]
    assert job["apiVersion"] == "ray.io/v1"
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert isinstance(cluster["rayVersion"], str)
    claims = {manifest["PersistentVolumeClaim"]["metadata"]["name"]}
    images = set()
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["runs"]["persistentVolumeClaim"]["claimName"] in claims
        assert volumes["config"]["configMap"]["name"] == manifest["ConfigMap"]["metadata"]["name"]
        (container,) = pod["containers"]
        images.add(container["image"])
        assert {mount["name"] for mount in container["volumeMounts"]} == {*volumes}
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert all(isinstance(value, str) for value in container["resources"]["limits"].values())
    assert len(images) == 1, "head and workers run the same"
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    dockerfile = (EXAMPLES / "Dockerfile").read_text()
    assert f"rayproject/ray:{cluster['rayVersion']}-" in dockerfile


def test_the_job_of_the_manifest_searches_once_and_then_goes_on(manifest: dict[str, Any], tmp_path: Path) -> None:
    (bin_ := tmp_path / "bin").mkdir()
    (bin_ / "metanas").write_text('#!/bin/sh\necho "$@"\n')
    (bin_ / "metanas").chmod(0o755)
    entrypoint = manifest["RayJob"]["spec"]["entrypoint"].replace("/runs", str(tmp_path / "runs"))

    def said() -> str:
        environment = {"PATH": f"{bin_}:{os.environ['PATH']}"}
        return subprocess.run(
            entrypoint, shell=True, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert said() == f"search /etc/metanas/run.yaml --runs {tmp_path}/runs\n"
    (tmp_path / "runs" / "digits_cluster-20260101-120000").mkdir(parents=True)
    assert said() == f"resume {tmp_path}/runs/digits_cluster-20260101-120000/\n"


def test_the_run_file_in_the_manifest_is_one(manifest: dict[str, Any], tmp_path: Path) -> None:
    planned = plan(parse_run_text(manifest["ConfigMap"]["data"]["run.yaml"], "run.yaml", base=tmp_path))
    assert on_ray(planned.run) == RayOptions(address="auto", gpus_per_trial=0.5, wait=600)
