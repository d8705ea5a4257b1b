"""NAS-Bench-201's network as one writes it in PyTorch for a cell that is known."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

EDGES = [(source, target) for target in range(1, 4) for source in range(target)]


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


def operation(name: str, channels: int) -> nn.Module:
    match name:
        case "skip":
            return nn.Identity()
        case "avg_pool3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return nn.Sequential(nn.ReLU(), *conv_bn(channels, channels, 3 if name == "conv3x3" else 1))


class Cell(nn.Module):
    def __init__(self, ops: Mapping[tuple[int, int], str], channels: int) -> None:
        super().__init__()
        self.ops = nn.ModuleList(operation(ops[edge], channels) for edge in EDGES)

    def forward(self, x: Tensor) -> Tensor:
        nodes = [x]
        ops = iter(self.ops)
        for target in range(1, 4):
            arriving = [next(ops)(nodes[source]) for source in range(target)]
            nodes.append(sum(arriving[1:], arriving[0]))
        return nodes[-1]


class ResBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv_bn(inputs, outputs, 3, 2), nn.ReLU(), *conv_bn(outputs, outputs, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


def build(ops: Mapping[tuple[int, int], str], outputs: int = 10) -> nn.Module:
    """From the operation on each edge to the network for 32x32 images."""
    return nn.Sequential(
        *conv_bn(3, 16, 3),
        *(Cell(ops, 16) for _ in range(5)),
        ResBlock(16, 32),
        *(Cell(ops, 32) for _ in range(5)),
        ResBlock(32, 64),
        *(Cell(ops, 64) for _ in range(5)),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, outputs),
    )
