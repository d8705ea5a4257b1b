"""Run files: every key, its default, what is refused and how that reads."""

import json
from pathlib import Path

import pytest

from metanas.errors import DataError, MetanasError
from metanas.space import LanguageError
from metanas.study import RunFile, parse_run_text, read_run_file, strategy_names


def parse(text: str, *sets: str) -> RunFile:
    return parse_run_text(text, "run.yaml", base=Path("/base"), sets=sets)


def with_(text: str, *sets: str) -> RunFile:
    return parse("space: mlp\ndata: wine\n" + text, *sets)


def refused(text: str, *sets: str) -> list[str]:
    """The problems of a run file that has space and data."""
    with pytest.raises(LanguageError) as caught:
        with_(text, *sets)
    return str(caught.value).splitlines()


def test_defaults() -> None:
    run = parse_run_text("space: mlp\ndata: wine\n", "/base/my search/run.yaml", base=Path("/base"))
    assert run == RunFile(
        file="/base/my search/run.yaml", base=Path("/base"), name="my-search", space="mlp", data="wine",
        objectives=(), constraints=(), strategy="meta", strategy_options={}, trials=30, time=None, target=None,
        seed=0, retries=2, max_memory=None, rungs=(12,), stop="none", stop_options={}, train={}, train_syntax={}, workers="auto", engine="local",
        storage=None, evaluator="train",
    )  # fmt: skip


def test_every_key() -> None:
    run = parse("""
name: my_run
space: spaces/mine.yaml
data: {table: people.csv, target: income, ignore: [id]}
objective: {maximize: [r2], minimize: [params, latency_ms]}
constraints: ["params <= 1e6", "width != 16"]
search: {strategy: {evolution: {population: 8, sample: 3}}, trials: 10, time: 1h30m, target: 0.9, seed: 7, retries: 0, max_memory: 2GB}
fidelity: {epochs: [2, 4, 8]}
train: {batch_size: 32, lr: {float: [1e-4, 1e-1], log: true}, optimizer: {choice: [adamw, sgd]}}
workers: 3
storage: postgresql://me@host/db
evaluator: {python: "my_package.module:Factory"}
""")
    assert (run.name, run.space, run.data) == (
        "my_run", "spaces/mine.yaml", {"table": "people.csv", "target": "income", "ignore": ["id"]},
    )  # fmt: skip
    assert run.objectives == (("r2", "maximize"), ("params", "minimize"), ("latency_ms", "minimize"))
    assert [(text, str(mark)) for text, mark, _ in run.constraints] == [
        ("params <= 1e6", "run.yaml:6:15"), ("width != 16", "run.yaml:6:32"),
    ]  # fmt: skip
    assert (run.strategy, run.strategy_options) == ("evolution", {"population": 8, "sample": 3})
    assert (run.trials, run.time, run.target, run.seed, run.retries) == (10, 5400.0, 0.9, 7, 0)
    assert run.max_memory == 2 * 2**30
    assert run.rungs == (2, 4, 8)
    assert run.train["batch_size"] == 32
    assert set(run.train_syntax) == {"batch_size", "lr", "optimizer"}
    assert (run.workers, run.engine, run.storage) == (3, "local", "postgresql://me@host/db")
    assert run.evaluator == {"python": "my_package.module:Factory"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2h", 7200),
        ("1d", 86400),
        ("1.5h", 5400),
        ("45", 45),
        ("0.5", 0.5),
        ("1m30s", 90),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert with_(f"search: {{time: {text}}}").time == seconds


def test_a_limit_other_than_trials_replaces_their_default() -> None:
    assert with_("search: {time: 10m}").trials is None
    assert with_("search: {target: 0.9}").trials is None
    assert with_("search: {target: 0.9, trials: 5}").trials == 5


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 2**30),
        ("512MB", 512 * 2**20),
        ("512MiB", 512 * 2**20),
        ("1.5G", 3 * 2**29),
        ("64 K", 65536),
        ("1000", 1000),
        ("1T", 2**40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert with_(f"search: {{max_memory: {text}}}").max_memory == size


def test_workers_of_a_cluster() -> None:
    run = with_(
        "workers: {engine: ray, address: '10.0.0.1:6379', gpus_per_trial: 0.5, memory_per_trial: 4GB, wait: 10m}"
    )
    assert (run.engine, run.workers) == ("ray", "auto")
    assert run.engine_options == {
        "address": "10.0.0.1:6379", "gpus_per_trial": 0.5, "memory_per_trial": 4 * 2**30, "wait": 600,
    }  # fmt: skip
    assert with_("workers: {engine: ray, count: 4}").workers == 4


@pytest.mark.parametrize("key", ["time", "max_memory", "target"])
@pytest.mark.parametrize("value", ["10x", "''", "-1m", "[1]", ".nan", "true"])
def test_no_durations_sizes_or_numbers(key: str, value: str) -> None:
    (problem,) = refused(f"search: {{{key}: {value}}}")
    assert problem.startswith(f"run.yaml:3:{12 + len(key)}: $.search.{key}: must be")


@pytest.mark.parametrize("value", ["0", "0s", "-1", ".inf"])
@pytest.mark.parametrize("key", ["time", "max_memory"])
def test_no_endless_or_empty_limits(key: str, value: str) -> None:
    (problem,) = refused(f"search: {{{key}: {value}}}")
    assert f"$.search.{key}: must be" in problem


@pytest.mark.parametrize(
    ("text", "objectives"),
    [
        ("accuracy", [("accuracy", "maximize")]),
        ("loss", [("loss", "minimize")]),
        ("params", [("params", "minimize")]),
        ("{maximize: auc}", [("auc", "maximize")]),
        ("{minimize: [rmse, flops]}", [("rmse", "minimize"), ("flops", "minimize")]),
        ("{minimize: params, maximize: f1}", [("params", "minimize"), ("f1", "maximize")]),
        ("{maximize: 'my.metrics:profit'}", [("my.metrics:profit", "maximize")]),
    ],
)
def test_objectives(text: str, objectives: list[tuple[str, str]]) -> None:
    assert list(with_(f"objective: {text}").objectives) == objectives


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("acuracy", ["no metric has the name 'acuracy'", "did you mean 'accuracy'"]),
        ("{maximise: accuracy}", ["maximise", "did you mean 'maximize'"]),
        ("{minimize: accuracy}", ["accuracy is better when it is larger", "write {maximize: accuracy}"]),
        ("{maximize: params}", ["params is better when it is smaller"]),
        ("{maximize: [accuracy, accuracy]}", ["stands once"]),
        ("{maximize: []}", ["one objective or more"]),
        ("{}", ["one objective or more"]),
        ("[accuracy]", ["{maximize: accuracy}"]),
        ("{maximize: 3}", ["an objective is a name"]),
        ("'my.metrics:profit'", ["my.metrics:profit", "{maximize: my.metrics:profit}"]),
    ],
)
def test_no_objectives(text: str, words: list[str]) -> None:
    problems = "\n".join(refused(f"objective: {text}"))
    for word in words:
        assert word in problems
    assert "run.yaml:3:" in problems


