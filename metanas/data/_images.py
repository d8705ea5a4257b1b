"""Images from a folder with one subfolder a class, read by Pillow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from metanas.data._dataset import Array, Dataset
from metanas.data._targets import check_targets, read_targets
from metanas.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_GREY = ("1", "L", "LA")
_DEEP = ("I", "F")


def load_images(folder: Path, *, size: tuple[int, int] | None = None, task: str | None = None) -> Dataset:
    """Read the images in the subfolders of ``folder``, each the name of a class.

    Images become uint8 (n, C, H, W) with C = 1 if all are grey, else 3 (RGB; transparency is dropped). ``size``
    (H, W) resizes all of them, whatever their proportions. Raises DataError.
    """
    where = str(folder)
    found = _find(folder)
    classes = sorted(found)
    if not classes:
        remedy = f"make one subfolder a class, with images in it ({', '.join(IMAGE_SUFFIXES)})"
        raise DataError("must hold a subfolder for each class", found="none with images", where=where, remedy=remedy)
    paths = [path for name in classes for path in found[name]]
    numbers = np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes])
    targets = read_targets(numbers, kind="image", task=task, where=where, names=classes)
    check_targets(targets, where=where)
    images = list(read_images(paths, size=size))
    return Dataset(
        name=folder.name,
        kind="image",
        task=targets.task,
        inputs=_stack(images, paths, where),
        targets=targets.values,
        classes=targets.classes,
        notes=_notes(folder, classes),
    )


def _find(folder: Path) -> dict[str, list[Path]]:
    """The image files of each class folder, in the same order on every platform."""
    found = {}
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.name.startswith("."):
            names = sorted(path.name for path in entry.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
            found[entry.name] = [entry / name for name in names if not name.startswith(".")]
    empty = sorted(name for name, paths in found.items() if not paths)
    if empty and len(empty) < len(found):
        remedy = "add images or remove the folder"
        raise DataError("a class folder must hold images", found="none", where=str(folder / empty[0]), remedy=remedy)
    return {name: paths for name, paths in found.items() if paths}


def _notes(folder: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """What is not read: images beside the class folders, and in folders within them."""
    loose = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    deep = [
        path
        for name in classes
        for inner in (folder / name).iterdir()
        if inner.is_dir() and not inner.name.startswith(".")
        for path in inner.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
    ]
    told = (("beside the class folders", loose), ("in folders within class folders", deep))
    return tuple(
        f"images {where} are not read ({len(paths):,}, such as {min(paths).relative_to(folder)})"
        for where, paths in told if paths
    )  # fmt: skip


def read_images(paths: Sequence[Path], *, size: tuple[int, int] | None, grey: bool | None = None) -> Iterator[Array]:
    """Images in order, each uint8, (H, W) if grey and else (H, W, 3); ``grey`` makes it so or not. Raises DataError."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(partial(_read, size=size, grey=grey), paths)


def _read(path: Path, *, size: tuple[int, int] | None, grey: bool | None) -> Array:
    try:
        with Image.open(path) as file:
            if file.mode in _DEEP or file.mode.startswith("I;"):
                remedy = "convert it to 8 bits, or give arrays in an .npz file"
                raise DataError("images must have 8 bits a channel", found=file.mode, where=str(path), remedy=remedy)
            image = ImageOps.exif_transpose(file)
            grey = image.mode in _GREY if grey is None else grey
            image = image.convert("L" if grey else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        remedy = "replace or remove this file"
        raise DataError("cannot be read as an image", found=str(error), where=str(path), remedy=remedy) from error
    if size is not None and (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _stack(images: Sequence[Array], paths: Sequence[Path], where: str) -> Array:
    height, width = images[0].shape[:2]
    for image, path in zip(images, paths, strict=True):
        if image.shape[:2] != (height, width):
            found = f"{height}x{width} in {paths[0].name} and {image.shape[0]}x{image.shape[1]} in {path.name}"
            remedy = "say `size: 32` (or [height, width]) beside `images:` to resize them"
            raise DataError("images must be of one size", found=found, where=where, remedy=remedy)
    channels = 3 if any(image.ndim == 3 for image in images) else 1
    stacked = np.empty((len(images), channels, height, width), np.uint8)
    for row, image in zip(stacked, images, strict=True):
        row[:] = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return stacked
