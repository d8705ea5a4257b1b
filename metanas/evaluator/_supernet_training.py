"""Training a supernet: its weights on training data, the weights of its decisions on validation data.

Notation: w the network's weights, α the logits, ξ a step's learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from metanas.architecture import ShapeError
from metanas.data import batches
from metanas.evaluator._checkpoint import Checkpoint, Trained
from metanas.evaluator._forward import Data, laid_out, reorder
from metanas.evaluator._losses import Loss
from metanas.evaluator._optimizer import build_optimizer, learning_rate, parameter_groups
from metanas.evaluator._recipe import Recipe
from metanas.evaluator._supernet_policy import Policy
from metanas.network import Supernet
from metanas.trial import Status

_CLIP = 5.0
"""Longest gradient of w: as in Liu et al. 2019, section 3.1."""
_ALARM = 0.5
"""Part of the way from the first weights (even ones without a prior) to all weight on options without weights of their own, at which decisions have collapsed."""
_DRAWS, _APART = 10, 1_000_003
"""Rows drawn for a step, as one may have every path cut; and how far apart their numbers are."""
_STEPS = 100
"""Steps that an epoch should have, where batches may be so small: a step trains one of the options of each decision, so that with
few steps a supernet likes best what needs no training (pools, skips, narrow layers)."""
_OLES_EVERY, _OLES_BELOW = 20, 0.3
"""Steps over which an op's gradients are compared, and the mean cosine below which it stops: Jiang et al. 2023, section 4.1."""


def supernet_batch(recipe: Recipe, samples: int) -> int:
    """Samples a step of a supernet when there are so many to train on."""
    return recipe.batch_for(samples, _STEPS)


@dataclass(slots=True)
class SupernetProgress:
    """How far a training has come."""

    epochs: int = 0
    """Done."""
    losses: list[float] = field(default_factory=list)
    """Mean training loss of each epoch."""
    free_shares: list[float] = field(default_factory=list)
    """After each epoch, the weight of options without weights of their own; NaN where none compete with others."""
    collapsed: int = 0
    """The epoch after which the alarm went off, and paths became even; 0 for never."""
    status: Status = Status.COMPLETE
    """Or what ended it."""


