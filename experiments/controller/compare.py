"""Which way of maximising a predictor's acquisition value gets highest with equally many calls of the predictor.

For each seed and space a Gaussian process is fitted to noisy results of random rows (sums over decisions, and pairs of
them); all methods get the same process, the same results and the same count of calls. A call is a row valued; a gradient
counts as two. Values are logarithms of the expected improvement, on the space's rows that have no result yet.

``python experiments/controller/compare.py --seeds 10`` writes a table of ``value - highest value``, mean and
standard deviation over seeds (the highest of all rows, or what an ascent of 3,000 calls reaches); ``--part batch`` times a
batch of eight; ``--part tune`` scores the settings
of the other methods on seeds of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from metanas.controller import (
    Ascent,
    HammingGP,
    Layout,
    Learner,
    Policy,
    ProcessCritic,
    climb,
    log_improvement,
)
from metanas.predictor import normal_scores
from metanas.space import SearchSpace, load_space, parse_space_text

SPACES = ("nasbench201", "slots12", "slots30", "darts", "mobile", "hierarchical", "text_encoder")
BUDGETS = (50, 100, 200, 500)
RESULTS = {"nasbench201": 60}
"""Results that the process knows, where they are not 200."""


def space_of(name: str) -> SearchSpace:
    """A space of the repository, or so many choices of five."""
    if not name.startswith("slots"):
        return load_space(name)
    decisions = ", ".join(f"x{j}: {{choice: [a, b, c, d, e]}}" for j in range(int(name[5:])))
    return parse_space_text(f"space: {name}\nlanguage: 1\ninput: table\ntabular: {{{decisions}}}\n")


def losses_of(space: SearchSpace, weights: Any, rng: np.random.Generator) -> Callable[[Any], Any]:
    """A loss of rows: a sum over decisions with these weights, and over pairs of them."""
    layout, d = Layout(space), len(space.decisions)
    pairs = rng.integers(d, size=(3 * d, 2))
    tables = [0.7 * rng.normal(size=(layout.sizes[a] + 1, layout.sizes[b] + 1)) / np.sqrt(3 * d) for a, b in pairs]

    def loss(rows: Any) -> Any:
        interplay = sum(table[rows[:, a], rows[:, b]] for (a, b), table in zip(pairs, tables, strict=True))
        return layout.encode(rows) @ weights / np.sqrt(d) + interplay

    return loss


@dataclass(frozen=True)
class Problem:
    """What all methods know."""

    space: SearchSpace
    critic: ProcessCritic
    known: Any
    """Rows with results, best first."""
    losses: Any

    @classmethod
    def of(cls, name: str, seed: int) -> Problem:
        """The problem of a seed."""
        space, rng = space_of(name), np.random.default_rng([seed, 1])
        layout = Layout(space)
        rows = np.unique(space.sample(RESULTS.get(name, 200), rng), axis=0)
        weights, noise = rng.normal(size=layout.width), rng.normal(size=len(rows))
        losses = losses_of(space, weights, rng)(rows) + 0.1 * noise
        order = np.argsort(losses)
        rows, scores = rows[order], -normal_scores(losses[order])
        process = HammingGP.fit(rows, scores, layout.lengths)
        return cls(space, ProcessCritic(process, layout, log_improvement(float(scores.min()))), rows, scores)


class Spent(Exception):
    """All calls are made."""


@dataclass
class Budget:
    """The critic, up to a count of calls, and how high it was seen."""

    problem: Problem
    most: int = BUDGETS[-1]
    calls: int = 0
    best: float = -np.inf
    reached: list[tuple[int, float]] = field(default_factory=list)
    """Calls made, and the highest value by then."""

    def __post_init__(self) -> None:
        self._known = {row.tobytes() for row in self.problem.known}

    def value(self, rows: Any) -> Any:
        """Values of rows; a call each."""
        values = self.problem.critic.value(rows)
        for row, value in zip(rows, values, strict=True):
            self._note(1, value if row.tobytes() not in self._known else -np.inf)
        return values

    def value_and_gradient(self, relaxed: Any) -> Any:
        """Values and gradients of relaxed rows; two calls each."""
        values, gradient = self.problem.critic.value_and_gradient(relaxed)
        self._note(2 * len(relaxed), -np.inf)
        return values, gradient

    def hard(self, rows: Any, values: Any) -> None:
        """Rows whose values came with their gradients."""
        new = [v for row, v in zip(rows, values, strict=True) if row.tobytes() not in self._known]
        self._note(0, max(new, default=-np.inf))

    def _note(self, calls: int, value: float) -> None:
        self.calls += calls
        if self.calls > self.most:
            raise Spent
        self.best = max(self.best, float(value))
        self.reached.append((self.calls, self.best))

    def at(self, calls: int) -> float:
        """The highest value within so many calls."""
        return max((value for made, value in self.reached if made <= calls), default=-np.inf)


Method = Callable[[Problem, Budget, np.random.Generator], None]


def ascent(problem: Problem, budget: Budget, rng: np.random.Generator, **settings: Any) -> None:
    """The ascent that strategies use."""
    known = {row.tobytes() for row in problem.known}
    policy = Policy.prior(problem.space).learned(problem.known[:10])

    def allowed(rows: Any) -> Any:
        return np.array([row.tobytes() not in known for row in rows], dtype=bool)

    Ascent(calls=10**6, **settings).run(budget, policy, problem.known[:3], problem.known[:0], allowed, rng)


def random(problem: Problem, budget: Budget, rng: np.random.Generator) -> None:
    """Random rows."""
    while True:
        budget.value(problem.space.sample(10, rng))


def evolution(problem: Problem, budget: Budget, rng: np.random.Generator, population: int, sample: int) -> None:
    """Regularized evolution from the best known rows; a row that comes again costs nothing."""
    critic, space = problem.critic, problem.space
    rows = list(problem.known[:population])
    values = list(critic.value(np.array(rows)))
    seen = {row.tobytes() for row in rows}
    while True:
        parent = max(rng.choice(len(rows), size=sample, replace=False), key=lambda i: values[i])
        child = space.mutate(rows[parent][None], rng)
        new = child[0].tobytes() not in seen
        seen.add(child[0].tobytes())
        value = float((budget if new else critic).value(child)[0])
        rows, values = [*rows[1:], child[0]], [*values[1:], value]


def local(problem: Problem, budget: Budget, rng: np.random.Generator, first: bool) -> None:
    """Local search from the best known rows in turn, then from random ones; no row is valued twice."""
    space, seen = problem.space, {row.tobytes() for row in problem.known}
    for start in itertools.count():
        if start < len(problem.known) and start < 5:
            at, height = problem.known[start], -np.inf
        else:
            at = space.sample(1, rng)[0]
            height = float(budget.value(at[None])[0])
        moved = True
        while moved:
            moved = False
            near = rng.permutation(space.neighbours(at, rng))
            near = near[[row.tobytes() not in seen for row in near]]
            for rows in near[:, None] if first else [near] * bool(len(near)):
                values = budget.value(rows)
                seen |= {row.tobytes() for row in rows}
                if values.max() > height:
                    at, height, moved = rows[values.argmax()], float(values.max()), True
                    break


def learned(
    problem: Problem, budget: Budget, rng: np.random.Generator, learner: Learner, strength: float = 5.0
) -> None:
    """A policy from the best known rows, learned by gradient; again and again until all calls are made."""
    layout = problem.critic.layout
    critic = Remembering(budget) if learner.estimator == "leave-one-out" else budget
    while True:
        policy = Policy.prior(problem.space).learned(problem.known[:10], strength=strength)
        noise = 0.3 * rng.normal(size=len(policy.parameters))

        def watch(policy: Policy, rows: Any, values: Any) -> bool:
            if learner.estimator == "straight-through":
                budget.hard(rows, values)
            elif learner.estimator in ("softmax", "gumbel"):
                values = layout.best_values(policy.logits[None])
                budget.value(layout.complete(values, values))
            return True

        learner.learn(replace(policy, parameters=policy.parameters + noise), critic, rng, watch=watch)


class Remembering:
    """A critic for which a row that comes again costs nothing."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._values = budget, dict[bytes, float]()

    def value(self, rows: Any) -> Any:
        """Values of rows; a call for each new one."""
        for row in rows:
            if row.tobytes() not in self._values:
                self._values[row.tobytes()] = float(self._budget.value(row[None])[0])
        return np.array([self._values[row.tobytes()] for row in rows])


