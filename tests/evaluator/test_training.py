import hashlib
import math
import subprocess
import sys

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from metanas._rng import derive_seed
from metanas.data import batches
from metanas.errors import MetanasError
from metanas.evaluator._forward import is_out_of_memory, precision_of
from metanas.evaluator._meter import evaluate
from metanas.evaluator._optimizer import learning_rate, parameter_groups
from metanas.evaluator._recipe import Recipe
from metanas.evaluator._training import CHECK_EVERY, train
from metanas.trial import Status

CPU = torch.device("cpu")


def table(n=192, features=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, features, generator=generator)
    return inputs, (inputs[:, 0] + inputs[:, 1] > 0).long()


def images(n=96, channels=3, seed=0):
    inputs = torch.randn(n, channels, 8, 8, generator=torch.Generator().manual_seed(seed))
    return inputs, (inputs.mean((1, 2, 3)) > 0).long()


def mlp(outputs=2, dropout=0.0, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, outputs)
        )


def cnn(channels=3, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
        return nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), *head)


def run(network, data, validation=None, *, epochs=2, recipe=None, seed=0, **options):
    options = {"task": "classification", "metrics": ["accuracy"], "device": "cpu"} | options
    return train(network, data, validation, recipe=recipe or Recipe(batch_size=16), epochs=epochs, seed=seed, **options)


def fingerprint(network):
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


class Fails(nn.Module):
    """Calls ``act`` with the number of each forward pass in training, from 1, and passes on what it returns."""

    def __init__(self, network, act):
        super().__init__()
        self.network, self.act, self.calls = network, act, 0

    def forward(self, inputs):
        outputs = self.network(inputs)
        if self.training:
            self.calls += 1
            outputs = self.act(self.calls, outputs)
        return outputs


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_learns_what_can_be_learned(optimizer):
    outcome = run(mlp(), table(), table(seed=1), epochs=12, recipe=Recipe(batch_size=16, optimizer=optimizer))
    assert outcome.status is Status.COMPLETE
    assert outcome.epochs == 12
    assert outcome.metrics["accuracy"] > 0.93
    assert outcome.metrics["train_loss"] < 0.5
    assert outcome.seconds > 0


def test_the_defaults_suit_small_images():
    digits, classes = load_digits(return_X_y=True)
    inputs = torch.tensor((digits - digits.mean()) / digits.std(), dtype=torch.float32).reshape(-1, 1, 8, 8)
    parts = train_test_split(inputs, torch.tensor(classes), test_size=0.2, stratify=classes, random_state=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        blocks = [
            nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU())
            for i, o, stride in [(1, 16, 1), (16, 32, 2), (32, 64, 2)]
        ]
        network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    outcome = run(network, (parts[0], parts[2]), (parts[1], parts[3]), recipe=Recipe(), epochs=Recipe().epochs)
    assert outcome.metrics["accuracy"] > 0.97


def test_equals_a_loop_written_by_hand():
    recipe = Recipe(
        batch_size=32,
        optimizer="sgd",
        lr=0.1,
        schedule="linear",
        warmup=0.25,
        weight_decay=0.01,
        label_smoothing=0.0,
    )
    ours, theirs = cnn(), cnn()
    inputs, targets = images()
    outcome = run(ours, (inputs, targets), epochs=2, recipe=recipe, seed=3)
    decayed = [weight for weight in theirs.parameters() if weight.ndim > 1]
    others = [weight for weight in theirs.parameters() if weight.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)
    generator = torch.Generator().manual_seed(derive_seed(3, "batches"))
    rates = iter([0.1 * part for part in (1 / 3, 1, 7 / 9, 5 / 9, 1 / 3, 1 / 9)])
    for _ in range(2):
        losses = []
        for batch, labels in batches(inputs, targets, batch_size=32, generator=generator):
            rate = next(rates)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = nn.functional.cross_entropy(theirs(batch), labels)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert outcome.metrics["train_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_weights_in_another_process():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_training as t; "
        "network = t.mlp(dropout=0.5); t.run(network, t.table(), t.table(seed=1)); print(t.fingerprint(network))"
    )
    folder = __file__.rpartition("test_training")[0]
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    torch.rand(7)
    prints = []
    for seed in (0, 1):
        network = mlp(dropout=0.5)
        run(network, table(), table(seed=1), seed=seed)
        prints.append(fingerprint(network))
    assert prints[0] == done.stdout.strip() != prints[1]


def test_torchs_own_generator_is_left_alone():
    before = torch.random.get_rng_state()
    run(mlp(dropout=0.5), table())
    assert torch.equal(before, torch.random.get_rng_state())


def test_measuring_does_not_change_training():
    networks = mlp(), mlp()
    run(networks[0], table())
    run(networks[1], table(), table(seed=1))
    assert fingerprint(networks[0]) == fingerprint(networks[1])


