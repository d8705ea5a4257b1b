"""Names of strategies, as a run file has them -> strategies and Optuna's samplers."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from metanas._lazy import optional_import
from metanas.controller import (
    Bananas,
    BoostedTrees,
    Evolution,
    Forest,
    GaussianProcess,
    LocalSearch,
    Meta,
    RandomSearch,
    RankingWeightedEnsemble,
    SourceProcess,
    SourceRank,
    SourceRidge,
    Strategy,
    SupernetRanking,
)
from metanas.errors import MetanasError, describe
from metanas.space import SearchSpace, did_you_mean, size_text

if TYPE_CHECKING:
    import optuna

STRATEGIES: Mapping[str, type[Strategy]] = {
    "random": RandomSearch,
    "evolution": Evolution,
    "local": LocalSearch,
    "meta": Meta,
    "gp": GaussianProcess,
    "forest": Forest,
    "trees": BoostedTrees,
    "bananas": Bananas,
    "supernet": SupernetRanking,
    "source_rank": SourceRank,
    "source_ridge": SourceRidge,
    "source_gp": SourceProcess,
    "rgpe": RankingWeightedEnsemble,
}
_NOT_SETTINGS = ("sources", "facts", "model", "ranking", "single")
"""Fields of strategies that are no settings: what is known of other data sets and of this one."""
NEED_SOURCES = ("source_rank", "source_ridge", "source_gp", "rgpe")
"""Of these, the ones that do nothing without source tasks."""
TRAINING = ("supernet",)
"""And those that train on the data themselves, where a bench looks results up."""
SAMPLERS: Mapping[str, str] = {
    "random": "RandomSampler",
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "qmc": "QMCSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "brute_force": "BruteForceSampler",
    "grid": "GridSampler",
}
"""Name behind ``optuna:`` -> class in ``optuna.samplers``."""

_MODELS_SOME = ("gp", "cmaes", "qmc")
"""Samplers that draw the decisions that they cannot model at random, and warn of it."""
_GRID = 1_000_000


def strategy_names(*, bench: bool = False) -> list[str]:
    """All names that ``search.strategy`` takes, or a bench."""
    ours = [name for name in STRATEGIES if name not in (TRAINING if bench else NEED_SOURCES)]
    return [*ours, *(f"optuna:{name}" for name in SAMPLERS)]


def strategy_problem(name: str, options: Mapping[str, Any], *, bench: bool = False) -> MetanasError | None:
    """What keeps ``name`` with ``options`` from being a strategy, if anything. Loads no Optuna.

    ``bench`` says that it is for a bench, which has source tasks.
    """
    if name in NEED_SOURCES and not bench:
        return MetanasError(
            f"{name} learns from results on other data sets, which 'metanas bench' alone hands over",
            remedy="use another strategy, such as gp",
        )
    if name in TRAINING and bench:
        return MetanasError(
            "a supernet is trained on data, and a bench looks results up", found=name, remedy="use another strategy"
        )
    if name not in (names := strategy_names(bench=bench)):
        return MetanasError(f"no strategy has the name {name!r}", remedy=did_you_mean(name, names))
    if name not in STRATEGIES:
        return None
    known = {each.name: each.default for each in settings_of(name)}
    for key, value in options.items():
        if key not in known:
            return MetanasError(f"{name} has no setting {key!r}", remedy=did_you_mean(key, known))
        kind = str if isinstance(known[key], str) else int
        if isinstance(value, bool) or not isinstance(value, kind):
            what = "a text" if kind is str else "a whole number"
            return MetanasError(f"{name}.{key} is {what}", found=repr(value))
    try:
        make_strategy(name, options)
    except MetanasError as error:
        return error
    return proxies_problem(options) if bench else None


def proxies_problem(options: Mapping[str, Any], where: str = "") -> MetanasError | None:
    """What is wrong with a strategy's settings where no network is built."""
    if not options.get("proxies"):
        return None
    return MetanasError(
        "proxies are of networks that are built", found=f"proxies: {options['proxies']}, and results that are looked up",
        where=where, remedy="leave 'proxies' out",
    )  # fmt: skip


def make_strategy(name: str, settings: Mapping[str, Any]) -> Strategy:
    """A strategy of ours with these settings, ``sources`` among them where it takes any.

    Raises MetanasError when the settings do not suit it.
    """
    make: Callable[..., Strategy] = STRATEGIES[name]
    return make(**settings)


