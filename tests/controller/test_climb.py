"""Ascents: against enumeration, under constraints, in batches."""

from collections.abc import Callable

import numpy as np
import pytest

from metanas.controller import GaussianProcess, Observation, Strategy
from metanas.controller._ascent import Ascent
from metanas.controller._climb import climb
from metanas.controller._critic import CountedCritic, ProcessCritic, log_improvement
from metanas.controller._hamming import HammingGP
from metanas.controller._policy import Policy
from metanas.space import Rows, SearchSpace, load_space, parse_space_text


def _problem(space: SearchSpace, seed: int, n: int = 60) -> tuple[Policy, ProcessCritic, Rows, np.ndarray]:
    """A process of noisy sums and a few pairs."""
    policy, rng = Policy.prior(space), np.random.default_rng(seed)
    rows = np.unique(space.sample(n, rng), axis=0)
    encoded = policy.layout.encode(rows)
    losses = encoded @ rng.normal(size=policy.layout.width) + 0.5 * (rows[:, 0] == rows[:, 1])
    process = HammingGP.fit(rows, losses, policy.layout.lengths)
    return policy, ProcessCritic(process, policy.layout, log_improvement(float(losses.min()))), rows, losses


def _any(row: np.ndarray) -> bool:
    return True


@pytest.mark.parametrize("seed", range(5))
def test_the_best_of_nasbench201_is_found_in_500_calls(seed: int) -> None:
    space = load_space("nasbench201")
    policy, critic, known, losses = _problem(space, seed)
    everything = space.rows(20_000)
    values = critic.value(everything)
    values[[(everything == row).all(axis=1).argmax() for row in known]] = -np.inf
    counted = CountedCritic(critic)
    found = climb(counted, policy, known, losses, _any, np.random.default_rng(seed), ascent=Ascent(calls=450))
    assert counted.calls <= 500
    assert critic.value(found[0][None])[0] == pytest.approx(values.max())


@pytest.mark.parametrize("name", ["darts", "mobile", "hierarchical", "text_encoder"])
def test_large_spaces_are_climbed_above_what_sampling_finds(name: str) -> None:
    space = load_space(name)
    policy, critic, known, losses = _problem(space, 0)
    found = climb(critic, policy, known, losses, _any, np.random.default_rng(0), ascent=Ascent(calls=1000))
    assert (space.active(found[0][None]) == (found[0] >= 0)).all()
    assert critic.value(found[0][None])[0] > critic.value(space.sample(5000, np.random.default_rng(1))).max()


def test_a_batch_is_diverse_new_and_accepted() -> None:
    space = load_space("darts")
    policy, critic, known, losses = _problem(space, 1)
    odd = 0

    def accept(row: np.ndarray) -> bool:
        nonlocal odd
        odd += int(row[3] % 2)
        return bool(row[3] % 2 == 0)

    found = climb(critic, policy, known, losses, accept, np.random.default_rng(2), count=8)
    rows = np.array(found)
    assert len(np.unique(rows, axis=0)) == 8
    assert (rows[:, 3] % 2 == 0).all()
    assert not {row.tobytes() for row in rows} & {row.tobytes() for row in known}
    # The best rows alone crowd around one optimum.
    archive = Ascent().run(
        critic, policy, known[:3], rows[:0], lambda r: np.ones(len(r), dtype=bool), np.random.default_rng(2)
    )
    crowd = archive.best(8)[0]

    def spread(batch: Rows) -> float:
        return float((batch[:, None] != batch[None]).sum(axis=2).mean())

    assert spread(rows) > spread(crowd)


def test_constraints_on_decisions_and_likely_measures_steer_the_chains(slots: Callable[[int], SearchSpace]) -> None:
    text = slots(12).text + "constraints: [\"not (x0 == 'a' and x1 == 'a')\"]\n"
    space = parse_space_text(text)
    policy, critic, known, losses = _problem(space, 3)

    class Gate:
        asked = 0

        def __call__(self, row: np.ndarray) -> bool:
            Gate.asked += 1
            return bool((row == 0).sum() <= 2)

        def sample(self, n: int, rng: np.random.Generator) -> Rows:
            rows = space.sample(50 * n, rng)
            return rows[(rows == 0).sum(axis=1) <= 2][:n]

        def likely(self, rows: Rows) -> np.ndarray:
            return np.asarray((rows == 0).sum(axis=1) <= 2)

    found = climb(critic, policy, known, losses, Gate(), np.random.default_rng(4), count=4)
    assert len(found) == Gate.asked == 4
    assert all((row == 0).sum() <= 2 and space.satisfies(row[None])[0] for row in found)


def test_a_space_that_is_used_up_ends(slots: Callable[[int], SearchSpace]) -> None:
    space = slots(2)
    policy, critic, known, losses = _problem(space, 5, n=20)
    everything = space.rows(25)
    left = climb(critic, policy, known, losses, _any, np.random.default_rng(6), count=30)
    assert len(left) == 25 - len(known)
    assert climb(critic, policy, everything, losses, _any, np.random.default_rng(7)) == []


def test_the_process_searches_large_spaces_by_its_gradient(slots: Callable[[int], SearchSpace]) -> None:
    space = slots(12)
    weights = np.random.default_rng(8).normal(size=(12, 5))

    def search(strategy: Strategy) -> list[Observation]:
        seen: list[Observation] = []
        for number in range(30):
            proposal = strategy.propose(
                space, seen, lambda row: tuple(row.tolist()) not in {o.row for o in seen}, np.random.default_rng(number)
            )
            assert proposal is not None
            loss = float(weights[np.arange(12), proposal.row].sum())
            seen.append(Observation(number=number, row=tuple(proposal.row.tolist()), losses=(loss,)))
        return seen

    seen = search(GaussianProcess())
    least = weights.min(axis=1).sum()
    best = [min(o.losses[0] for o in seen[:n] if o.losses) for n in (10, 30)]
    assert best[1] - least < 0.5 * (best[0] - least)
    assert len({o.row for o in seen}) == 30
    again = [GaussianProcess().propose(space, seen, lambda row: True, np.random.default_rng(1)) for _ in range(2)]
    assert again[0] is not None
    assert again[1] is not None
    assert (again[0].row == again[1].row).all()
    pending = [*seen[:20], Observation(number=20, row=seen[20].row, losses=None, pending=True)]
    proposal = GaussianProcess().propose(space, pending, lambda row: True, np.random.default_rng(0))
    assert proposal is not None
    assert tuple(proposal.row.tolist()) not in {o.row for o in pending}
