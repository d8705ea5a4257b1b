"""Training supernets: methods, guards, checkpoints, ranking; and the job that does it all."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metanas.evaluator._supernet_job as supernet_job
import metanas.evaluator._supernet_ranking as supernet_ranking
from metanas.data import dataset_from_arrays
from metanas.evaluator import METHODS, Recipe, SupernetMethod
from metanas.evaluator._checkpoint import Checkpoint
from metanas.evaluator._supernet_policy import Policy, free_options
from metanas.evaluator._supernet_ranking import rank, shared_loss
from metanas.evaluator._supernet_training import SupernetTraining, supernet_batch
from metanas.evaluator._training_evaluator import TrainingEvaluator
from metanas.network import Supernet
from metanas.space import load_space, parse_space_text
from metanas.trial import EpochReport, Job, Purpose, Status

SPACE = """\
space: small
input: image
let:
  width: {choice: [4, 8]}
network:
  - conv_bn_act: {out: $width}
  - {id: op, choice: {skip: identity, conv: {relu_conv_bn: {kernel: 3}}, pool: {avg_pool: {kernel: 3}}}}
  - {id: deep, repeat: conv_bn_act, times: {int: [1, 2]}, share: false}
  - head
train: {batch_size: 16, lr: 0.02, warmup: 0.0, label_smoothing: 0.0}
"""


def corners(n: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose class is the corner that is bright, which takes a convolution to see."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(scale=0.3, size=(n, 1, 6, 6)), np.arange(n) % 2
    # A horizontal or a vertical bar somewhere: equal means, so that only shapes tell.
    for image, kind in zip(x, y, strict=True):
        place = rng.integers(1, 5)
        image[0][(place, slice(None)) if kind else (slice(None), place)] += 1.0
    return torch.from_numpy(x).float(), torch.from_numpy(y)


def training(method: SupernetMethod, *, seed: int = 0, text: str = SPACE, samples: int = 64) -> SupernetTraining:
    space = parse_space_text(text)
    supernet = Supernet(space, (1, 6, 6), 2, partial=method.partial, seed=seed)
    policy = Policy(space, method, hard=supernet.hard, seed=seed)
    x, y = corners()
    recipe = Recipe.from_mapping(space.recipe_of(space.sample(1, np.random.default_rng(0))[0]))
    return SupernetTraining(
        supernet, policy, recipe=recipe, loss=torch.nn.functional.cross_entropy, train=(x[:samples], y[:samples]),
        validation=(x[64:], y[64:]), seed=seed,
    )  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns(name: str) -> None:
    torch.manual_seed(0)
    made = training(METHODS[name])
    before = made.policy.logits.detach().clone()
    progress = made.run(4)
    assert progress.status is Status.COMPLETE
    assert progress.epochs == len(progress.losses) == len(progress.free_shares) == 4
    assert progress.losses[-1] < progress.losses[0]
    assert torch.equal(before, made.policy.logits) != METHODS[name].learns


def test_sgd_moves_weights_that_join_later() -> None:
    torch.manual_seed(0)
    progress = training(METHODS["spos"], text=SPACE.replace("train: {", "train: {optimizer: sgd, ")).run(3)
    assert progress.status is Status.COMPLETE


def test_a_gradient_leads_the_decisions_to_the_better_op() -> None:
    """Means are equal: without the first and the last convolution only the one in the middle tells bars apart."""
    text = SPACE.replace("conv_bn_act: {out: $width}", "act: {kind: relu}").replace(
        "  - {id: deep, repeat: conv_bn_act, times: {int: [1, 2]}, share: false}\n", "  - relu\n"
    )
    text = text.replace("let:\n  width: {choice: [4, 8]}\n", "").replace(
        "relu_conv_bn: {kernel: 3}", "relu_conv_bn: {out: 1, kernel: 3}"
    )
    for name in ("darts", "darts_second", "drnas"):
        torch.manual_seed(0)
        made = training(METHODS[name], text=text)
        made.run(12)
        assert made.policy.logits.argmax() == 1, name


def test_beta_decay_pulls_each_decision_by_its_shares() -> None:
    policy = training(METHODS["beta_darts"]).policy
    (gradient,) = torch.autograd.grad(policy.decay(), policy.logits)
    logits = policy.logits.detach()
    for start, width, _ in policy.encoding.spans:
        torch.testing.assert_close(gradient[start : start + width], logits[start : start + width].softmax(0) / 3)


def test_second_order_is_the_derivative_through_a_step() -> None:
    """On a loss that is quadratic in the weights the difference is exact but for rounding."""
    text = "space: s\ninput: image\nnetwork: [{id: op, choice: {a: [{conv: {kernel: 1, bias: false}}], b: identity}}, head]\ntrain: {lr: 0.1}\n"
    made = training(replace(METHODS["darts_second"]), text=text)
    made.supernet.double()
    x, y = corners()
    train, validation = (x[:8].double(), y[:8]), (x[8:16].double(), y[8:16])
    row = torch.tensor([0.4, 0.6], dtype=torch.float64)
    found = made._second_order(train, validation, row, 0.1)
    weights = list(made.supernet.parameters())

    def after_a_step(given: torch.Tensor) -> torch.Tensor:
        before = [weight.detach().clone() for weight in weights]
        down = torch.autograd.grad(made._loss_of(train, given), weights, materialize_grads=True)
        with torch.no_grad():
            for weight, gradient in zip(weights, down, strict=True):
                weight -= 0.1 * gradient
        value = made._loss_of(validation, given).detach()
        with torch.no_grad():
            for weight, kept in zip(weights, before, strict=True):
                weight.copy_(kept)
        return value

    steps = torch.eye(2, dtype=torch.float64) * 1e-5
    numeric = torch.stack([(after_a_step(row + step) - after_a_step(row - step)) / 2e-5 for step in steps])
    torch.testing.assert_close(found, numeric, rtol=2e-2, atol=1e-4)


def test_draws_are_exactly_one_option_with_the_gradient_of_the_softmax() -> None:
    policy = training(METHODS["gdas"]).policy
    torch.manual_seed(0)
    row = policy.relaxed("gumbel", 0.5)
    for start, width, _ in policy.encoding.spans:
        assert sorted(row[start : start + width].tolist()) == [0.0] * (width - 1) + [1.0]
    (gradient,) = torch.autograd.grad(row[2], policy.logits)
    assert gradient[2] > 0
    assert gradient[2:5].sum().item() == pytest.approx(0, abs=1e-6)
    assert not gradient[:2].any()


def test_widths_are_drawn_one_at_a_time_also_in_mixtures() -> None:
    made = training(METHODS["darts"])
    assert [made.supernet.space.decisions[column].name for column in made.supernet.hard] == ["width"]
    row = made.policy.relaxed("softmax", 0.5)
    assert sorted(row[:2].tolist()) == [0.0, 1.0]
    assert all(0 < value < 1 for value in row[2:].tolist())


def test_fair_paths_give_every_option_its_turn() -> None:
    space = load_space("nasbench201")
    policy = Policy(space, METHODS["fair"], hard=frozenset(), seed=0)
    rows = np.stack([policy.row(step, 0.0).numpy() for step in range(10)])
    assert all(sorted(rows[k : k + 5, column].tolist()) == [0, 1, 2, 3, 4] for k in (0, 5) for column in range(6))


def test_fair_paths_train_every_option_equally_often_whatever_sizes_the_others_have() -> None:
    text = "space: s\ninput: image\nnetwork:\n"
    for name, kernels in (("a", "1, 3, 5, 7, 9"), ("b", "1, 3, 5"), ("c", "3, 5")):
        text += f"  - {{id: {name}, conv_bn: {{kernel: {{choice: [{kernels}]}}}}}}\n"
    space = parse_space_text(text + "  - head\n")
    policy = Policy(space, METHODS["fair"], hard=frozenset(), seed=0)
    rows = np.stack([policy.row(step, 0.0).numpy() for step in range(60)])
    assert [np.bincount(column).tolist() for column in rows.T] == [[12] * 5, [20] * 3, [30] * 2]
    assert len(np.unique(rows, axis=0)) > 20, "decisions take their turns independently"
    again = Policy(space, METHODS["fair"], hard=frozenset(), seed=0)
    np.testing.assert_array_equal(again.row(37, 0.0).numpy(), rows[37])


@pytest.mark.parametrize(("samples", "steps"), [(64, 4), (65, 4), (66, 5), (1, 1)])
def test_steps_are_numbered_without_a_gap_between_epochs(
    samples: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = training(METHODS["fair"], samples=samples)
    numbers: list[int] = []
    monkeypatch.setattr(made, "_step", lambda batch, number, progress: numbers.append(number))
    made._epoch(0, 2)
    made._epoch(1, 2)
    assert numbers == [*range(2 * steps)]


def test_options_without_weights_are_known() -> None:
    assert free_options(load_space("nasbench201")) == {column: frozenset({0, 1, 4}) for column in range(6)}
    assert free_options(load_space("vit")) == {}


def test_a_collapse_sounds_the_alarm_and_paths_become_even() -> None:
    made = training(METHODS["darts"])
    with torch.no_grad():
        made.policy.logits[2] = 6.0
    progress = made.run(2)
    assert progress.collapsed == 1
    assert progress.free_shares[0] > 0.8
    assert made.policy.uniform
    assert made.policy.row(0, 0.5).dtype == torch.int64


@pytest.mark.parametrize("name", ["spos", "gdas", "darts", "oles"])
def test_a_training_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = training(METHODS[name])
    expected = whole.run(4)
    torch.manual_seed(1)
    file = Checkpoint(tmp_path / "state.safetensors", {"what": name})
    training(METHODS[name]).run(4, report=lambda epoch, _: Status.CANCELLED if epoch == 2 else None, checkpoint=file)
    torch.manual_seed(99)
    again = training(METHODS[name])
    found = again.run(4, checkpoint=Checkpoint(tmp_path / "state.safetensors", {"what": name}))
    assert found.losses == expected.losses
    for one, other in zip(whole.supernet.parameters(), again.supernet.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(whole.policy.logits, again.policy.logits)


def test_networks_are_ranked_by_their_loss_with_shared_weights() -> None:
    torch.manual_seed(0)
    made = training(METHODS["spos"])
    progress = made.run(3)
    x, y = corners()
    loss = torch.nn.functional.cross_entropy
    ranking = rank(made.supernet, made.policy, (x[64:], y[64:]), loss, progress, count=12, batch_size=16, seed=0)
    assert ranking.losses == sorted(ranking.losses)
    assert len({tuple(row) for row in ranking.rows}) == len(ranking.rows) <= 12
    first = shared_loss(made.supernet, np.array(ranking.rows[0]), (x[64:], y[64:]), loss, batch_size=32)
    assert first == pytest.approx(ranking.losses[0], rel=1e-5)


def test_networks_are_ranked_on_samples_of_all_classes_in_whatever_order_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    made = training(METHODS["spos"])
    seen: list[torch.Tensor] = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append(targets)
        return torch.nn.functional.cross_entropy(outputs, targets)

    x, y = corners(193)
    order = y.argsort(stable=True)
    monkeypatch.setattr(supernet_ranking, "_SAMPLES", 65)  # 97 are of the first class
    ranking = rank(
        made.supernet, made.policy, (x[order], y[order]), loss, made.run(1), count=4, batch_size=4, seed=0,
    )  # fmt: skip
    assert ranking.rows
    assert [len(batch) for batch in seen[:4]] == [16, 16, 16, 17], (
        "none of one sample, of which there are no statistics"
    )
    assert all(0.2 < batch.double().mean() < 0.8 for batch in seen)


def evaluator(**options: Any) -> TrainingEvaluator:
    x, y = corners(120)
    dataset = dataset_from_arrays((x.numpy() * 40 + 100).clip(0, 255).astype(np.uint8), y.numpy(), name="bars")
    return TrainingEvaluator(parse_space_text(SPACE), dataset, split_seed=0, metrics=["accuracy"], **options)


def job(tmp_path: Path, **options: Any) -> Job:
    settings: dict[str, Any] = {
        "id": "supernet", "trial": -1, "decisions": {}, "epochs": 2, "seed": 0, "purpose": Purpose.SUPERNET,
        "output": str(tmp_path / "out"), "checkpoint": str(tmp_path / "kept"),
    }  # fmt: skip
    return Job(**settings | options)


def test_a_job_writes_its_ranking(tmp_path: Path) -> None:
    reports: list[EpochReport] = []
    result = evaluator(supernet={"method": "gdas", "candidates": 8}).evaluate(
        job(tmp_path), lambda each: reports.append(each)
    )
    assert (result.status, result.epochs, [each.epoch for each in reports]) == (Status.COMPLETE, 2, [1, 2])
    data = json.loads((tmp_path / "out" / "ranking.json").read_text())
    assert 0 < len(data["rows"]) == len(data["losses"]) == result.metrics["candidates"] <= 8
    assert data["losses"][0] == result.metrics["loss"]
    assert all(math.isfinite(share) for share in data["free_shares"])


def test_memory_that_runs_out_while_networks_are_ranked_is_a_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(supernet_job, "rank", full)
    assert (
        evaluator(supernet={"method": "spos"}).evaluate(job(tmp_path), lambda each: None).status is Status.OUT_OF_MEMORY
    )


def test_decisions_begin_at_the_prior_of_the_space() -> None:
    text = "space: s\ninput: image\nnetwork: [{id: op, choice: {a: [{conv: {kernel: 1}}], b: identity}, prior: {a: 1, b: 9}}, global_pool, head]\n"
    made = training(METHODS["gdas"], text=text)
    assert made.policy.logits.detach().softmax(0).numpy() == pytest.approx([0.1, 0.9], abs=0.01)
    assert made.run(1).collapsed == 0, "what the prior says is no collapse"


@pytest.mark.parametrize("name", list(METHODS))
def test_an_option_of_no_weight_leaves_the_decisions_finite(name: str) -> None:
    text = "space: s\ninput: image\nnetwork: [{id: op, choice: {a: [{conv: {kernel: 1}}], b: identity}, prior: {a: 1, b: 0}}, global_pool, head]\n"
    made = training(METHODS[name], text=text)
    made.run(1)
    assert made.policy.logits.isfinite().all()
    assert made.policy.logits.detach().softmax(0)[1] < 1e-4


def test_batches_of_a_supernet_are_small_enough_for_many_steps() -> None:
    assert [supernet_batch(Recipe(), n) for n in (20, 1_000, 4_000, 50_000)] == [16, 16, 32, 128]
    assert supernet_batch(Recipe(), 8_000) == 64
    assert supernet_batch(Recipe(batch_size=100), 1_000) == 100


def test_a_supernet_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    result = evaluator(supernet={"method": "darts"}, memory_limit=1000).evaluate(job(tmp_path), lambda each: None)
    assert result.status is Status.TOO_LARGE
    assert "spos" in result.remedy
    assert not (tmp_path / "out").exists()
