"""A step of NNI 3.0's supernet of NAS-Bench-201's space, as ``supernet.py`` takes it: decisions, then weights."""

from __future__ import annotations

import argparse
import json
import resource
import time

import torch
from nni.nas.hub.pytorch import NasBench201
from nni.nas.strategy import DARTS, GumbelDARTS
from torch import nn

STRATEGIES = {"darts": DARTS, "gdas": GumbelDARTS}
"""GumbelDARTS runs all ops of an edge, not the drawn one alone."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--part", choices=list(STRATEGIES), required=True)
    options.add_argument("--steps", type=int, required=True)
    options.add_argument("--batch", type=int, required=True)
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, labels = torch.randn(given.batch, 3, 32, 32), torch.arange(given.batch) % 10
    space = NasBench201(stem_out_channels=16, num_modules_per_stack=5, num_labels=10)
    network = STRATEGIES[given.part]().mutate_model(space)
    logits = [weight for name, weight in network.named_parameters() if name.endswith("_arch_alpha")]
    weights = [weight for name, weight in network.named_parameters() if not name.endswith("_arch_alpha")]
    ours = torch.optim.SGD(weights, lr=0.025, momentum=0.9, nesterov=True, weight_decay=5e-4)
    theirs = torch.optim.Adam(logits, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(given.steps):
        began = time.process_time()
        for optimizer in (theirs, ours):
            network.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            if optimizer is ours:
                nn.utils.clip_grad_norm_(weights, 5.0)
            optimizer.step()
        times.append(time.process_time() - began)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": min(times), "bytes": 1024.0 * (after - before)}))


if __name__ == "__main__":
    main()