class SupernetTraining:
    """A supernet, a policy, and the data."""

    def __init__(
        self,
        supernet: Supernet,
        policy: Policy,
        *,
        recipe: Recipe,
        loss: Loss,
        train: Data,
        validation: Data,
        seed: int,
    ) -> None:
        self.supernet, self.policy, self.recipe, self._loss = supernet, policy, recipe, loss
        self._train, self._validation = train, validation
        self._device = train[0].device
        self._generator = torch.Generator(self._device).manual_seed(seed)
        self._whole = nn.ModuleDict({"supernet": supernet, "policy": policy}).to(self._device)
        if train[0].ndim == 4:
            reorder(supernet, torch.channels_last)
        self._optimizer = build_optimizer(parameter_groups(supernet, recipe.decay), recipe, self._device, some=True)
        self._agreement: dict[str, list[float]] = {}
        self._batch = supernet_batch(recipe, len(train[1]))
        self._first_share = policy.free_share()

    def run(
        self,
        epochs: int,
        *,
        report: Callable[[int, dict[str, float]], Status | None] | None = None,
        checkpoint: Checkpoint | None = None,
        enough: Callable[[], bool] = lambda: False,
    ) -> SupernetProgress:
        """Train for ``epochs``, from the checkpoint on where there is one; for fewer, but for one, once there is ``enough``."""
        progress = SupernetProgress()
        trained = Trained(
            self._whole, self._optimizer, torch.GradScaler(enabled=False), self._generator, self._device
        )  # fmt: skip
        if checkpoint and (kept := checkpoint.load(trained)):
            self._agreement = {name: list(seen) for name, seen in kept.pop("agreement").items()}
            still = set(kept.pop("stopped"))
            for name, weight in self.supernet.named_parameters():
                weight.requires_grad_(name not in still)
            progress = SupernetProgress(**{**kept, "status": Status.COMPLETE})
            self.policy.uniform = self.policy.uniform or progress.collapsed > 0
        for epoch in range(progress.epochs, epochs):
            if epoch and enough():
                break
            loss = self._epoch(epoch, epochs)
            if loss is None:
                progress.status = Status.DIVERGED
                return progress
            progress.epochs = epoch + 1
            progress.losses.append(loss)
            self._watch(progress)
            if checkpoint and epoch + 1 < epochs:
                kept = {"epochs": progress.epochs, "losses": progress.losses, "free_shares": progress.free_shares}
                stopped = [name for name, weight in self.supernet.named_parameters() if not weight.requires_grad]
                more = {"collapsed": progress.collapsed, "agreement": self._agreement, "stopped": stopped}
                checkpoint.save(trained, kept | more)
            said = {"train_loss": loss, "free_share": progress.free_shares[-1]}
            told = report(epoch + 1, {k: v for k, v in said.items() if v == v}) if report else None
            if told is not None:
                progress.status = told
                return progress
        return progress

    def _watch(self, progress: SupernetProgress) -> None:
        """Sound the alarm where options without weights win: from then on paths are even."""
        share = self.policy.free_share()
        progress.free_shares.append(share)
        first = self._first_share  # NaN where nothing competes, and then never less
        if not self.policy.uniform and share > first + _ALARM * (1 - first):
            progress.collapsed = progress.epochs
            self.policy.uniform = True

    def _epoch(self, epoch: int, epochs: int) -> float | None:
        self.supernet.train()
        total, seen, samples = 0.0, 0, len(self._train[1])
        others = self._endless()
        passes = batches(*self._train, batch_size=self._batch, generator=self._generator)
        steps = max(1, (samples + self._batch - 2) // self._batch)  # a last sample alone has no batch of its own
        for step, batch in enumerate(passes):
            progress = (epoch + (seen + len(batch[1]) / 2) / samples) / epochs
            rate = learning_rate(self.recipe, progress)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            if not self.policy.uniform:
                self._learn_decisions(batch, next(others), progress, rate)
            loss = self._step(batch, epoch * steps + step, progress)
            if loss is not None:
                total += loss * len(batch[1])
            seen += len(batch[1])
            if total != total:
                return None
        return total / seen

    def _endless(self) -> Iterator[Data]:
        while True:
            yield from batches(*self._validation, batch_size=self._batch, generator=self._generator)

    def _loss_of(self, batch: Data, row: Tensor) -> Tensor:
        inputs, targets = batch
        outputs = self.supernet(laid_out(inputs), row)
        return self._loss(outputs.reshape_as(targets) if targets.is_floating_point() else outputs, targets)

    def _step(self, batch: Data, number: int, progress: float) -> float | None:
        """A step of w. None where no row that was drawn has a network."""
        self._optimizer.zero_grad()
        for attempt in range(_DRAWS):
            try:
                loss = self._loss_of(batch, self.policy.row(number + attempt * _APART, progress).detach())
                break
            except ShapeError:
                continue
        else:
            return None
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.supernet.parameters(), _CLIP)
        self._optimizer.step()
        return float(loss.detach())

    def _learn_decisions(self, train: Data, validation: Data, progress: float, rate: float) -> None:
        """A step of α, on validation data."""
        method = self.policy.method
        for _ in range(_DRAWS):
            row = self.policy.relaxed(method.paths, progress)
            if (of_row := self._gradient_of(row, train, validation, rate)) is not None:
                break
        else:
            return
        (gradient,) = torch.autograd.grad(row, self.policy.logits, of_row)
        if method.beta:
            (decay,) = torch.autograd.grad(self.policy.decay(), self.policy.logits)
            gradient = gradient + method.beta * progress * decay
        self.policy.update(gradient)

    def _gradient_of(self, row: Tensor, train: Data, validation: Data, rate: float) -> Tensor | None:
        """Of the loss on validation data by a row; None where the row has no network."""
        method = self.policy.method
        try:
            if method.order == 2:
                return self._second_order(train, validation, row, rate)
            leaf = row.detach().requires_grad_()
            loss = self._loss_of(validation, leaf)
        except ShapeError:
            return None
        if not method.stops:
            # Of the decisions alone: the gradients of w, a third of the work, are not computed.
            return torch.autograd.grad(loss, leaf)[0]
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._compare(train, row)
        return leaf.grad

    def _second_order(self, train: Data, validation: Data, row: Tensor, rate: float) -> Tensor:
        """Liu et al. 2019, equations 7 and 8: ∇α L_val(w − ξ ∇w L_train), its second part by a difference along ∇w' L_val."""
        weights = [weight for weight in self.supernet.parameters() if weight.requires_grad]

        def gradients(batch: Data) -> tuple[Tensor, list[Tensor]]:
            leaf = row.detach().requires_grad_()
            found = torch.autograd.grad(self._loss_of(batch, leaf), [leaf, *weights], materialize_grads=True)
            return found[0], list(found[1:])

        def shift(along: list[Tensor], by: float) -> None:
            with torch.no_grad():
                for weight, direction in zip(weights, along, strict=True):
                    weight.add_(direction, alpha=by)

        _, down = gradients(train)
        shift(down, -rate)
        of_row, along = gradients(validation)
        shift(down, rate)
        length = float(torch.stack([direction.norm() for direction in along]).norm())
        small = 0.01 / max(length, 1e-12)
        shift(along, small)
        above, _ = gradients(train)
        shift(along, -2 * small)
        below, _ = gradients(train)
        shift(along, small)
        return of_row - rate * (above - below) / (2 * small)

    def _compare(self, train: Data, row: Tensor) -> None:
        """Jiang et al. 2023, algorithm 1: the weights whose gradients on training and validation data disagree stop."""
        own = {
            name: weight
            for name, weight in self.supernet.named_parameters()
            if weight.grad is not None and weight.ndim > 1
        }
        on_train = torch.autograd.grad(self._loss_of(train, row.detach()), list(own.values()), materialize_grads=True)
        for (name, weight), other in zip(own.items(), on_train, strict=True):
            assert weight.grad is not None
            cosine = nn.functional.cosine_similarity(weight.grad.flatten(), other.flatten(), 0)
            seen = self._agreement.setdefault(name, [])
            seen.append(float(cosine))
            if len(seen) == _OLES_EVERY:
                weight.requires_grad_(sum(seen) / len(seen) >= _OLES_BELOW)
                seen.clear()
