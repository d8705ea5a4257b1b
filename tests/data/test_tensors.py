"""Tensors on the device: parts, batches, augmentation."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from metanas.data import (
    Augmentation,
    Preparation,
    augmentation,
    batches,
    dataset_from_arrays,
    fit_preparation,
    load_dataset,
    split,
    to_device,
)
from metanas.errors import DataError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def prepared(channels: int, side: int = 16) -> Preparation:
    return Preparation(
        kind="image",
        task="classification",
        input_shape=(channels, side, side),
        channel_mean=(10.0,) * channels,
        channel_std=(5.0,) * channels,
    )


def test_parts_hold_their_rows_and_the_test_part_comes_only_when_asked_for(tmp_path: Path) -> None:
    dataset = load_dataset("digits", base=tmp_path)
    parts = split(dataset, seed=0)
    preparation = fit_preparation(dataset, parts.train)
    tensors = to_device(dataset, parts, preparation, "cpu")
    assert tensors.test is None
    assert tensors.train.inputs.shape == (len(parts.train), 1, 8, 8)
    assert tensors.train.inputs.dtype == torch.float32
    assert tensors.validation.targets.dtype == torch.int64
    np.testing.assert_array_equal(tensors.validation.targets, dataset.targets[parts.validation])
    final = to_device(dataset, parts.final(), preparation, "cpu", test=True)
    assert final.test is not None
    assert len(final.test.inputs) == len(parts.test)
    assert len(final.validation.inputs) == 0
    assert len(final.train.targets) == len(parts.train) + len(parts.validation)


def test_targets_of_a_regression_are_standardised_floats(tmp_path: Path) -> None:
    dataset = load_dataset("diabetes", base=tmp_path)
    parts = split(dataset, seed=0)
    targets = to_device(dataset, parts, fit_preparation(dataset, parts.train), torch.device("cpu")).train.targets
    assert targets.dtype == torch.float32
    assert targets.shape == (len(parts.train),)
    assert targets.mean().item() == pytest.approx(0, abs=1e-5)
    assert targets.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_shuffled_batches_cover_every_sample_once_with_its_target() -> None:
    inputs = torch.arange(50, dtype=torch.float32)[:, None]
    targets = torch.arange(50)
    found = list(batches(inputs, targets, batch_size=8, generator=seeded()))
    assert [len(x) for x, _ in found] == [8] * 6 + [2]
    order = torch.cat([y for _, y in found])
    assert torch.equal(torch.cat([x[:, 0] for x, _ in found]), order.float())
    assert torch.equal(order.sort().values, targets)
    assert not torch.equal(order, targets)


def test_generator_decides_the_order() -> None:
    inputs, targets = torch.zeros(50, 1), torch.arange(50)

    def order(seed: int) -> list[int]:
        return [int(t) for _, y in batches(inputs, targets, batch_size=50, generator=seeded(seed)) for t in y]

    assert order(1) == order(1)
    assert order(1) != order(2)


@pytest.mark.parametrize("generator", [seeded(), None])
@pytest.mark.parametrize(("n", "sizes"), [(17, [8, 9]), (16, [8, 8]), (9, [9]), (1, [1]), (0, []), (5, [5])])
def test_no_batch_of_one_sample_is_left_over(n: int, sizes: list[int], generator: torch.Generator | None) -> None:
    found = batches(torch.zeros(n, 2), torch.zeros(n), batch_size=8, generator=generator)
    assert [len(x) for x, _ in found] == sizes


def test_without_a_generator_batches_come_in_order() -> None:
    found = list(batches(torch.zeros(18, 2), torch.arange(18), batch_size=8, generator=None))
    assert [y.tolist() for _, y in found] == [[*range(8)], [*range(8, 16)], [16, 17]]


def test_batches_keep_channels_last() -> None:
    inputs = torch.randn(20, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    targets = torch.arange(20)
    augment = augmentation("auto", prepared(3, 8))
    for batch, _ in batches(inputs, targets, batch_size=8, generator=seeded(), augment=augment):
        assert batch.is_contiguous(memory_format=torch.channels_last)
    for batch, rows in batches(inputs, targets, batch_size=8, generator=seeded()):
        assert batch.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(batch, inputs[rows])


def test_augmentation_does_not_depend_on_the_order_in_memory() -> None:
    images = torch.randn(12, 3, 16, 16)
    augment = augmentation("shift_flip", prepared(3))
    assert augment is not None
    expected = augment(images, seeded())
    assert torch.equal(augment(images.contiguous(memory_format=torch.channels_last), seeded()), expected)


def test_shift_moves_each_image_and_fills_with_black() -> None:
    images = torch.zeros(400, 1, 16, 16)
    images[:, :, 8, 8] = 7.0
    augment = augmentation("shift", prepared(1))
    assert augment == Augmentation(shift=2, flip=False, fill=(-2.0,))
    shifted = augment(images, seeded())
    assert shifted.shape == images.shape
    _, _, rows, columns = torch.nonzero(shifted == 7.0, as_tuple=True)
    assert len(rows) == 400
    assert set((rows - 8).tolist()) == set((columns - 8).tolist()) == {-2, -1, 0, 1, 2}
    assert len({*zip(rows.tolist(), columns.tolist(), strict=True)}) == 25
    # An image that moved down by d shows d black rows at its top.
    down = rows - 8
    black_rows = (shifted[:, 0] == -2.0).all(dim=2)
    assert torch.equal(black_rows[:, :8].sum(dim=1), down.clamp(min=0))
    assert torch.equal(black_rows[:, 8:].sum(dim=1), (-down).clamp(min=0))


def test_flip_mirrors_half_of_the_images() -> None:
    images = torch.randn(400, 3, 4, 4)
    flipped = Augmentation(shift=0, flip=True, fill=())(images, seeded())
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    same = (flipped == images).flatten(1).all(1)
    assert torch.equal(mirrored, ~same)
    assert 150 < mirrored.sum() < 250


def test_augmentation_follows_its_generator() -> None:
    images = torch.randn(30, 3, 16, 16)
    augment = augmentation("auto", prepared(3))
    assert augment is not None
    assert torch.equal(augment(images, seeded(1)), augment(images, seeded(1)))
    assert not torch.equal(augment(images, seeded(1)), augment(images, seeded(2)))


def test_auto_augmentation_suits_the_data() -> None:
    colour, grey = augmentation("auto", prepared(3, 32)), augmentation("auto", prepared(1, 8))
    assert colour is not None
    assert (colour.shift, colour.flip) == (4, True)
    assert grey is not None
    assert (grey.shift, grey.flip) == (1, False)
    assert augmentation("none", prepared(3)) is None
    x = np.random.default_rng(0).normal(size=(12, 2))
    table = fit_preparation(dataset_from_arrays(x, np.arange(12) % 2), np.arange(12))
    assert augmentation("auto", table) is None
    with pytest.raises(DataError, match="only images"):
        augmentation("shift", table)
    with pytest.raises(DataError, match="unknown augmentation"):
        augmentation("rotate", prepared(3))


def test_batches_differ_between_epochs_of_one_generator() -> None:
    generator = seeded()
    targets = torch.arange(40)
    epochs = [torch.cat([y for _, y in batches(targets, targets, batch_size=7, generator=generator)]) for _ in range(3)]
    assert not any(torch.equal(one, other) for one, other in pairwise(epochs))