def test_keys_of_data_are_checked_with_all_others() -> None:
    with pytest.raises(LanguageError) as caught:
        parse(
            "space: mlp\ndata:\n  name: digits\n  tst: 0.2\n  test: 5\n  validation: -1\n  task: clasification\nsearch: {trails: 4}\n"
        )
    lines = str(caught.value).splitlines()
    for start, word in (
        ("run.yaml:4:3: $.data.tst: unknown key beside `name`", "did you mean 'test'"),
        ("run.yaml:5:3: $.data.test: must be a fraction", "found 5"),
        ("run.yaml:6:3: $.data.validation: must be a fraction", "found -1"),
        ("run.yaml:7:3: $.data.task: must be classification or regression", "did you mean 'classification'"),
        ("run.yaml:8:10: $.search", "did you mean 'trials'"),
    ):
        assert any(line.startswith(start) and word in line for line in lines), (start, lines)
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("search: {epochs: 3}", "unknown key 'epochs'; it belongs under `train`"),
        ("lr: 0.1", "unknown key 'lr'; it belongs under `train`"),
        ("train: {seed: 1}", "unknown key 'seed'; it belongs under `search`"),
        ("trials: 9", "unknown key 'trials'; it belongs under `search`"),
        ("search: {workers: 2}", "unknown key 'workers'; it belongs at the top, under no section"),
        ("test: 0.3", "unknown key 'test'; it belongs under `data`"),
        ("workers: {stop: none}", "unknown key 'stop'; it belongs under `fidelity`"),
    ],
)
def test_key_of_another_section(text: str, words: str) -> None:
    (line,) = refused(text)
    assert line.endswith(words)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("digits", {"name": "digits", "test": 0.3, "validation": 0.1}),
        ("people.csv", {"table": "people.csv", "test": 0.3, "validation": 0.1}),
        ("{name: digits, test: 0.1}", {"name": "digits", "test": 0.3, "validation": 0.1}),
    ],
)
def test_settings_beside_the_name_of_data(text: str, data: dict[str, object]) -> None:
    run = parse(f"space: mlp\ndata: {text}\n", "data.test=0.3", "data.validation=0.1")
    assert run.data == data


