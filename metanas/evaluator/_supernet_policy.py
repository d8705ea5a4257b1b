"""Weights over the decisions of a space, as logits, and the rows that a training step runs.

A relaxed row has a segment of columns for each decision (:attr:`metanas.encoding.OneHot.spans`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from metanas._rng import generator
from metanas.encoding import OneHot
from metanas.evaluator._supernet_methods import Paths, SupernetMethod
from metanas.space import OpSite, Rows, SearchSpace, Switch, Template, templates_in

_FREE = frozenset({"none", "identity", "avg_pool", "max_pool", "dropout"})
"""Ops without weights that a collapse turns to."""
_LR, _BETAS, _DECAY = 3e-3, (0.5, 0.999), 1e-3
"""Of Adam for the logits: as in Liu et al. 2019, section 3.1."""
_TEMPERATURES = 10.0, 0.1
"""Of the Gumbel-softmax, at the begin and the end: as in Dong & Yang 2019, section 4.1."""


class Policy(nn.Module):
    """Logits, and an Adam of their own, whose moments are buffers so that a checkpoint holds them."""

    first: Tensor
    second: Tensor
    steps: Tensor

    def __init__(self, space: SearchSpace, method: SupernetMethod, *, hard: frozenset[int], seed: int) -> None:
        super().__init__()
        self.space, self.method, self.hard, self.seed = space, method, hard, seed
        self.encoding = OneHot(space)
        width = len(self.encoding.names)
        draw = np.random.default_rng(seed).normal(scale=1e-3, size=width)
        for decision, (start, size, _) in zip(space.decisions, self.encoding.spans, strict=True):
            if decision.prior:
                draw[start : start + size] += decision.log_prior
        self.logits = nn.Parameter(torch.from_numpy(draw).float())
        for name in ("first", "second"):
            self.register_buffer(name, torch.zeros(width))
        self.register_buffer("steps", torch.zeros(()))
        self.uniform = not method.learns
        """Whether paths are drawn evenly, by method or as a way out of a collapse."""
        self._turns: dict[int, tuple[int, npt.NDArray[np.int64]]] = {}
        """Decision -> the turn that was last asked for, and its order of options."""

    def row(self, step: int, progress: float) -> Tensor:
        """What a step runs: a row ``(n_decisions,)``, or a relaxed one; ``progress`` is the part of the training done."""
        if self.uniform:
            fair = self.method.paths == "fair"
            return torch.from_numpy(
                self._fair(step) if fair else self.space.sample(1, generator(self.seed, "path", step))[0]
            )
        return self.relaxed(self.method.paths, progress)

    def relaxed(self, paths: Paths, progress: float) -> Tensor:
        """A relaxed row with the logits' gradient."""
        begin, end = _TEMPERATURES
        temperature = begin + (end - begin) * progress
        parts = []
        for column, (start, width, long) in enumerate(self.encoding.spans):
            logits = self.logits[start : start + width]
            if long:
                # A long range is drawn evenly.
                parts.append(torch.stack([torch.ones_like(logits[0]), torch.rand_like(logits[0])]))
            elif column in self.hard or paths == "gumbel":
                parts.append(_gumbel(logits, temperature))
            elif paths == "dirichlet":
                # Chen et al. 2021, section 3.2.
                parts.append(torch.distributions.Dirichlet(nn.functional.elu(logits) + 1 + 1e-3).rsample())
            else:
                parts.append(logits.softmax(0))
        return torch.cat(parts) if parts else self.logits

    def _fair(self, step: int) -> npt.NDArray[np.int64]:
        """Chu et al. 2021, algorithm 1: in so many steps as a decision has options, each has its turn.

        Decisions of different sizes take turns of their own, as a common one would favour some options of the smaller.
        """
        row = np.array(
            [self._turn(column, *divmod(step, decision.size)) for column, decision in enumerate(self.space.decisions)],
            dtype=np.int64,
        )
        rng = generator(self.seed, "path", step)
        row = self.space.complete(row[None], rng)
        chosen: npt.NDArray[np.int64] = row[0] if self.space.satisfies(row)[0] else self.space.sample(1, rng)[0]
        return chosen

    def _turn(self, column: int, turn: int, place: int) -> int:
        """The option of a decision at a place of the turn."""
        if self._turns.get(column, (-1,))[0] != turn:
            size = self.space.decisions[column].size
            self._turns[column] = turn, generator(self.seed, "turn", column, turn).permutation(size)
        return int(self._turns[column][1][place])

    def decay(self) -> Tensor:
        """Ye et al. 2022, equation 7: the mean over decisions of log Σ exp of its logits."""
        short = [(start, width) for start, width, long in self.encoding.spans if not long]
        return torch.stack([self.logits[start : start + width].logsumexp(0) for start, width in short]).mean()

    @torch.no_grad()
    def update(self, gradient: Tensor) -> None:
        """A step of Adam (Kingma & Ba 2015, algorithm 1), with an L2 penalty."""
        gradient = gradient + _DECAY * self.logits
        self.steps += 1
        self.first.mul_(_BETAS[0]).add_(gradient, alpha=1 - _BETAS[0])
        self.second.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
        first = self.first / (1 - _BETAS[0] ** self.steps)
        second = self.second / (1 - _BETAS[1] ** self.steps)
        self.logits.sub_(_LR * first / (second.sqrt() + 1e-8))

    @torch.no_grad()
    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        """Rows drawn by the weights; the first takes the likeliest option of each decision. Even where none are learned."""
        if not self.method.learns or self.uniform:
            return self.space.sample(n, rng)
        rows = np.zeros((n, len(self.space.decisions)), dtype=np.int64)
        for column, (start, width, long) in enumerate(self.encoding.spans):
            size = self.space.decisions[column].size
            if long:
                rows[:, column] = rng.integers(size, size=n)
                continue
            shares = self.logits[start : start + width].double().softmax(0).cpu().numpy()
            rows[:, column] = rng.choice(size, size=n, p=shares)
            rows[0, column] = shares.argmax()
        return self.space.complete(rows, rng)

    @torch.no_grad()
    def free_share(self) -> float:
        """Weight of the options without weights of their own, over decisions that have others too; NaN without such."""
        shares = []
        for decision, free in free_options(self.space).items():
            start, width, _ = self.encoding.spans[decision]
            shares.append(float(self.logits[start : start + width].softmax(0)[sorted(free)].sum()))
        return float(np.mean(shares)) if shares else float("nan")


def free_options(space: SearchSpace) -> dict[int, frozenset[int]]:
    """For each decision between modules with and without weights, the options without."""
    found: dict[int, frozenset[int]] = {}
    for part in templates_in(space.template):
        if isinstance(part, Switch):
            free = frozenset(k for k, option in enumerate(part.options) if _is_free(option))
            if 0 < len(free) < len(part.options):
                found[part.decision] = free
    return found


def _is_free(option: Template) -> bool:
    parts = list(templates_in(option))
    ops = [part for part in parts if isinstance(part, OpSite)]
    # An identity with a stride is a convolution.
    return all(op.name in _FREE and not (op.name == "identity" and op.parameters) for op in ops)


def _gumbel(logits: Tensor, temperature: float) -> Tensor:
    """Dong & Yang 2019, equations 3 and 4: a draw, exactly 0 and 1, with the gradient of the softmax."""
    noise = -torch.empty_like(logits).exponential_().log()
    soft = ((logits.log_softmax(0) + noise) / temperature).softmax(0)
    hard = torch.zeros_like(soft).scatter_(0, soft.argmax(0, keepdim=True), 1.0)
    return hard + (soft - soft.detach())
