"""Predictors as folders: ``predictor.json`` and ``arrays.safetensors``. Opening one executes nothing that it holds.

Everything read is checked: types, shapes, finite numbers. A folder from elsewhere may be wrong,
and may then predict nonsense; it cannot do anything else.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas._version import __version__
from metanas.encoding import NetworkEncoder, Ordered, StructureEncoder
from metanas.errors import MetanasError
from metanas.predictor._carry import akin
from metanas.predictor._parts import PLAIN, TRANSFER
from metanas.predictor._predictor import Predictor, same_space
from metanas.predictor._source import KERNEL, MOST, Smoother, Source
from metanas.predictor._space_model import SpaceModel
from metanas.space import SearchSpace, parse_space_text, settings_syntax

Array = npt.NDArray[Any]

FORMAT = 5
"""One more when what is written changes."""
CARD, ARRAYS = "predictor.json", "arrays.safetensors"
_LARGEST, _LARGEST_LOG, _FARTHEST = 1e12, 20.0, 1e9
"""Largest numbers of a source, logarithms of scales, and centres in units of their scales: far beyond any that are learned, and
none that what is computed with them would overflow."""
_MOST_BYTES = 256 * 2**20
"""Largest file that is opened."""


def save_predictor(predictor: Predictor, folder: Path) -> None:
    """Write a predictor, in place of the one that stands there.

    Raises MetanasError where something else does: see :func:`check_place`.
    """
    from safetensors.numpy import save

    check_place(folder, replace=True)
    arrays: dict[str, Array] = {}
    spaces = []
    for number, model in enumerate(predictor.models):
        arrays |= {f"{number}.{name}": array for name, array in _arrays(model).items()}
        spaces.append(_settings(model))
    card = {
        "format": FORMAT,
        "metanas": __version__,
        "name": predictor.name,
        "card": predictor.card(),
        "spaces": spaces,
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        (new / ARRAYS).write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
        (new / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        # For everyone to read, as folders that are not temporary are.
        new.chmod(0o755)
        (new / ARRAYS).chmod(0o644)
        if folder.exists():
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-")) / "old"
            os.replace(folder, old)
            os.replace(new, folder)
            shutil.rmtree(old.parent)
        else:
            os.replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def check_place(folder: Path, *, replace: bool) -> None:
    """Check that a predictor can be written to a folder: a new or empty one, or, to ``replace``, that of a predictor.

    Raises
    ------
    MetanasError
        If something would be lost.

    """
    if not folder.exists():
        return
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if others := sorted(found - {CARD, ARRAYS}):
        raise MetanasError(
            "a predictor is written to a new or empty folder, or in place of another predictor",
            found=f"{folder}, where {others[0]} is", remedy="choose another name",
        )  # fmt: skip
    if found and not replace:
        raise MetanasError(
            f"the predictor {folder.name} is there already", found=str(folder),
            remedy="fold the tasks in with 'metanas predictor update', or replace it with --force",
        )  # fmt: skip


@contextmanager
def updating(folder: Path) -> Iterator[None]:
    """Between reading a predictor and writing it again: another process that does so waits, so that neither loses what it learned."""
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        yield


def load_predictor(folder: Path) -> Predictor:
    """The predictor in a folder.

    Raises
    ------
    MetanasError
        If there is none, or it is damaged, or a newer metanas wrote it.

    """
    name, models = _opened(folder, lambda space: True)
    return Predictor(name=name, models=models)


def load_model(folder: Path, space: SearchSpace) -> SpaceModel | None:
    """What the predictor in a folder knows of one space (see :meth:`Predictor.model_for`); None for nothing. Quicker than all of
    it; see :func:`load_predictor`.
    """
    name, models = _opened(folder, lambda other: same_space(other, space) or akin(other, space))
    return Predictor(name=name, models=models).model_for(space)


def read_card(folder: Path) -> dict[str, Any]:
    """Name, version and card of the predictor in a folder; see :func:`load_predictor`.

    Arrays are not read, but that none is cut short is checked.
    """
    from safetensors import SafetensorError, safe_open

    card = _read(folder)
    try:
        with safe_open(folder / ARRAYS, framework="numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, error) from error
    if not isinstance(card.get("card"), list) or not all(isinstance(card.get(key), str) for key in ("name", "metanas")):
        raise _damaged(folder, "predictor.json has no card")
    return {key: card[key] for key in ("name", "metanas", "card")}


def _read(folder: Path) -> dict[str, Any]:
    where = str(folder)
    for name in (CARD, ARRAYS):
        if not (folder / name).is_file():
            raise MetanasError(f"a predictor is a folder with {CARD} and {ARRAYS}", found=f"no {name}", where=where)
        if (folder / name).stat().st_size > _MOST_BYTES:
            raise MetanasError(f"a predictor's files have at most {_MOST_BYTES:,} bytes", found=name, where=where)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise _damaged(folder, error) from error
    if not isinstance(card, dict) or not isinstance(card.get("format"), int):
        raise _damaged(folder, "predictor.json has no format")
    if card["format"] > FORMAT:
        raise MetanasError(
            "a predictor is opened by the version of metanas that wrote it, or a newer one",
            found=f"format {card['format']}, of metanas {card.get('metanas')}", remedy="update metanas", where=where,
        )  # fmt: skip
    if card["format"] < FORMAT:
        raise MetanasError(
            "a predictor of an older metanas has to be fitted again", found=f"format {card['format']}, not {FORMAT}",
            remedy="fit it again: metanas predictor fit", where=where,
        )  # fmt: skip
    return card


def _opened(folder: Path, wanted: Callable[[SearchSpace], bool]) -> tuple[str, tuple[SpaceModel, ...]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    card = _read(folder)
    try:
        arrays = load_file(folder / ARRAYS)
        models = []
        for number, settings in enumerate(card["spaces"]):
            added = settings_syntax(dict(settings.get("settings", {})))
            space = parse_space_text(_text(settings["text"]), train=added)
            if wanted(space):
                models.append(_model(space, settings, _part(arrays, f"{number}.")))
        return _text(card["name"]), tuple(models)
    except (
        KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError, OSError, SafetensorError,
    ) as error:  # fmt: skip
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: object) -> MetanasError:
    said = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return MetanasError(
        "a predictor's files belong together and are whole", found=str(said)[:300], where=str(folder),
        remedy="fit it again: metanas predictor fit",
    )  # fmt: skip


def _settings(model: SpaceModel) -> dict[str, Any]:
    return {
        "name": model.space.name,
        "text": model.space.text,
        "settings": dict(model.space.settings),
        "features": list(model.encoder.structure.names),
        "share": model.share,
        "length": model.length,
        "repeatable": model.repeatable,
        "widen": model.widen,
        "quality": dict(model.quality),
        "sources": [
            {
                "name": s.name,
                "count": s.count,
                "repeats": s.repeats,
                "elsewhere": s.elsewhere,
                "facts": dict(s.facts),
                "by_features": [smoother.by_features for smoother in s.smoothers],
            }
            for s in model.sources
        ],
    }


def _arrays(model: SpaceModel) -> dict[str, Array]:
    encoder = model.encoder
    arrays: dict[str, Array] = {
        "centre.decisions": encoder.centres[0], "centre.structure": encoder.centres[1],
        "scale.decisions": encoder.scales[0], "scale.structure": encoder.scales[1],
        "centres": model.centres, "correlation": model.correlation, "transfer": model.transfer, "plain": model.plain,
    }  # fmt: skip
    for number, source in enumerate(model.sources):
        parts = {
            "rows": source.rows.astype(np.int16 if source.rows.max(initial=0) < 2**15 else np.int32),
            "losses": source.losses,
            "relevance": source.relevance,
            "weights": np.stack([smoother.weights for smoother in source.smoothers]),
            "theta": np.stack([smoother.theta for smoother in source.smoothers]),
        }
        if source.doubt is not None:
            parts["doubt"] = source.doubt
        arrays |= {f"sources.{number}.{name}": array for name, array in parts.items()}
    return arrays


def _model(space: SearchSpace, settings: Mapping[str, Any], arrays: Mapping[str, Array]) -> SpaceModel:
    names = _names(settings["features"])
    width, decisions = len(names), Ordered(space).width
    if len({*names}) < width:
        raise ValueError("a column has the name of another one")
    encoder = NetworkEncoder(
        structure=StructureEncoder(space, names),
        centres=(_numbers(arrays["centre.decisions"], decisions), _numbers(arrays["centre.structure"], width)),
        scales=(_numbers(arrays["scale.decisions"], 1), _numbers(arrays["scale.structure"], width)),
    )
    for centre, scale in zip(encoder.centres, encoder.scales, strict=True):
        if not (scale > 0).all() or (np.abs(centre) > _FARTHEST * scale).any():
            raise ValueError("a scale is not positive, or far too small")
    described = list(settings["sources"])
    m = len(described)
    sources = tuple(_source(d, _part(arrays, f"sources.{k}."), encoder, space) for k, d in enumerate(described))
    length = settings["length"]
    model = SpaceModel(
        encoder=encoder, sources=sources, centres=_numbers(arrays["centres"], 2, m, most=_LARGEST),
        correlation=_numbers(arrays["correlation"], m, m, most=1 + 1e-6),
        transfer=_numbers(arrays["transfer"], TRANSFER.n_scales, most=_LARGEST_LOG),
        plain=_numbers(arrays["plain"], PLAIN.n_scales, most=_LARGEST_LOG),
        share=_number(settings["share"], 0, 1), length=None if length is None else _number(length, 1e-3),
        repeatable=_number(settings["repeatable"], 0, 1), widen=_number(settings["widen"], 1e-3, 1e3),
        quality=dict(settings["quality"]),
    )  # fmt: skip
    if m and not (model.centres[1] > 1e-7).all():
        raise ValueError("a deviation is not positive")
    return model


def _source(d: Mapping[str, Any], arrays: Mapping[str, Array], encoder: NetworkEncoder, space: SearchSpace) -> Source:
    rows = arrays["rows"]
    n = len(rows)
    sizes = np.array([decision.size for decision in space.decisions])
    if rows.dtype.kind != "i" or rows.shape != (n, len(sizes)) or not 0 < n <= MOST:
        raise ValueError("rows of a source are no rows")
    rows = rows.astype(np.int64)
    if (rows < -1).any() or (rows >= sizes).any() or ((rows >= 0) != space.active(rows)).any():
        raise ValueError("rows of a source are not of the space")
    losses = np.asarray(arrays["losses"], dtype=np.float64)
    if losses.shape != (n,) or np.isnan(losses).any():
        raise ValueError("losses of a source are no numbers")
    blocks = encoder(rows)
    if not all(np.isfinite(block * block).all() for block in blocks):
        raise ValueError("encodings of a source's networks are no numbers")
    relevance = _numbers(arrays["relevance"], sum(block.shape[1] for block in blocks), most=_LARGEST).astype(np.float32)
    if (relevance < 0).any():
        raise ValueError("a relevance of a source is negative")
    kinds = list(d["by_features"])
    if not kinds or not all(isinstance(kind, bool) for kind in kinds):
        raise ValueError("what a source is smoothed by is not known")
    doubt = _numbers(arrays["doubt"], n, most=_LARGEST) if "doubt" in arrays else None
    if doubt is not None and (doubt < 0).any():
        raise ValueError("a doubt of a source is negative")
    weights = _numbers(arrays["weights"], len(kinds), n, most=_LARGEST).astype(np.float32)
    theta = _numbers(arrays["theta"], len(kinds), KERNEL.n_scales, most=_LARGEST_LOG)
    smoothers = tuple(
        Smoother(by_features=k, theta=t, weights=w) for k, t, w in zip(kinds, theta, weights, strict=True)
    )
    return Source(
        name=_text(d["name"]), count=int(d["count"]), repeats=int(d["repeats"]),
        facts={_text(k): _number(v) for k, v in dict(d["facts"]).items()}, rows=rows, losses=losses, relevance=relevance,
        smoothers=smoothers, blocks=blocks, doubt=doubt, elsewhere=int(d.get("elsewhere", 0)),
    )  # fmt: skip


def _part(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list of names, found {type(value).__name__}")
    return tuple(_text(name) for name in value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _number(value: Any, low: float = -np.inf, high: float = np.inf) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not np.isfinite(value)
        or not low <= value <= high
    ):
        raise ValueError(f"expected a number from {low:g} to {high:g}, found {value!r}")
    return float(value)


def _numbers(array: Array, *shape: int, most: float = np.inf) -> Array:
    """An array that has this shape, of finite numbers from ``-most`` to ``most``."""
    if array.dtype.kind != "f" or array.shape != shape or not np.isfinite(array).all() or (np.abs(array) > most).any():
        raise ValueError(f"expected numbers of shape {shape} up to {most:g}, found {array.dtype} {array.shape}")
    return array