def test_augmentation_is_given_the_batches_and_a_generator_of_the_seed():
    sizes, draws = [], []

    def augment(batch, generator):
        sizes.append(len(batch))
        draws.append(torch.rand((), generator=generator).item())
        return batch

    for seed in (0, 0, 1):
        run(cnn(), images(40), epochs=1, seed=seed, augment=augment)
    assert sizes == [16, 16, 8] * 3
    assert draws[:3] == draws[3:6] != draws[6:]


def test_reports_each_epoch_and_stops_when_told():
    reports = []

    def report(epoch, metrics):
        reports.append((epoch, metrics))
        return Status.PRUNED if epoch == 3 else None

    outcome = run(mlp(), table(), table(seed=1), epochs=9, report=report, metrics=["accuracy", "loss"])
    assert outcome.status is Status.PRUNED
    assert outcome.epochs == 3
    assert [epoch for epoch, _ in reports] == [1, 2, 3]
    assert outcome.metrics == reports[-1][1]
    assert set(outcome.metrics) == {"accuracy", "loss", "train_loss"}


@pytest.mark.parametrize("validation", [None, (torch.empty(0, 6), torch.empty(0, dtype=torch.long))])
def test_without_validation_only_the_training_loss_is_known(validation):
    outcome = run(mlp(), table(), validation)
    assert outcome.status is Status.COMPLETE
    assert set(outcome.metrics) == {"train_loss"}


def test_a_loss_that_is_not_finite_ends_the_training_soon():
    network = Fails(mlp(), lambda call, outputs: outputs * math.nan if call == 3 else outputs)
    outcome = run(network, table(400), table(seed=1), recipe=Recipe(batch_size=4))
    assert outcome.status is Status.DIVERGED
    assert (outcome.epochs, outcome.metrics) == (0, {})
    assert network.calls == CHECK_EVERY
    assert "epoch 1" in outcome.message
    assert "train.lr" in outcome.remedy


def test_a_rate_that_is_too_high_is_a_divergence_and_earlier_metrics_stay():
    network = Fails(mlp(), lambda call, outputs: outputs / 0 if call > 12 else outputs)
    outcome = run(network, table(), table(seed=1), epochs=5)
    assert outcome.status is Status.DIVERGED
    assert outcome.epochs == 1
    assert outcome.metrics["accuracy"] > 0
    recipe = Recipe(optimizer="sgd", lr=1e30, warmup=0.0, batch_size=16)
    outcome = run(mlp(1), (table()[0], table()[0][:, 0]), epochs=5, recipe=recipe, task="regression", metrics=["r2"])
    assert outcome.status is Status.DIVERGED


def test_outputs_for_validation_that_are_not_finite_are_a_divergence():
    class OnlyWhenMeasured(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs) * (1.0 if self.training else math.inf)

    outcome = run(OnlyWhenMeasured(6, 2), table(), table(seed=1))
    assert outcome.status is Status.DIVERGED
    assert "validation" in outcome.message


def raise_(error):
    raise error