GRIDS: dict[str, list[tuple[str, Method]]] = {
    "evolution": [
        (f"population {p}, sample {s}", partial(evolution, population=p, sample=s))
        for p, s in ((10, 3), (10, 5), (20, 5), (20, 10), (50, 10), (50, 25))
    ],
    "local search": [("first", partial(local, first=True)), ("best", partial(local, first=False))],
    "straight-through Gumbel": [
        (f"rate {r}, batch {b}", partial(learned, learner=Learner(batch=b, rate=r, steps=60, temperature=t)))
        for r in (0.1, 0.3, 1.0)
        for b in (1, 2, 4)
        for t in ((1.0, 0.2),)
    ],
    "softmax relaxation": [
        (f"rate {r}, steps {n}", partial(learned, learner=Learner(estimator="softmax", rate=r, steps=n)))
        for r in (0.1, 0.3, 1.0)
        for n in (15, 30, 60)
    ],
    "REINFORCE": [
        (
            f"rate {r}, batch {b}, entropy {e}",
            partial(learned, learner=Learner(estimator="leave-one-out", rate=r, batch=b, steps=120, entropy=e)),
        )
        for r in (0.1, 0.3, 1.0)
        for b in (2, 4, 8)
        for e in (0.0, 0.1)
    ],
}
CHOSEN = {
    "evolution": 3,
    "local search": 0,
    "straight-through Gumbel": 7,
    "softmax relaxation": 6,
    "REINFORCE": 10,
}
"""Place in its grid of each method's setting that ``--part tune`` scored best."""


