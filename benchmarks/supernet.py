"""What a step of a supernet costs, over that of one written by hand: time and peak memory, NAS-Bench-201's space.

The one by hand is written as the authors of NAS-Bench-201 do (Dong & Yang 2020): a module an edge, all of whose ops run
and are summed by weight (DARTS, first order), or of which the drawn one runs (GDAS); channels first in memory. Both take
a step of the weights and one of the decisions, on the same data. 16 channels, 5 cells a stage, batches of 64 images of
32 x 32 pixels, one thread. Each variant runs in a process of its own, in turn; time is processor time (one thread never
waits, so it is what an idle machine would need), the mean of GDAS's steps but the first, the least of DARTS'; memory is the greatest resident set less that
before the first step.

NNI's (``--nni PYTHON``) takes the same step; of its times the least counts. Prints a line a part to standard error and JSON to
standard output: ``python benchmarks/supernet.py --part darts``. Ends with exit code 1 where a ratio of times is missed.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from metanas.architecture import Architecture
from metanas.evaluator import METHODS, Recipe
from metanas.evaluator._supernet_policy import Policy
from metanas.evaluator._supernet_training import SupernetTraining
from metanas.network import Supernet
from metanas.space import load_space

TARGETS = {"darts": 0.75, "gdas": 0.8}
"""Greatest ratio of times aimed at; 1.1 is the bound, for times and for memory."""
BATCH = 64


# --- by hand


def relu_conv_bn(channels: int, kernel: int) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(), nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(channels)
    )


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul(0.0)


class Edge(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.ops = nn.ModuleList([Zero(), nn.Identity(), relu_conv_bn(channels, 1), relu_conv_bn(channels, 3), pool])

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return sum(weight * op(x) for weight, op in zip(weights, self.ops, strict=True))  # type: ignore[return-value]

    def drawn(self, x: Tensor, weights: Tensor, index: int) -> Tensor:
        return sum(weights[k] * op(x) if k == index else weights[k] for k, op in enumerate(self.ops))  # type: ignore[return-value]


class Cell(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList([Edge(channels) for _ in range(6)])

    def forward(self, x: Tensor, weights: Tensor, picks: list[int] | None) -> Tensor:
        states, number = [x], 0
        for _ in range(3):
            arriving = []
            for state in states:
                edge: Edge = self.edges[number]  # type: ignore[assignment]
                if picks is None:
                    arriving.append(edge(state, weights[number]))
                else:
                    arriving.append(edge.drawn(state, weights[number], picks[number]))
                number += 1
            states.append(sum(arriving))  # type: ignore[arg-type]
        return states[-1]


class Reduction(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)  # type: ignore[no-any-return]


class ByHand(nn.Module):
    def __init__(self, channels: int = 16, cells: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        layers: list[nn.Module] = []
        for stage in range(3):
            width = channels << stage
            layers += [Reduction(width // 2, width)] if stage else []
            layers += [Cell(width) for _ in range(cells)]
        self.layers = nn.ModuleList(layers)
        self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(width, 10)
        self.logits = nn.Parameter(1e-3 * torch.randn(6, 5))

    def forward(self, x: Tensor, weights: Tensor, picks: list[int] | None) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x, weights, picks) if isinstance(layer, Cell) else layer(x)
        return self.head(self.last(x))  # type: ignore[no-any-return]


Step = Callable[[list[int]], None]
"""Takes a step; with GDAS the ops of the edges are given, so that both run the same networks."""


def certain(picks: list[int]) -> Tensor:
    """Logits under which these ops are drawn."""
    return 100.0 * nn.functional.one_hot(torch.tensor(picks), 5)


def by_hand(part: str, images: Tensor, labels: Tensor) -> Step:
    network = ByHand()
    weights = [weight for name, weight in network.named_parameters() if name != "logits"]
    ours = torch.optim.SGD(weights, lr=0.025, momentum=0.9, nesterov=True, weight_decay=5e-4)
    theirs = torch.optim.Adam([network.logits], lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def loss() -> Tensor:
        picks = None
        shares = network.logits.softmax(1)
        if part == "gdas":
            noise = -torch.empty_like(network.logits).exponential_().log()
            soft = ((network.logits.log_softmax(1) + noise) / 5.0).softmax(1)
            picks = soft.argmax(1).tolist()
            hard = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1.0)
            shares = hard - soft.detach() + soft
        return nn.functional.cross_entropy(network(images, shares, picks), labels)

    def step(picks: list[int]) -> None:
        if part == "gdas":
            network.logits.data.copy_(certain(picks))
        network.zero_grad()
        loss().backward()
        theirs.step()
        network.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(weights, 5.0)
        ours.step()

    return step


# --- by metanas


def by_metanas(part: str, images: Tensor, labels: Tensor) -> Step:
    space = load_space("nasbench201")
    supernet = Supernet(space, (3, 32, 32), 10)
    policy = Policy(space, METHODS[part], hard=supernet.hard, seed=0)
    recipe = Recipe(optimizer="sgd", lr=0.025, batch_size=BATCH, warmup=0.0)
    data = (images, labels)
    training = SupernetTraining(
        supernet, policy, recipe=recipe, loss=nn.functional.cross_entropy, train=data, validation=data, seed=0
    )
    supernet.train()

    def step(picks: list[int]) -> None:
        if part == "gdas":
            policy.logits.data.copy_(certain(picks).flatten())
        training._learn_decisions(data, data, 0.5, 0.025)
        training._step(data, 0, 0.5)

    return step


def measure(part: str, variant: str, steps: int) -> dict[str, float]:
    """Seconds of the fastest step, or of GDAS the mean of all but the first, and bytes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH) % 10
    step = (by_hand if variant == "hand" else by_metanas)(part, images, labels)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    space, times = load_space("nasbench201"), []
    rows = [row.tolist() for row in space.sample(10 * steps, np.random.default_rng(0))]
    with_path = [row for row in rows if Architecture(space, tuple(row)).graph.output is not None]
    for row in with_path[:steps]:
        began = time.process_time()
        step(row)
        times.append(time.process_time() - began)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Drawn networks differ from step to step, and are the same in both variants.
    seconds = float(np.mean(times[1:] or times)) if part == "gdas" else min(times)
    return {"seconds": seconds, "bytes": 1024.0 * (after - before)}


