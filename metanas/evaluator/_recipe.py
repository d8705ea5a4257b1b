"""How a network is trained: the recipe, its defaults and its checks. Torch is not needed here.

The defaults were chosen for short trainings of small networks: for AdamW, of the values tried on scikit-learn's digits,
breast cancer and diabetes and on 4,000 images of CIFAR-10, they were within the spread over seeds of the best.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from metanas.errors import MetanasError, SeveralErrors
from metanas.space import did_you_mean

DOTTED_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
"""``package.module:function``."""

LOSSES = ("auto", "cross_entropy", "mse", "mae")

AUGMENTED_EPOCHS = 30
"""Shorter trainings are not augmented unless told so: there, networks have no time to overfit. Measured without and
with shifts and mirror images on 4,000 images of CIFAR-10: 0.520 and 0.489 in 12 epochs, 0.573 and 0.580 in 30."""

# By optimizer: learning rate and weight decay where the recipe gives none. Adam's decay is an L2 penalty, which its
# scaled steps turn into something else, so it has none. At 0.1 sgd was better on CIFAR-10, but a regression blew up.
_BY_OPTIMIZER = {"adamw": (5e-3, 0.05), "adam": (5e-3, 0.0), "sgd": (0.05, 5e-4)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What one field of a recipe may hold, for checks, documentation and the JSON schema."""

    name: str = ""
    """The field."""
    type: Literal["integer", "number", "boolean", "string"]
    """JSON type; an optional field takes null too."""
    about: str
    """One line for the user, with the unit."""
    default: int | float | bool | str | None = None
    """None: chosen by other fields, as ``about`` says."""
    choices: tuple[str, ...] = ()
    """The names that it takes; empty for anything of the type."""
    low: float | None = None
    """Smallest value, itself allowed unless ``low_excluded``."""
    low_excluded: bool = False
    """Whether the value must be above ``low``."""
    high: float | None = None
    """The value must be below this."""
    dotted: bool = False
    """Whether a function of the user's, as ``package.module:function``, may stand here."""

    @property
    def rule(self) -> str:
        """What must hold, in words."""
        if self.choices:
            return f"{self.name} is one of {', '.join(self.choices)}" + (
                ", or your own as package.module:function" if self.dotted else ""
            )
        kind = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}
        text = f"{self.name} is {kind[self.type]}"
        if self.low is not None:
            text += f" {'above' if self.low_excluded else 'of at least'} {self.low:g}"
        if self.high is not None:
            text += f" and below {self.high:g}" if self.low is not None else f" below {self.high:g}"
        return text

    def accepts(self, value: object) -> bool:
        """Whether ``value`` has the type and lies in the range."""
        if self.type == "string":
            return isinstance(value, str) and (
                value in self.choices or (self.dotted and DOTTED_NAME.fullmatch(value) is not None)
            )
        if self.type == "boolean":
            return isinstance(value, bool)
        kinds = int if self.type == "integer" else (int, float)
        # A flag is an int to Python, but 'epochs: true' is a mistake.
        if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value):
            return False
        if self.low is not None and (value < self.low or (self.low_excluded and value == self.low)):
            return False
        return self.high is None or value < self.high


