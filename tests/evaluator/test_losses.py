import pytest
import torch
from torch.nn import functional as F

from metanas.errors import MetanasError
from metanas.evaluator._losses import build_loss, import_function

OUTPUTS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
CLASSES = torch.tensor([0, 2])
NUMBERS = torch.tensor([1.0, -2.0])


def test_auto_suits_the_task():
    assert build_loss("auto", task="classification")(OUTPUTS, CLASSES) == F.cross_entropy(OUTPUTS, CLASSES)
    assert build_loss("auto", task="regression")(NUMBERS, NUMBERS + 2) == 4


def test_losses_by_name():
    assert build_loss("mae", task="regression")(NUMBERS, NUMBERS + 2) == 2
    smooth = build_loss("cross_entropy", task="classification", label_smoothing=0.3)(OUTPUTS, CLASSES)
    assert smooth == F.cross_entropy(OUTPUTS, CLASSES, label_smoothing=0.3)


@pytest.mark.parametrize(("name", "task"), [("mse", "classification"), ("cross_entropy", "regression")])
def test_a_loss_of_the_other_task_is_refused(name, task):
    with pytest.raises(MetanasError, match=rf"train.loss: the loss must suit a {task}, found {name}; use "):
        build_loss(name, task=task)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_losses_for_test.py").write_text(
        "limit = 3\ndef half(outputs, targets):\n    return ((outputs - targets) ** 2).mean() / 2\n"
    )
    (tmp_path / "broken_losses_for_test.py").write_text("import package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own_module")
def test_own_function_by_dotted_name():
    loss = build_loss("own_losses_for_test:half", task="regression", allow_python=True)
    assert loss(NUMBERS, NUMBERS + 2) == 2


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own_losses_for_test:halve", "must have a function halve, found nothing of that name; did you mean 'half'?"),
        ("own_losses_for_test:limit", "must have a function limit, found a value of type int"),
        ("package_that_is_not_there:f", "must be importable, found No module named"),
        ("broken_losses_for_test:f", "must be importable, found No module named 'package_that_is_not_there'"),
        ("own_losses_for_test.half", "reads package.module:function"),
    ],
)
def test_own_function_that_cannot_be_had(name, text):
    with pytest.raises(MetanasError) as raised:
        import_function(name, allow_python=True, where="train.loss")
    assert text in str(raised.value)


@pytest.mark.usefixtures("own_module")
def test_own_function_is_not_imported_unless_allowed(tmp_path):
    (tmp_path / "trap_for_test.py").write_text("raise SystemExit('imported')\n")
    with pytest.raises(MetanasError, match="--allow-python"):
        build_loss("trap_for_test:loss", task="regression")