@pytest.mark.parametrize(
    "exhaust",
    [
        lambda: raise_(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")),
        lambda: raise_(MemoryError()),
        lambda: raise_(RuntimeError("CUDNN_STATUS_ALLOC_FAILED")),
        lambda: torch.empty(2**55),
    ],
)
def test_lack_of_memory_is_a_status(exhaust):
    network = Fails(mlp(), lambda call, outputs: exhaust() if call == 14 else outputs)
    outcome = run(network, table(), table(seed=1), epochs=3)
    assert outcome.status is Status.OUT_OF_MEMORY
    assert outcome.epochs == 1
    assert "accuracy" in outcome.metrics
    assert outcome.message.startswith("no memory left: ")
    assert "\n" not in outcome.message
    assert "train.batch_size" in outcome.remedy
    assert all(weight.grad is None for weight in network.parameters())


def test_other_errors_are_raised():
    network = Fails(mlp(), lambda call, outputs: raise_(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(network, table())
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_network_without_weights_is_invalid():
    outcome = run(nn.Flatten(), table())
    assert outcome.status is Status.INVALID
    assert "no weights" in outcome.message


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_learns_too(precision):
    dtypes = set()

    def look(call, outputs):
        dtypes.add(outputs.dtype)
        return outputs

    network = Fails(mlp(), look)
    recipe = Recipe(batch_size=16, precision=precision, grad_clip=1.0)
    outcome = run(network, table(), table(seed=1), epochs=10, recipe=recipe)
    assert outcome.metrics["accuracy"] > 0.9
    assert dtypes == {getattr(torch, precision)}
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}


def test_automatic_precision(monkeypatch):
    assert precision_of(Recipe(), CPU) == torch.float32
    for supported, expected in [(True, torch.bfloat16), (False, torch.float16)]:
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, answer=supported: answer)
        assert precision_of(Recipe(), torch.device("cuda")) == expected
    assert precision_of(Recipe(precision="float32"), torch.device("cuda")) == torch.float32


def test_images_are_computed_channels_last_and_weights_end_in_the_usual_order():
    orders = set()

    class Look(nn.Conv2d):
        def forward(self, inputs):
            orders.add((inputs.is_contiguous(memory_format=torch.channels_last), self.training))
            return super().forward(inputs)

    network = cnn()
    network[0] = Look(3, 8, 3, padding=1)
    run(network, images(), images(seed=1))
    assert orders == {(True, True), (True, False)}
    assert all(value.is_contiguous() for value in network.state_dict().values())
    assert not network.training


def test_clipped_gradients_bound_the_step():
    network = nn.Linear(6, 2, bias=False)
    before = network.weight.detach().clone()
    recipe = Recipe(
        batch_size=128,
        optimizer="sgd",
        lr=1.0,
        momentum=0,
        weight_decay=0,
        grad_clip=1e-3,
        schedule="constant",
        warmup=0,
    )
    run(network, table(), epochs=1, recipe=recipe)
    # Two steps of 128 and 64 samples, each of length 1e-3 at most.
    assert 0 < (network.weight - before).norm() <= 2.001e-3


def test_decay_is_for_matrices_and_filters_that_are_trained():
    network = cnn()
    network[0].weight.requires_grad_(False)
    decayed, others = parameter_groups(network, 0.1)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert [id(weight) for weight in decayed["params"]] == [id(network[-1].weight)]
    assert {weight.ndim for weight in others["params"]} == {1}


def test_learning_rate_rises_then_falls():
    recipe = Recipe(lr=2.0, warmup=0.2)
    assert learning_rate(recipe, 0.05) == pytest.approx(0.5)
    assert learning_rate(recipe, 0.2) == pytest.approx(2)
    assert learning_rate(recipe, 0.6) == pytest.approx(1)
    assert learning_rate(recipe, 0.4) == pytest.approx(1 + math.cos(math.pi / 4))
    assert 0 < learning_rate(recipe, 0.999) < 1e-4
    assert learning_rate(Recipe(lr=2.0, warmup=0.0, schedule="linear"), 0.75) == pytest.approx(0.5)
    assert learning_rate(Recipe(lr=2.0, warmup=0.5, schedule="constant"), 0.99) == 2


def test_numbers_are_measured_in_their_own_unit():
    inputs, _ = table(256)
    numbers = 500 + 40 * inputs[:, 0]
    data = inputs, (numbers - 500) / 40
    options = {"task": "regression", "metrics": ["rmse", "mae", "r2", "loss"], "target_scale": (500.0, 40.0)}
    network, recipe = mlp(1), Recipe(batch_size=16)
    outcome = run(network, data, data, epochs=8, recipe=recipe, **options)
    with torch.no_grad():
        error = network(inputs)[:, 0] * 40 + 500 - numbers
    assert outcome.metrics["rmse"] == pytest.approx(error.square().mean().sqrt().item(), rel=1e-4)
    assert outcome.metrics["loss"] == pytest.approx((outcome.metrics["rmse"] / 40) ** 2, rel=1e-4)
    assert outcome.metrics["r2"] > 0.9
    again = evaluate(network, data, recipe=recipe, device="cpu", **options)
    assert again == {name: outcome.metrics[name] for name in options["metrics"]}


def test_the_validation_loss_has_no_label_smoothing():
    network, recipe = mlp(), Recipe(batch_size=16, label_smoothing=0.4)
    outcome = run(network, table(), table(seed=1), recipe=recipe, metrics=["loss"])
    inputs, targets = table(seed=1)
    with torch.no_grad():
        expected = nn.functional.cross_entropy(network(inputs), targets).item()
    assert outcome.metrics["loss"] == pytest.approx(expected, rel=1e-4)


def test_own_loss_and_metric(tmp_path, monkeypatch):
    (tmp_path / "own_training_for_test.py").write_text(
        "from torch.nn.functional import cross_entropy\n"
        "def loss(outputs, targets):\n    return 2 * cross_entropy(outputs, targets)\n"
        "def score(outputs, targets):\n    return float(outputs.shape == (96, 2) and targets.shape == (96,))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = Recipe(batch_size=16, loss="own_training_for_test:loss")
    options = {"metrics": ["own_training_for_test:score", "loss"], "recipe": recipe}
    outcome = run(mlp(), table(), table(96, seed=1), allow_python=True, **options)
    assert outcome.metrics["own_training_for_test:score"] == 1
    with pytest.raises(MetanasError, match="allowed"):
        run(mlp(), table(), **options)


def test_a_metric_of_the_other_task_is_refused():
    with pytest.raises(MetanasError, match="must suit a classification"):
        run(mlp(), table(), metrics=["r2"])
