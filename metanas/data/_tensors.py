"""Data on the device: whole parts as tensors, batched and augmented there, with no DataLoader in between.

Notation: n samples, B of them in a batch; C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from metanas.data._dataset import Dataset, Indices
from metanas.data._preparation import Preparation
from metanas.data._split import Splits
from metanas.errors import DataError

AugmentationName = Literal["auto", "none", "shift", "shift_flip"]


class Part(NamedTuple):
    """Samples on a device."""

    inputs: Tensor
    """float32, (n, C, H, W), (n, C, L) or (n, F), images channels-last in memory on CUDA; or int64 ids (n, L)."""
    targets: Tensor
    """(n,): int64 class numbers, or float32 standardised quantities."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """The parts of a split on a device."""

    train: Part
    """To train on."""
    validation: Part
    """To score networks on; empty in a final training."""
    test: Part | None
    """To test the final network once; None in a search, which never sees it."""


def to_device(
    dataset: Dataset, splits: Splits, preparation: Preparation, device: torch.device | str, *, test: bool = False
) -> Tensors:
    """Prepare the parts and put them on ``device``; the test part only where ``test`` asks for it."""

    def part(indices: Indices) -> Part:
        inputs = torch.from_numpy(preparation.transform(dataset.take(indices))).to(device)
        if inputs.ndim == 4 and inputs.is_cuda:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return Part(inputs, torch.from_numpy(preparation.transform_targets(dataset.targets[indices])).to(device))

    return Tensors(part(splits.train), part(splits.validation), part(splits.test) if test else None)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes to a batch of images that leave their class: a shift, then perhaps a mirror image."""

    shift: int
    """Greatest shift along each axis, in pixels; 0 for none."""
    flip: bool
    """Whether half of the images are mirrored left to right."""
    fill: tuple[float, ...]
    """What comes in at the border, a value a channel: black, as it reads after the preparation."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment (B, C, H, W) images, each by its own draw; ``generator`` lives on their device."""
        count, device = len(images), images.device
        if self.shift:
            offsets = torch.randint(2 * self.shift + 1, (2, count), generator=generator, device=device)
            images = _shifted(images, offsets, self.shift, self.fill)
        if self.flip:
            mirrored = torch.rand(count, 1, 1, 1, generator=generator, device=device) < 0.5
            images = torch.where(mirrored, images.flip(3), images)
        return images


def augmentation(name: str, preparation: Preparation) -> Augmentation | None:
    """The augmentation ``auto``, ``none``, ``shift`` or ``shift_flip`` for data prepared so; None for none.

    A shift is up to an eighth of the shorter side, at least one pixel. ``auto`` shifts images, and mirrors those with
    3 channels (photographs; grey images are often writing, which a mirror changes). Raises DataError for
    another name, and where something else than images is to be shifted.
    """
    if name not in ("auto", "none", "shift", "shift_flip"):
        remedy = "say auto, none, shift or shift_flip"
        raise DataError("unknown augmentation", found=repr(name), where="augment", remedy=remedy)
    if preparation.kind != "image" and name not in ("auto", "none"):
        found = f"{name!r} for {preparation.kind}"
        raise DataError("only images can be augmented", found=found, where="augment", remedy="say none")
    if preparation.kind != "image" or name == "none":
        return None
    channels, height, width = preparation.input_shape
    flip = name == "shift_flip" or (name == "auto" and channels == 3)
    scale = zip(preparation.channel_mean, preparation.channel_std, strict=True)
    return Augmentation(
        shift=max(1, min(height, width) // 8), flip=flip, fill=tuple(-mean / std for mean, std in scale)
    )


def batches(
    inputs: Tensor,
    targets: Tensor,
    *,
    batch_size: int,
    generator: torch.Generator | None,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass over the samples: (B, ...) inputs and (B,) targets.

    With a ``generator`` (on the tensors' device) the samples are shuffled and, if asked, augmented. Without, they come
    in order. A last batch of one sample joins the batch before it: batch normalisation has no statistics of one.
    """
    n = len(inputs)
    ends = [*range(batch_size, n, batch_size), n] if n else []
    if len(ends) > 1 and ends[-1] - ends[-2] == 1:
        del ends[-2]
    if generator is None:
        for start, end in zip([0, *ends], ends, strict=False):
            yield inputs[start:end], targets[start:end]
        return
    order = torch.randperm(n, generator=generator, device=inputs.device)
    for start, end in zip([0, *ends], ends, strict=False):
        rows = order[start:end]
        batch = _select(inputs, rows)
        yield (augment(batch, generator) if augment else batch), targets.index_select(0, rows)


def _select(inputs: Tensor, rows: Tensor) -> Tensor:
    """``inputs`` at ``rows``, in the same order in memory (index_select alone would lose channels-last)."""
    if inputs.ndim == 4 and not inputs.is_contiguous():
        return inputs.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
    return inputs.index_select(0, rows)


def _shifted(images: Tensor, offsets: Tensor, shift: int, fill: tuple[float, ...]) -> Tensor:
    """Each of the (B, C, H, W) images cut from a padded copy at its own (2, B) row and column in [0, 2 * shift]."""
    count, channels, height, width = images.shape
    last = not images.is_contiguous()
    padded = torch.empty(
        (count, channels, height + 2 * shift, width + 2 * shift),
        dtype=images.dtype,
        device=images.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )
    for channel, value in enumerate(fill):
        padded[:, channel] = value
    padded[:, :, shift:-shift, shift:-shift] = images
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    cut: Tensor = windows[torch.arange(count, device=images.device), :, offsets[0], offsets[1]]
    return cut.contiguous(memory_format=torch.channels_last) if last else cut
