"""Layers -> one file of plain PyTorch that needs no metanas; and a network -> ONNX."""

from __future__ import annotations

import inspect
import logging
import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from metanas._lazy import optional_import
from metanas.architecture import Layer, LayerGraph
from metanas.network._build import FUNCTIONS, Network
from metanas.network._modules import MODULES
from metanas.network._user import shape_argument, user_paths

_REMARK = re.compile(r"  # type: ignore\S*")

_TEMPLATE = '''\
"""{title}

Written by metanas {version}. Needs {needs}, not metanas.

    import network
    outputs = network.load()({usage})
"""

{standard}from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
{imports}
{preparation}{modules}
class Network(nn.Module):
    """Input (batch, {shape}){ids}, output (batch, {outputs})."""

    def __init__(self):
        super().__init__()
{init}

    def forward(self, x):
{forward}


def load(weights=Path(__file__).with_name("weights.safetensors")):
    """The trained network, ready to predict."""
    network = Network()
    network.load_state_dict(load_file(weights))
    return network.eval()
'''


def export_source(graph: LayerGraph, *, title: str, version: str, preparation: str = "") -> str:
    """The source of a module with the layers and state dict of :class:`~metanas.network.Network`.

    ``preparation`` is source that defines ``prepare``, which turns raw samples into the network's input.
    """
    names, forward = ["x"], []
    last = {i: step for step, layer in enumerate(graph.layers) for i in layer.inputs}
    free: list[str] = []
    count = 0
    for step, layer in enumerate(graph.layers[1:], start=1):
        inputs = [names[i] for i in layer.inputs]
        # A value that dies here lends its variable to the result: chains read as x = layer(x).
        dying = [names[i] for i in dict.fromkeys(layer.inputs) if last[i] == step]
        if dying:
            target, *rest = dying
            free.extend(rest)
        elif free:
            target = free.pop()
        else:
            count += 1
            target = f"x{count}"
        names.append(target)
        forward.append(f"        {target} = {_call(layer, inputs)}")
    forward.append(f"        return {names[graph.output]}")
    init = [
        f"        self.{layer.name} = {_constructor(graph, layer)}"
        for layer in graph.layers[1:] if layer.kind not in FUNCTIONS
    ]  # fmt: skip
    modules = _modules(graph)
    return _TEMPLATE.format(
        needs=_needs(graph), imports=_imports(graph), modules=modules, standard="import math\n" if "math." in modules else "", ids=" of ids, int64" if graph.vocabulary else "",
        title=title.replace("\\", "/").replace('"', "'"), version=version, usage="network.prepare(samples)" if preparation else "samples", init="\n".join(init),
        preparation=f"{preparation.strip()}\n\n" if preparation else "", forward="\n".join(forward),
        shape=", ".join(map(str, graph.input_shape)), outputs=math.prod(graph.layers[graph.output].shape),
    )  # fmt: skip


def _constructor(graph: LayerGraph, layer: Layer) -> str:
    if layer.kind in MODULES:
        return f"{layer.kind}({_arguments(layer.arguments)})"
    if ":" not in layer.kind:
        return f"nn.{layer.kind}({_arguments(layer.arguments)})"
    shape = shape_argument(layer.kind, graph.layers[layer.inputs[0]].shape)
    return f"{layer.kind.partition(':')[2]}({_arguments({**layer.arguments, **shape})})"


def _imports(graph: LayerGraph) -> str:
    """Lines that import modules of the user's."""
    return "".join(f"from {path.partition(':')[0]} import {path.partition(':')[2]}\n" for path in user_paths(graph))


def _needs(graph: LayerGraph) -> str:
    """What must be importable where the file is used, in words."""
    own = sorted({path.partition(":")[0] for path in user_paths(graph)})
    return f"torch, safetensors and your {', '.join(own)}" if own else "torch and safetensors"


def _modules(graph: LayerGraph) -> str:
    """The source of the layers that torch.nn does not have, those alone that the network uses."""
    used = sorted({layer.kind for layer in graph.layers} & set(MODULES))
    return "".join(f"\n{_REMARK.sub('', inspect.getsource(MODULES[kind]))}\n" for kind in used)


def _call(layer: Layer, inputs: list[str]) -> str:
    if layer.kind in FUNCTIONS:
        return FUNCTIONS[layer.kind][1](*inputs)
    return f"self.{layer.name}({', '.join(inputs)})"


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def export_onnx(network: Network, path: Path) -> None:
    """Write a network as ONNX, with a free batch size; needs the extra ``onnx``.

    Raises
    ------
    MissingDependencyError
        If the extra is not installed.

    """
    optional_import("onnx", extra="onnx")
    optional_import("onnxscript", extra="onnx")
    sample = torch.zeros(2, *network.graph.input_shape, dtype=torch.int64 if network.graph.vocabulary else None)
    batch = torch.export.Dim("batch")
    log = logging.getLogger("torch.onnx")
    level = log.level
    with warnings.catch_warnings():
        # Of torch's own parts about each other, and about torchvision, which it does not need.
        warnings.simplefilter("ignore", FutureWarning)
        log.setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                network.eval(), (sample,), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
            )
        finally:
            log.setLevel(level)
    assert program is not None
    program.save(str(path))
