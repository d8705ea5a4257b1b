"""Training one network on tensors that lie on its device: a plain loop without a DataLoader."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from metanas._rng import derive_seed
from metanas.data import batches
from metanas.evaluator._checkpoint import Checkpoint, Trained
from metanas.evaluator._forward import Data, autocast, is_out_of_memory, laid_out, on_device, precision_of, reorder
from metanas.evaluator._losses import Loss, build_loss
from metanas.evaluator._meter import Meter, build_meter
from metanas.evaluator._optimizer import build_optimizer, learning_rate, parameter_groups
from metanas.evaluator._recipe import Recipe
from metanas.trial import Status

Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
"""(images (B, C, H, W), generator on their device) -> changed images of the same shape."""
Report = Callable[[int, dict[str, float]], Status | None]
"""(epochs done, metrics) -> None to go on, or the status with which the training must end."""

CHECK_EVERY = 50
"""Steps between looks at the loss, each of which waits for the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOutcome:
    """How a training ended."""

    status: Status
    """Complete; diverged, out of memory, or invalid where there is nothing to train; or what ``report`` said."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """As last reported: the metrics that were asked for, on the validation split, and ``train_loss``, the mean over
    the batches of the last epoch."""
    epochs: int = 0
    """Epochs done."""
    seconds: float = 0.0
    """Wall time."""
    message: str = ""
    """Why it is not complete."""
    remedy: str = ""
    """What the user can do about it."""


def train(
    network: nn.Module,
    train: Data,
    validation: Data | None,
    *,
    recipe: Recipe,
    epochs: int,
    task: str,
    metrics: Sequence[str],
    device: torch.device | str,
    seed: int,
    report: Report | None = None,
    target_scale: tuple[float, float] | None = None,
    augment: Augment | None = None,
    allow_python: bool = False,
    checkpoint: Checkpoint | None = None,
) -> TrainingOutcome:
    """Train ``network`` in place for ``epochs``, which is the schedule's length too (not ``recipe.epochs``).

    The metrics are measured on ``validation`` after each epoch and given to ``report``; without validation samples
    only ``train_loss`` is. ``target_scale`` is the (mean, standard deviation) that standardised the targets, so that
    metrics are in the original unit. ``augment`` changes training batches; ``recipe.augment`` is its name, for the
    caller to look up. With a ``checkpoint`` the training goes on from where it stands there, and is kept there after
    each epoch. The network ends on ``device`` in evaluation mode. On a CPU the same seed gives the same
    weights; torch's own generators are left as they were.

    Divergence and lack of memory are statuses. Raises MetanasError for a loss or metric that cannot be had, and
    whatever the network and functions of the user's raise.
    """
    started = time.perf_counter()
    device = torch.device(device)
    loss = build_loss(recipe.loss, task=task, label_smoothing=recipe.label_smoothing, allow_python=allow_python)
    meter = build_meter(
        recipe, task=task, metrics=metrics, device=device, target_scale=target_scale, allow_python=allow_python
    )
    progress = _Progress()
    with _own_generators(device, seed) as generator:
        try:
            training = _Training(network, recipe, loss, device, generator, augment)
            ending = training.run(train, validation, epochs, meter, report, progress, checkpoint)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            ending = _Ending(Status.OUT_OF_MEMORY, f"no memory left: {_first_line(error)}", _OUT_OF_MEMORY_REMEDY)
    network.eval().zero_grad(set_to_none=True)
    # Back to the order that files and other devices expect.
    reorder(network, torch.contiguous_format)
    if ending.status is Status.OUT_OF_MEMORY and device.type == "cuda":
        # Only now, because the error's traceback held the tensors of the step that failed.
        torch.cuda.empty_cache()
    return TrainingOutcome(
        status=ending.status,
        metrics=progress.metrics,
        epochs=progress.epochs,
        seconds=time.perf_counter() - started,
        message=ending.message,
        remedy=ending.remedy,
    )


_OUT_OF_MEMORY_REMEDY = "lower train.batch_size, or add a constraint on the networks' memory"
_DIVERGED_REMEDY = "lower train.lr, lengthen train.warmup, or set train.grad_clip to 1"


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a training ended, without its numbers."""

    status: Status
    message: str = ""
    remedy: str = ""


@dataclass(slots=True)
class _Progress:
    """What is kept of a training whatever stops it."""

    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