def test_setting_beside_data_that_are_not_there_is_told() -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        parse("space: mlp\ndata: nowhere/photos\n", "data.test=0.3")


def test_all_problems_at_once_each_with_its_place_and_remedy() -> None:
    with pytest.raises(LanguageError) as caught:
        parse("""\
nme: x
data: 7
objective: {maximize: acuracy}
search:
  stratgy: random
  strategy: evoluton
  trials: many
  seed: -1
fidelity: {epochs: [4, 2]}
train: {batchsize: 3, lr: fast}
workers: 0
storage: somewhere
evaluator: trian
constraints: params < 3
""")
    expected = [
        ("run.yaml:1:1: $: the key 'space' is required", "add 'space: ...'"),
        ("run.yaml:1:1: $", "did you mean 'name'?"),
        ("run.yaml:2:7: $.data: data is a name, a path, or a mapping", "found"),
        ("run.yaml:3:23: $.objective: no metric has the name 'acuracy'", "did you mean 'accuracy'?"),
        ("run.yaml:5:3: $.search", "did you mean 'strategy'?"),
        ("run.yaml:6:13: $.search.strategy: no strategy has the name 'evoluton'", "did you mean 'evolution'?"),
        ("run.yaml:7:11: $.search.trials: must be a whole number from 1", "found"),
        ("run.yaml:8:9: $.search.seed: must be a whole number from 0", "found"),
        ("run.yaml:9:20: $.fidelity.epochs", "write e.g. [3, 6, 12]"),
        ("run.yaml:10:9: $.train", "did you mean 'batch_size'?"),
        ("run.yaml:10:27: $.train.lr", "lr is a number above 0"),
        ("run.yaml:11:10: $.workers: workers is auto or a whole number from 1", "found"),
        ("run.yaml:12:10: $.storage: storage is default, or a URL", "found 'somewhere'"),
        ("run.yaml:13:12: $.evaluator: an evaluator is train, {table: ...}, or", "found"),
        ("run.yaml:14:14: $.constraints: constraints are a list of texts", "found"),
    ]
    lines = str(caught.value).splitlines()
    for start, word in expected:
        assert any(line.startswith(start) and word in line for line in lines), (start, word, lines)
    assert len(lines) == len(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("search: {strategy: {evolution: {populaton: 3}}}", ["evolution has no setting 'populaton'", "'population'"]),
        ("search: {strategy: {evolution: {population: 3.5}}}", ["evolution.population is a whole number"]),
        ("search: {strategy: {evolution: {population: 3, sample: 5}}}", ["1 <= sample <= population"]),
        ("search: {strategy: {local: {start: 0}}}", ["starts from one"]),
        ("search: {strategy: {random: {a: 1}}}", ["random has no setting"]),
        ("search: {strategy: [random]}", ["a strategy is a name, or {name: {setting: value}}"]),
        ("search: {strategy: 'optuna:tp'}", ["'optuna:tpe'"]),
        ("search: 3", ["'search' is a mapping"]),
        ("fidelity: {epochs: 0}", ["rising list"]),
        ("fidelity: {epochs: [2, 2]}", ["rising list"]),
        ("fidelity: {epochs: true}", ["rising list"]),
        ("fidelity: {epochs: []}", ["rising list"]),
        ("fidelity: {epochs: 3, stop: asha}", ["$.fidelity.stop", "asha needs rungs", "write e.g. epochs: [3, 6, 12]"]),
        ("fidelity: {stop: hyperband}", ["no rule has the name 'hyperband'", "'optuna:hyperband'"]),
        ("fidelity: {stop: [curve]}", ["stop is a name, or {name: {setting: value}}"]),
        ("fidelity: {stop: {curve: {percent: 90}}}", ["curve.percent is a whole number from 1 to 50"]),
        ("fidelity: {stop: {curve: {percents: 9}}}", ["curve has no setting 'percents'", "'percent'"]),
        ("objective: [a]\nfidelity: {stop: curve}", ["$.objective"]),
        ("objective: {maximize: accuracy, minimize: params}\nfidelity: {stop: 'optuna:median'}", ["compare one objective"]),
        ("train: {epochs: {choice: [1, 2]}}", ["not a decision"]),
        ("train: {epochs: 3}\nfidelity: {epochs: [2, 6]}", ["the last of fidelity.epochs, 6", "leave one of them out"]),
        ("train: {optimizer: {choice: [adamw, sdg]}}", ["optimizer is one of"]),
        ("train: {batch_size: {int: [1, 8]}}", ["batch_size is a whole number of at least 2"]),
        ("train: {lr: {float: [0, 1], log: true}}", ["$.train.lr"]),
        ("workers: {engine: lokal}", ["an engine is one of local, inline, ray", "'local'"]),
        ("workers: {engin: local}", ["'engine'"]),
        ("workers: {engine: local, address: auto}", ["$.workers", "address"]),
        ("workers: {engine: ray, gpus_per_trial: 1.5}", ["gpus_per_trial is 0, a part of 1 such as 0.5, or whole"]),
        ("workers: {engine: ray, cpus_per_trial: 0}", ["cpus_per_trial is"]),
        ("workers: {engine: ray, address: 'ray://head:10001'}", ["address is auto", "'ray://head:10001'"]),
        ("workers: {engine: ray, memory_per_trial: much}", ["memory_per_trial is a size"]),
        ("workers: {engine: ray, wait: [1]}", ["wait is a duration"]),
        ("workers: 2.5", ["workers is auto"]),
        ("name: a b", ["a name is letters, digits"]),
        ("name: 3", ["$.name"]),
        ("evaluator: {python: 3}", ["an evaluator is train"]),
        ("constraints: [3]", ["a constraint is a text"]),
        ("data: wine", ["a key stands once in a mapping", "'data'"]),
        ("space: mlp\nspace: mlp", ["a key stands once", "'space'"]),
    ],
)  # fmt: skip
def test_refused(text: str, words: list[str]) -> None:
    problems = "\n".join(refused(text))
    for word in words:
        assert word in problems