def printed_by(command: list[str]) -> dict[str, float]:
    """The JSON in the last line of what a process prints."""
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(printed.splitlines()[-1]))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--part", choices=["darts", "gdas", "all"], default="all")
    options.add_argument("--steps", type=int, default=0, help="a variant; 2 of darts and 6 of gdas if not given")
    options.add_argument("--variant", choices=["hand", "metanas"], help="measure one alone, in this process")
    options.add_argument(
        "--nni", metavar="PYTHON", help="interpreter of an environment with NNI 3.0, to measure that too"
    )
    given = options.parse_args()
    if given.variant:
        print(json.dumps(measure(given.part, given.variant, given.steps)))
        return
    results = {}
    for part in ("darts", "gdas") if given.part == "all" else (given.part,):
        steps = given.steps or {"darts": 2, "gdas": 6}[part]
        found = {}
        for variant in ("hand", "metanas"):
            command = [sys.executable, __file__, "--part", part, "--variant", variant, "--steps", str(steps)]
            found[variant] = printed_by(command)
        if given.nni:
            peer = Path(__file__).parent / "peers" / "nni_supernet.py"
            arguments = f"--part {part} --steps {steps} --batch {BATCH}".split()
            found["nni"] = printed_by([given.nni, "-W", "ignore", str(peer), *arguments])
        ratios = {key: found["metanas"][key] / found["hand"][key] for key in ("seconds", "bytes")}
        results[part] = {**found, "ratio": ratios, "target": TARGETS[part]}
        if given.nni:
            seconds, size = found["nni"]["seconds"], found["nni"]["bytes"]
            print(f"{part}: {seconds:.2f} s and {size / 1e9:.2f} GB by NNI", file=sys.stderr)
        print(
            f"{part}: {found['hand']['seconds']:.2f} s and {found['hand']['bytes'] / 1e9:.2f} GB by hand, "
            f"{found['metanas']['seconds']:.2f} s and {found['metanas']['bytes'] / 1e9:.2f} GB by metanas; "
            f"ratios {ratios['seconds']:.2f} (aim {TARGETS[part]}) and {ratios['bytes']:.2f}", file=sys.stderr,
        )  # fmt: skip
    print(json.dumps({"machine": platform.processor() or platform.machine(), "torch": torch.__version__, **results}))
    if any(result["ratio"]["seconds"] > result["target"] for result in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
