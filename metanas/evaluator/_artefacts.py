"""What a final training leaves in ``best/``: architecture, weights, a file of plain PyTorch, and how to prepare data."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file

from metanas._version import __version__
from metanas.architecture import Architecture, LayerGraph
from metanas.data import Preparation, preparation_source
from metanas.network import Network, export_source


def write_artefacts(
    folder: Path,
    network: Network,
    layers: LayerGraph,
    architecture: Architecture,
    preparation: Preparation,
    tested: Mapping[str, float],
) -> None:
    """Write ``architecture.json``, ``preparation.json``, ``network.py`` and last ``weights.safetensors``.

    Each file is written beside its place and moved there, so that a killed process leaves none half written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    source = export_source(
        layers,
        title=f"A network of the space {architecture.space.name}, found by metanas ({architecture.canonical_id}).",
        version=__version__,
        preparation=preparation_source(preparation),
    )
    text = {
        "architecture.json": architecture.to_json() + "\n",
        "preparation.json": json.dumps(preparation.to_json(), indent=1) + "\n",
        "metrics.json": json.dumps(dict(tested), indent=2) + "\n",
        "network.py": source,
    }
    for name, content in text.items():
        (folder / f".{name}").write_text(content, encoding="utf-8")
        os.replace(folder / f".{name}", folder / name)
    save_file(tensors, folder / ".weights.safetensors", metadata={"format": "pt"})
    # safetensors makes it for its owner alone; those who may read the others may read this.
    shutil.copymode(folder / "network.py", folder / ".weights.safetensors")
    os.replace(folder / ".weights.safetensors", folder / "weights.safetensors")
