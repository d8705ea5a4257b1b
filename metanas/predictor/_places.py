"""Where predictors lie, by name."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from metanas.errors import MetanasError
from metanas.predictor._predictor import Predictor, difference
from metanas.predictor._space_model import SpaceModel
from metanas.predictor._store import CARD, load_model, load_predictor
from metanas.space import SearchSpace, did_you_mean

SHIPPED = "benchmarks"
"""Name of the predictor that comes with metanas: learned from tables of benchmarks."""
NO_PREDICTOR = "none"
"""What stands for no predictor where a name is asked for."""
_NAME = re.compile(r"[\w-]{1,80}")


def own_folder() -> Path:
    """Where predictors of the user's lie that are named without a path."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "metanas" / "predictors"


def shipped_folder() -> Path:
    """Where those lie that come with metanas."""
    return Path(__file__).parent / "shipped"


def predictor_names() -> list[str]:
    """Names of the predictors that are there without a path."""
    folders = [folder for folder in (own_folder(), shipped_folder()) if folder.is_dir()]
    return sorted({path.name for folder in folders for path in folder.iterdir() if (path / CARD).is_file()})


def place_for(name: str, *, base: Path) -> Path:
    """Where a predictor is written that is to have this name: a path with a ``/`` as it is, from ``base``."""
    if "/" in name or os.sep in name:
        return (base / Path(name).expanduser()).resolve()
    if name == NO_PREDICTOR:
        raise MetanasError("'none' is no name of a predictor: it stands for none", remedy="choose another name")
    if not _NAME.fullmatch(name):
        raise MetanasError("a predictor's name is letters, digits, _ and -, or a path with a /", found=repr(name))
    return own_folder() / name


def find_predictor(name: str, *, base: Path) -> Path:
    """The folder of a predictor: a path with a ``/``, from ``base``; a name of the user's own; or one that comes with metanas.

    Raises MetanasError if there is none.
    """
    place = place_for(name, base=base)
    if (place / CARD).is_file():
        return place
    if place.parent != own_folder():
        raise MetanasError("there must be such a predictor", found=f"none at {place}")
    if is_shipped(name):
        return shipped_folder() / name
    inside = (base / name / CARD).is_file()
    raise MetanasError(
        f"no predictor has the name {name!r}", found=f"none at {place}",
        remedy=f"write ./{name} for the folder" if inside else did_you_mean(name, predictor_names()) or "see 'metanas predictor list'",
    )  # fmt: skip


def is_shipped(name: str) -> bool:
    """Whether a predictor of this name comes with metanas."""
    return (shipped_folder() / name / CARD).is_file()


def model_for(space: SearchSpace, name: str | None, *, base: Path) -> SpaceModel | None:
    """What the predictor ``name`` knows of a space; for None, the one that comes with metanas, where it knows the space.

    The user's copy of that one, where :command:`metanas predictor update` made one, goes before it, unless another version of
    metanas wrote it in a way that cannot be read.

    Raises
    ------
    MetanasError
        If the named one cannot be read, or has learned nothing of the space: what it would say is a guess.

    """
    if name is None:
        with suppress(MetanasError):
            if (own_folder() / SHIPPED / CARD).is_file():
                return load_model(own_folder() / SHIPPED, space)
        path = shipped_folder() / SHIPPED
        return load_model(path, space) if (path / CARD).is_file() else None
    folder = find_predictor(name, base=base)
    model = load_model(folder, space)
    if model is None:
        raise abstention(load_predictor(folder), space)
    return model


def abstention(predictor: Predictor, space: SearchSpace, of: str = "") -> MetanasError:
    """The error that a predictor knows no network of a space; ``of`` says whose space it is."""
    models = [model for model in predictor.models if model.sources]
    known = ", ".join(model.space.name for model in models) or "no space"
    namesake = next((model.space for model in models if model.space.name == space.name), None)
    why = "" if namesake is None else f", in which {difference(namesake, space)}"
    return MetanasError(
        f"the predictor {predictor.name} abstains from spaces of which it knows no network",
        found=f"{of}the space {space.name}{why}",
        remedy=f"fold in a search of this space with 'metanas predictor update', or leave it out; it knows {known}",
    )  # fmt: skip