class _Training:
    """A network, and all that changes it."""

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        loss: Loss,
        device: torch.device,
        generator: torch.Generator,
        augment: Augment | None,
    ) -> None:
        self._network = network.to(device)
        self._recipe = recipe
        self._loss = loss
        self._device = device
        self._generator = generator
        self._augment = augment
        self._precision = precision_of(recipe, device)
        # Passes everything through unless float16, in which small gradients would vanish.
        self._scaler = torch.GradScaler(device.type, enabled=self._precision == torch.float16)

    def run(
        self,
        train: Data,
        validation: Data | None,
        epochs: int,
        meter: Meter,
        report: Report | None,
        progress: _Progress,
        checkpoint: Checkpoint | None,
    ) -> _Ending:
        """Train for ``epochs``, noting each in ``progress``."""
        groups = parameter_groups(self._network, self._recipe.decay)
        if not groups:
            return _Ending(Status.INVALID, "the network has no weights to train", "give it a layer that has some")
        if train[0].ndim == 4:
            reorder(self._network, torch.channels_last)
        optimizer = build_optimizer(groups, self._recipe, self._device)
        train = on_device(self._device, train)
        validation = on_device(self._device, validation) if validation and len(validation[1]) else None
        trained = Trained(self._network, optimizer, self._scaler, self._generator, self._device)
        if checkpoint and (kept := checkpoint.load(trained)):
            progress.epochs, progress.metrics = int(kept["epochs"]), dict(kept["metrics"])
            # Once more, because whoever was to hear it may have been killed before.
            told = report(progress.epochs, dict(progress.metrics)) if report else None
            if told is not None:
                return _Ending(told)
        for epoch in range(progress.epochs, epochs):
            loss = self._epoch(train, optimizer, epoch, epochs)
            if loss is None:
                return self._diverged(f"the training loss became NaN or infinite in epoch {epoch + 1}")
            measured = {}
            if validation:
                outputs = meter.predict(self._network, validation)
                if not outputs.isfinite().all():
                    return self._diverged(f"outputs for validation became NaN or infinite in epoch {epoch + 1}")
                measured = meter.measure(outputs, validation[1])
            progress.epochs, progress.metrics = epoch + 1, measured | {"train_loss": loss}
            told = report(epoch + 1, dict(progress.metrics)) if report else None
            if told is not None:
                return _Ending(told)
            if checkpoint and epoch + 1 < epochs:
                checkpoint.save(trained, {"epochs": progress.epochs, "metrics": progress.metrics})
        return _Ending(Status.COMPLETE)

    def _epoch(self, data: Data, optimizer: torch.optim.Optimizer, epoch: int, epochs: int) -> float | None:
        """One pass over ``data``: the mean loss, or None where it is not finite."""
        self._network.train()
        total, seen, samples = torch.zeros((), device=self._device), 0, len(data[1])
        passes = batches(
            *data, batch_size=self._recipe.batch_for(samples), generator=self._generator, augment=self._augment
        )
        for step, (inputs, targets) in enumerate(passes, 1):
            # The rate belongs to the middle of the step, so that neither the first nor the last is lost on a rate of 0.
            rate = learning_rate(self._recipe, (epoch + (seen + len(targets) / 2) / samples) / epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            total += self._step(inputs, targets, optimizer) * len(targets)
            seen += len(targets)
            if step % CHECK_EVERY == 0 and not total.isfinite():
                return None
        return total.item() / seen if total.isfinite() else None

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor, optimizer: torch.optim.Optimizer) -> torch.Tensor:
        """One update of the weights: the loss before it, still on the device."""
        with autocast(self._device, self._precision):
            outputs = self._network(laid_out(inputs))
        outputs = outputs.float()
        loss = self._loss(outputs.reshape_as(targets) if targets.is_floating_point() else outputs, targets)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self._recipe.grad_clip is not None:
            self._scaler.unscale_(optimizer)
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(weights, self._recipe.grad_clip)
        self._scaler.step(optimizer)
        self._scaler.update()
        optimizer.zero_grad()
        return loss.detach()

    def _diverged(self, message: str) -> _Ending:
        more = ", or train.precision to float32" if self._precision == torch.float16 else ""
        return _Ending(Status.DIVERGED, message, _DIVERGED_REMEDY + more)


@contextmanager
def _own_generators(device: torch.device, seed: int) -> Iterator[torch.Generator]:
    """A generator for batches. Torch's own, which dropout draws from, are seeded too, and restored afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "network"))
        yield torch.Generator(device).manual_seed(derive_seed(seed, "batches"))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
