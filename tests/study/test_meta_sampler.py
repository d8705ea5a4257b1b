"""MetaSampler in studies of one's own: Optuna's own contract tests, and what it is for."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

import metanas
from metanas.controller import Evolution
from metanas.errors import MetanasError
from metanas.space import SearchSpace, parse_space_text

SPACE = """\
space: mine
language: 1
input: table
network:
  - optional: {dense: {units: {choice: [2, 4, 8]}}}
  - {id: body, dense: {units: {choice: [2, 4, 8]}, act: {choice: [relu, gelu]}}}
  - head
train: {lr: {float: [0.001, 0.1], log: true}}
"""


def space(text: str = SPACE) -> SearchSpace:
    return parse_space_text(text)


class Contract:
    @pytest.fixture(params=["random", "evolution", "local"])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: metanas.MetaSampler(space(), request.param, seed=0)


class TestBasic(Contract, BasicSamplerTestCase):
    pass


class TestRelative(Contract, RelativeSamplerTestCase):
    pass


class TestMultiObjective(Contract, MultiObjectiveSamplerTestCase):
    pass


def goodness(trial: optuna.Trial) -> float:
    architecture = metanas.suggest(trial, space())
    return sum(value for value in architecture.values.values() if not isinstance(value, str))


def test_it_proposes_architectures_and_learns() -> None:
    totals: dict[str, float] = {}
    for strategy in ("random", "evolution"):
        study = optuna.create_study(direction="maximize", sampler=metanas.MetaSampler(space(), strategy, seed=1))
        study.optimize(goodness, n_trials=60)
        table = space()
        rows = {tuple(table.to_row(trial.params)) for trial in study.trials}
        assert len(rows) == 60, "each once"
        totals[strategy] = float(np.mean([trial.value for trial in study.trials[30:]]))
    assert totals["evolution"] > totals["random"]


def test_the_same_seed_proposes_the_same() -> None:
    studies = [optuna.create_study(sampler=metanas.MetaSampler(space(), seed=seed)) for seed in (5, 5, 6)]
    for study in studies:
        study.optimize(goodness, n_trials=8)
    one, same, other = ([trial.params for trial in study.trials] for study in studies)
    assert one == same
    assert one != other


def test_what_runs_counts_as_pending() -> None:
    seen: list[Any] = []

    class Looks(Evolution):
        def propose(self, space: Any, observations: Any, accept: Any, rng: Any) -> Any:
            seen.append([(o.number, o.pending, o.losses) for o in observations])
            return super().propose(space, observations, accept, rng)

    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=metanas.MetaSampler(space(), Looks(), seed=0)
    )
    trials = [study.ask() for _ in range(3)]
    architectures = [metanas.suggest(trial, space()) for trial in trials]
    assert len({architecture.canonical_id for architecture in architectures}) == 3
    study.tell(trials[1], [1.0, 2.0])
    study.tell(trials[2], state=optuna.trial.TrialState.FAIL)
    metanas.suggest(study.ask(), space())
    assert seen[-1] == [(0, True, None), (1, False, (-1.0, 2.0)), (2, False, None)]


def test_a_pruned_trial_counts_as_stopped_early() -> None:
    seen: list[Any] = []

    class Watching(Evolution):
        def propose(self, space: Any, observations: Any, accept: Any, rng: Any) -> Any:
            seen[:] = observations
            return super().propose(space, observations, accept, rng)

    study = optuna.create_study(sampler=metanas.MetaSampler(space(), Watching(), seed=0), direction="maximize")

    def objective(trial: optuna.Trial) -> float:
        metanas.suggest(trial, space())
        trial.report(0.2, 1)
        if trial.number == 0:
            raise optuna.TrialPruned
        return 0.9

    study.optimize(objective, n_trials=3)
    assert [(o.losses, o.stopped, dict(o.curve)) for o in seen] == [
        ((-0.2,), True, {1: -0.2}),
        ((-0.9,), False, {1: -0.2}),
    ]


def test_constraints_hold() -> None:
    text = SPACE + "constraints: [params <= 60]\n"
    with pytest.raises(MetanasError, match="give MetaSampler input_shape and outputs"):
        metanas.MetaSampler(space(text))
    table = space(text)
    sampler = metanas.MetaSampler(table, "random", input_shape=(4,), outputs=3, seed=0)
    study = optuna.create_study(sampler=sampler)
    for _ in range(15):
        architecture = metanas.suggest(study.ask(), table)
        assert architecture.layers((4,), 3).params <= 60


def test_an_enqueued_trial_is_left_alone() -> None:
    table = space()
    study = optuna.create_study(sampler=metanas.MetaSampler(table, seed=0))
    wanted = table.to_values(table.sample(1, np.random.default_rng(3))[0])
    study.enqueue_trial(wanted)
    assert metanas.suggest(study.ask(), table).values == wanted


def test_a_space_that_is_used_up_goes_on() -> None:
    small = space("space: small\nlanguage: 1\ninput: table\nnetwork: [{dense: {units: {choice: [1, 2, 3]}}}, head]\n")
    study = optuna.create_study(sampler=metanas.MetaSampler(small, "random", seed=0))
    study.optimize(lambda trial: float(len(metanas.suggest(trial, small).values)), n_trials=6)
    assert len({tuple(trial.params.values()) for trial in study.trials[:3]}) == 3
    assert len(study.trials) == 6


@pytest.mark.parametrize(
    ("strategy", "options", "words"),
    [
        ("evolutoin", {}, "evolution"),
        ("evolution", {"popul": 3}, "population"),
        ("optuna:tpe", {}, "Optuna's sampler"),
        ("supernet", {}, "trains nothing itself"),
    ],
)
def test_what_is_no_strategy(strategy: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(MetanasError) as caught:
        metanas.MetaSampler(space(), strategy, options=options)
    assert words in str(caught.value)


def test_a_name_is_no_space() -> None:
    with pytest.raises(MetanasError, match=r"write metanas\.load_space\('mlp'\)"):
        metanas.MetaSampler("mlp")  # type: ignore[arg-type]


_PROCESS = """
import sys, warnings
warnings.simplefilter("ignore")
import optuna, metanas
from metanas.space import parse_space_text
space = parse_space_text(open(sys.argv[2]).read())
study = optuna.load_study(study_name="s", storage=sys.argv[1], sampler=metanas.MetaSampler(space, seed=0))
study.optimize(lambda trial: len(metanas.suggest(trial, space).values), n_trials=10)
"""


def test_threads_of_a_study_propose_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[int] = []
    most: list[int] = []
    propose = Evolution.propose

    def slow(self: Evolution, *arguments: Any) -> Any:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return propose(self, *arguments)

    monkeypatch.setattr(Evolution, "propose", slow)
    study = optuna.create_study(sampler=metanas.MetaSampler(space(), "evolution", seed=0), direction="maximize")
    study.optimize(goodness, n_trials=20, n_jobs=4)
    assert max(most) == 1
    rows = [tuple(sorted(trial.params.items())) for trial in study.trials]
    assert len(set(rows)) == 20


def test_several_processes_share_a_study(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(study_name="s", storage=url)
    processes = [
        subprocess.Popen([sys.executable, "-c", _PROCESS, url, str(tmp_path / "space.yaml")], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in processes:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    assert [trial.number for trial in study.trials] == list(range(20))
    table = space()
    assert len({tuple(table.to_row(trial.params)) for trial in study.trials}) >= 19, "hardly ever the same twice"