def _option(default: Any, kind: Literal["integer", "number", "boolean", "string"], about: str, **limits: Any) -> Any:
    return field(default=default, metadata={"option": Option(type=kind, about=about, default=default, **limits)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training recipe; the ``about`` text of each field's :class:`Option` says what it means.

    Raises MetanasError for a value that breaks a field's rule.
    """

    epochs: int = _option(12, "integer", "passes over the training split", low=1)
    batch_size: int | None = _option(
        None,
        "integer",
        "samples a step; by default 128, or less (16 at least) where an epoch would have fewer than 16 steps",
        low=2,
    )
    optimizer: Literal["adamw", "sgd", "adam"] = _option(
        "adamw", "string", "adamw, adam, or sgd with momentum", choices=tuple(_BY_OPTIMIZER)
    )
    lr: float | None = _option(
        None, "number", "peak learning rate; by default 5e-3, or 0.05 for sgd", low=0, low_excluded=True
    )
    weight_decay: float | None = _option(
        None,
        "number",
        "decay of weights, not of biases and norms; by default 0.05 for adamw, 5e-4 for sgd, none for adam",
        low=0,
    )
    momentum: float = _option(0.9, "number", "momentum of sgd; others ignore it", low=0, high=1)
    nesterov: bool = _option(True, "boolean", "Nesterov's momentum in sgd; others ignore it")
    schedule: Literal["cosine", "constant", "linear"] = _option(
        "cosine",
        "string",
        "how the learning rate falls after the warm-up: along a cosine or a line to 0, or not at all",
        choices=("cosine", "constant", "linear"),
    )
    warmup: float = _option(
        0.1, "number", "part of the training in which the learning rate rises from 0 to its peak", low=0, high=1
    )
    label_smoothing: float = _option(
        0.1, "number", "probability mass that cross-entropy spreads evenly over all classes", low=0, high=1
    )
    augment: Literal["auto", "none", "shift", "shift_flip"] = _option(
        "auto",
        "string",
        "random changes of training images: shifts, or shifts and mirror images; auto is none in short trainings, else "
        "what suits the images",
        choices=("auto", "none", "shift", "shift_flip"),
    )
    grad_clip: float | None = _option(
        None, "number", "longest gradient, as the norm over all weights; by default no limit", low=0, low_excluded=True
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = _option(
        "auto",
        "string",
        "arithmetic of the forward pass; auto is mixed precision on CUDA (bfloat16 where the GPU has it), else float32",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    loss: str = _option(
        "auto",
        "string",
        "what training minimizes; auto is cross_entropy for classes and mse for numbers",
        choices=LOSSES,
        dotted=True,
    )

    def __post_init__(self) -> None:
        for option in RECIPE_OPTIONS:
            value = getattr(self, option.name)
            if not (option.accepts(value) or (value is None and option.default is None)):
                raise MetanasError(option.rule, found=repr(value))

    @property
    def peak_lr(self) -> float:
        """The learning rate, or the optimizer's default where none is given."""
        return _BY_OPTIMIZER[self.optimizer][0] if self.lr is None else self.lr

    @property
    def decay(self) -> float:
        """The weight decay, or the optimizer's default where none is given."""
        return _BY_OPTIMIZER[self.optimizer][1] if self.weight_decay is None else self.weight_decay

    def augment_for(self, epochs: int) -> str:
        """The name of the augmentation in a training of ``epochs``: ``auto`` is ``none`` in a short one."""
        return "none" if self.augment == "auto" and epochs < AUGMENTED_EPOCHS else self.augment

    def batch_for(self, samples: int, steps: int = 16) -> int:
        """Samples a step when there are so many to train on, where an epoch should have ``steps`` at least."""
        if self.batch_size is not None:
            return self.batch_size
        # Few steps teach little, whatever the rate; a power of two, as is usual.
        return min(128, max(16, 1 << max(1, samples // steps).bit_length() - 1)) if samples >= 32 else 16

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, where: str = "train", allow_python: bool = False) -> Self:
        """The recipe that ``values`` describe, the rest by default.

        Raises MetanasError that holds every problem, one a line (see :func:`recipe_problems`).
        """
        problems = recipe_problems(values, where=where, allow_python=allow_python)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise SeveralErrors(problems)
        return cls(**values)


RECIPE_OPTIONS = tuple(replace(each.metadata["option"], name=each.name) for each in fields(Recipe))
"""What each field of a recipe may hold, in order."""


def recipe_problems(
    values: Mapping[str, Any], *, where: str = "train", allow_python: bool = False
) -> tuple[MetanasError, ...]:
    """Everything that keeps ``values`` from being a recipe; ``where`` of each is ``train.<key>``."""
    options = {option.name: option for option in RECIPE_OPTIONS}
    problems = []
    for key, value in values.items():
        option, place = options.get(key), f"{where}.{key}"
        if option is None:
            remedy = did_you_mean(str(key).lower(), options)
            problems.append(MetanasError("the recipe has no such key", found=repr(key), remedy=remedy, where=place))
        elif value is None and option.default is None:
            continue
        elif not option.accepts(value):
            remedy = _remedy(option, value)
            problems.append(MetanasError(option.rule, found=repr(value), remedy=remedy, where=place))
        elif option.dotted and value not in option.choices and not allow_python:
            problems.append(python_refused(str(value), where=place))
    return tuple(problems)


def python_refused(name: str, *, where: str) -> MetanasError:
    """The error for code of the user's that was not allowed."""
    remedy = "pass --allow-python (allow_python=True from Python) if you trust this code"
    return MetanasError("Python code of your own runs only where it is allowed", found=name, remedy=remedy, where=where)


def _remedy(option: Option, value: object) -> str:
    if option.choices and isinstance(value, str):
        return did_you_mean(value.lower(), option.choices)
    return "leave it out" if option.default is None else f"leave it out for the default, {option.default}"