def takes_sources(name: str) -> bool:
    """Whether a strategy learns from the results of other data sets (:class:`metanas.tables.TaskData`)."""
    return name in STRATEGIES and any(each.name == "sources" for each in _fields(name))


def takes_facts(name: str) -> bool:
    """Whether a strategy wants to know facts of the data set."""
    return name in STRATEGIES and any(each.name == "facts" for each in _fields(name))


def takes_model(name: str) -> bool:
    """Whether a strategy goes on from what a predictor has learned."""
    return name in STRATEGIES and any(each.name == "model" for each in _fields(name))


def settings_of(name: str) -> list[dataclasses.Field[Any]]:
    """What a user may set of a strategy of ours."""
    return [each for each in _fields(name) if each.init and each.name not in _NOT_SETTINGS]


def _fields(name: str) -> tuple[dataclasses.Field[Any], ...]:
    kind: Any = STRATEGIES[name]
    return dataclasses.fields(kind)


def make_sampler(name: str, options: Mapping[str, Any], space: SearchSpace, seed: int) -> optuna.samplers.BaseSampler:
    """The Optuna sampler behind ``optuna:name``.

    Raises
    ------
    MetanasError
        If it does not take the options, needs a package that is missing, or does not suit the space.

    """
    import optuna

    short = name.removeprefix("optuna:")
    if "seed" in options:
        raise MetanasError(
            "a sampler is seeded by the search", found=f"seed: {options['seed']!r}", where="search.strategy",
            remedy="write 'search: {seed: ...}'",
        )  # fmt: skip
    kind = getattr(optuna.samplers, SAMPLERS[short])
    arguments = dict(options)
    if short == "cmaes":
        # Optuna would say it in the middle of the search.
        optional_import("cmaes")
    if short == "grid":
        arguments["search_space"] = _grid(space)
    if short in _MODELS_SOME:
        # A line for each choice of each trial would say what the user knows: it was asked for by name.
        arguments = {"warn_independent_sampling": False} | arguments
    with sampler_errors(name, options), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return kind(seed=seed, **arguments)  # type: ignore[no-any-return]


@contextmanager
def sampler_errors(name: str, options: Mapping[str, Any]) -> Iterator[None]:
    """What an Optuna sampler stumbles over where it was given settings, which it may not look at before it needs them."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        if not options:
            raise
        given = ", ".join(f"{key}: {value!r}" for key, value in options.items())
        raise MetanasError(
            f"optuna.samplers.{SAMPLERS[name.removeprefix('optuna:')]} must take the settings {given}",
            found=describe(error), where="search.strategy", remedy="give it others, or leave them out",
        ) from error  # fmt: skip


def check_sampler(name: str, options: Mapping[str, Any], space: SearchSpace, objectives: int) -> None:
    """Make the Optuna sampler behind ``optuna:name`` and ask it once, as it looks at most settings only then.

    Raises
    ------
    MetanasError
        If it does not take the options, needs a package that is missing, or does not suit the space.

    """
    import optuna

    from metanas.study._suggest import suggest_row

    sampler = make_sampler(name, options, space, 0)
    if options:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with sampler_errors(name, options):
            trial = optuna.create_study(sampler=sampler, directions=["maximize"] * objectives).ask()
            suggest_row(trial, space, inactive=asks_inactive(name, options))


def asks_inactive(name: str, options: Mapping[str, Any]) -> bool:
    """Whether the sampler behind ``optuna:name`` is asked for inactive decisions too.

    TPE finds more that way and in less time than by a model for each set of decisions that occur together
    (``benchmarks/conditional_tpe.py``, figures in ``docs/run-file.md``).
    """
    return name == "optuna:tpe" and not options.get("group") and options.get("multivariate") is not False


def _grid(space: SearchSpace) -> dict[str, list[Any]]:
    if space.size is None or space.size > _GRID or any(d.kind == "float" for d in space.decisions):
        raise MetanasError(
            f"a grid needs a space of choices with at most {_GRID:,} rows", found=f"{space.name} with {size_text(space.size)}",
            where="search.strategy", remedy="use another strategy, such as evolution",
        )  # fmt: skip
    return {decision.name: list(decision.values) for decision in space.decisions}