def play(problem: Problem, method: Method, seed: int) -> tuple[Budget, float]:
    """What a method reached, and its processor seconds."""
    budget, start = Budget(problem), time.process_time()
    with contextlib.suppress(Spent):
        method(problem, budget, np.random.default_rng([seed, 2]))
    return budget, time.process_time() - start


def compare(spaces: Sequence[str], seeds: range, chosen: Sequence[str]) -> None:
    """Print a table a space."""
    methods: dict[str, Method] = {"ascent": ascent, "random": random}
    methods |= {name: GRIDS[name][place][1] for name, place in CHOSEN.items()}
    for name in spaces:
        problems = [Problem.of(name, seed) for seed in seeds]
        top = [highest(problem, name, seed) for problem, seed in zip(problems, seeds, strict=True)]
        print(f"\n{name}\n\n| method | {' | '.join(f'{n} calls' for n in BUDGETS)} | best found | ms |")
        print("| --- |" + " --- |" * (len(BUDGETS) + 2))
        for method in chosen or methods:
            runs = [play(problem, methods[method], seed) for problem, seed in zip(problems, seeds, strict=True)]
            cells = []
            for calls in BUDGETS:
                gaps = [run.at(calls) - best for (run, _), best in zip(runs, top, strict=True)]
                cells.append(f"{statistics.mean(gaps):.3f} ± {statistics.pstdev(gaps):.3f}")
            found = sum(run.best >= best - 1e-9 for (run, _), best in zip(runs, top, strict=True))
            spent = 1000 * statistics.median(seconds for _, seconds in runs)
            print(f"| {method} | {' | '.join(cells)} | {found} of {len(runs)} | {spent:.0f} |", flush=True)


def highest(problem: Problem, name: str, seed: int) -> float:
    """The highest value there is, where the space can be enumerated; else what an ascent of 3,000 calls reaches."""
    if name == "nasbench201":
        return enumerated(problem, problem.space.rows(20_000))
    budget = Budget(problem, most=3000)
    with contextlib.suppress(Spent):
        ascent(problem, budget, np.random.default_rng([seed, 3]))
    return budget.best


def enumerated(problem: Problem, rows: Any) -> float:
    """The highest value of all rows without a result."""
    known = {row.tobytes() for row in problem.known}
    values = problem.critic.value(rows)
    return float(max(value for row, value in zip(rows, values, strict=True) if row.tobytes() not in known))


def tune(spaces: Sequence[str], seeds: range, methods: Sequence[str]) -> None:
    """Print the mean value that each setting of the other methods reaches, and each method's best setting."""
    problems = [(Problem.of(name, seed), seed) for name in spaces for seed in seeds]
    for method in methods:
        scores = []
        for label, make in GRIDS[method]:
            reached = [play(problem, make, seed)[0] for problem, seed in problems]
            scores.append(float(np.mean([budget.at(calls) for budget in reached for calls in BUDGETS[1:]])))
            print(f"{method}: {label}: {scores[-1]:.3f}", flush=True)
        print(f"{method}: {int(np.argmax(scores))}", flush=True)


def batch(seeds: range) -> None:
    """Milliseconds for eight diverse rows of DARTS, the process being fitted."""
    spent, apart, fits = [], [], []
    for seed in seeds:
        start = time.process_time()
        problem = Problem.of("darts", seed)
        fits.append(1000 * (time.process_time() - start))
        policy = Policy.prior(problem.space)
        start = time.process_time()
        rows = climb(
            problem.critic,
            policy,
            problem.known,
            problem.losses,
            lambda row: True,
            np.random.default_rng(seed),
            count=8,
        )
        spent.append(1000 * (time.process_time() - start))
        apart.append(np.mean([(a != b).sum() for a, b in itertools.combinations(rows, 2)]))
    print(
        f"eight of darts: median {statistics.median(spent):.0f} ms, most {max(spent):.0f} ms of processor time;"
        f" they differ in {statistics.mean(apart):.1f} decisions; fitting took {statistics.median(fits):.0f} ms"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["compare", "batch", "tune"], default="compare")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--spaces", nargs="+", default=SPACES, choices=SPACES)
    parser.add_argument("--methods", nargs="+", default=[], choices=["ascent", "random", *GRIDS])
    arguments = parser.parse_args()
    print(" ".join(sys.argv), file=sys.stderr)
    match arguments.part:
        case "compare":
            compare(arguments.spaces, range(arguments.seeds), arguments.methods)
        case "batch":
            batch(range(arguments.seeds))
        case "tune":
            tune(arguments.spaces, range(1000, 1000 + arguments.seeds), arguments.methods or list(GRIDS))


if __name__ == "__main__":
    main()
