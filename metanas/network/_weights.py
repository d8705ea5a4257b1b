"""Weights from a file into the network that they were trained in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from metanas.errors import MetanasError
from metanas.network._build import Network
from metanas.network._user import user_paths

_TOLD = 3
"""Weights that differ and are named: one change in a module may alter all that follow it."""


def load_weights(network: Network, path: Path) -> None:
    """Give a network the weights in a file.

    Raises
    ------
    MetanasError
        If they are of another network: a module of the user's may have changed since its training.

    """
    kept = load_file(path)
    if differences := _differences(network.state_dict(), kept):
        more = f" and {len(differences) - _TOLD} more" if len(differences) > _TOLD else ""
        own = ", ".join(user_paths(network.graph))
        raise MetanasError(
            "a network is built as it was when it was trained", found="; ".join(differences[:_TOLD]) + more, where=str(path),
            remedy=f"restore the code of {own} as it was then, or search again" if own
            else "use the version of metanas that trained it, or search again",
        )  # fmt: skip
    network.load_state_dict(kept)


def _differences(built: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> list[str]:
    """How the weights of a network differ from those that a file keeps."""
    return [
        f"{name} of shape {list(built[name].shape)}, and {list(kept[name].shape)} in the file" for name in built
        if name in kept and built[name].shape != kept[name].shape
    ] + [f"{name}, which is not in the file" for name in built if name not in kept] + [
        f"no {name}, which is in the file" for name in kept if name not in built
    ]  # fmt: skip