@pytest.mark.parametrize("text", ["", "- a\n", "3", "space: [", "a: !!python/object:os.system {}"])
def test_no_run_file_at_all(text: str) -> None:
    with pytest.raises(MetanasError, match=r"run\.yaml"):
        parse(text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MetanasError, match="missing.yaml"):
        read_run_file(tmp_path / "missing.yaml")


# --- overrides


def test_overrides() -> None:
    run = with_(
        "search: {trials: 5, seed: 1}", "search.trials=10", "search.strategy={evolution: {population: 9}}",
        "data={table: a.csv, target: b}", "workers=2", "train.lr={float: [1e-4, 1e-2], log: true}", "fidelity.epochs=[1, 2]",
    )  # fmt: skip
    assert (run.trials, run.seed, run.workers, run.rungs) == (10, 1, 2, (1, 2))
    assert run.strategy_options == {"population": 9}
    assert run.data == {"table": "a.csv", "target": "b"}
    assert "lr" in run.train_syntax


def test_an_override_may_give_a_required_key() -> None:
    assert parse("data: wine", "space=mlp").space == "mlp"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("search.trails=3", ["--set", "$.search", "did you mean 'trials'?"]),
        ("serch.trials=3", ["--set", "did you mean 'search'?"]),
        ("search.trials", ["an override is key=value", "search.trials=10"]),
        ("=3", ["an override is key=value"]),
        ("search..trials=3", ["an override is key=value"]),
        ("search.trials=three", ["--set", "$.search.trials: must be a whole number"]),
        ("search.trials=[", ["--set"]),
        ("search.trials=", ["$.search.trials"]),
        ("train.lr=fast", ["--set", "lr is a number"]),
    ],
)
def test_overrides_that_are_refused(setting: str, words: list[str]) -> None:
    problems = "\n".join(refused("", setting))
    for word in words:
        assert word in problems


def test_which_override_is_wrong_is_said() -> None:
    (problem,) = refused("", "search.trials=3", "search.seed=x")
    assert problem.startswith("--set search.seed:1:1: $.search.seed: must be")


@pytest.mark.parametrize("name", strategy_names())
def test_every_strategy_name_is_accepted(name: str) -> None:
    assert with_(f"search: {{strategy: {json.dumps(name)}}}").strategy == name


def test_a_long_folder_name_still_gives_a_name() -> None:
    run = parse_run_text("space: mlp\ndata: wine", f"/{'long' * 40}/run.yaml", base=Path("/"))
    assert 1 <= len(run.name) <= 80
