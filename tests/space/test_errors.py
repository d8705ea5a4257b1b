"""What a broken space file is told: all at once, each with its place, its path and a remedy."""

import pickle
from pathlib import Path

import pytest

from metanas.errors import MetanasError
from metanas.space import LanguageError, Problem, load_space, parse_space_text


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(LanguageError) as caught:
        parse_space_text(text, "f.yaml")
    return caught.value.problems


SIX = """\
space: six
input: imagee
blocks:
  cell: {conv: {kernal: 3}}
network:
  - conv_bn: {out: many}
  - {repeat: cel, times: 2}
  - choise: [relu, bn]
  - dropout: {rate: 2}
  - head
"""


def test_six_mistakes_are_six_problems_each_with_its_place() -> None:
    found = [(p.mark.line, p.mark.column, p.path) for p in problems(SIX)]
    assert found == [
        (2, 8, "$.input"),
        (4, 17, "$.blocks.cell.conv"),
        (6, 20, "$.network[0].conv_bn.out"),
        (7, 14, "$.network[1].repeat"),
        (8, 5, "$.network[2]"),
        (9, 21, "$.network[3].dropout.rate"),
    ]
    text = "\n".join(map(str, problems(SIX)))
    for near in ("image", "kernel", "cell", "choice"):
        assert f"did you mean '{near}'?" in text
    assert text.startswith("f.yaml:2:8: $.input: ")


def file(network: str, head: str = "") -> str:
    return f"space: s\ninput: image\n{head}network: {network}\n"


NETWORK = [
    ("unknown op", "[conw, head]", "3:11", "no op or block has the name 'conw'; did you mean 'conv'?"),
    ("unknown parameter", "[{conv: {kernal: 3}}, head]", "3:19", "did you mean 'kernel'?"),
    ("missing parameter", "[{dense: {}}, head]", "3:12", "needs the parameter 'units'"),
    ("missing parameter", "[dense, head]", "3:11", "needs the parameter 'units'"),
    ("wrong type", "[{conv: {kernel: big}}, head]", "3:27", "must be a whole number, found 'big'"),
    ("wrong type", "[{conv: {kernel: 3.5}}, head]", "3:27", "must be a whole number"),
    ("wrong type", "[{conv: {kernel: true}}, head]", "3:27", "must be a whole number"),
    ("wrong type", "[{conv: {kernel: [3]}}, head]", "3:27", "found a list"),
    ("wrong type", "[{conv: {bias: no}}, head]", "3:25", "must be true or false, found 'no'"),
    ("wrong type", "[{dropout: {rate: high}}, head]", "3:28", "must be a number"),
    ("wrong text", "[{act: {kind: rleu}}, head]", "3:24", "must be one of relu"),
    ("out of range", "[{conv: {kernel: {choice: [3, 0]}}}, head]", "3:40", "between 1 and 63, found 0"),
    ("real range for a whole number", "[{conv: {kernel: {float: [1, 3]}}}, head]", "3:36", "whole number"),
    ("empty choice", "[{choice: []}, head]", "3:20", "one option or more"),
    ("equal labels", "[{choice: [relu, relu]}, head]", "3:27", "'relu' twice"),
    ("equal values", "[{conv: {kernel: {choice: [3, 3]}}}, head]", "3:40", "differ"),
    ("range upside down", "[{conv: {out: {int: [8, 2]}}}, head]", "3:30", "low < high"),
    ("long range", "[{conv: {out: {int: [1, 60000]}}}, head]", "3:30", "at most 10,001 values"),
    ("step of zero", "[{conv: {out: {int: [1, 9], step: 0}}}, head]", "3:44", "above 0"),
    ("repeat without times", "[{repeat: relu}, head]", "3:11", "times"),
    ("times below zero", "[{repeat: relu, times: -1}, head]", "3:33", "between 0 and 200"),
    ("first that nobody takes", "[{repeat: relu, times: 2, first: {stride: 2}}, head]", "3:52", "no op there takes 'stride'"),
    ("unknown key of a form", "[{repeat: relu, time: 2}, head]", "3:26", "did you mean 'times'?"),
    ("unknown merge", "[{parallel: [relu, bn], merge: summ}, head]", "3:41", "did you mean 'sum'?"),
    ("two ops in braces", "[{conv: , relu: }, head]", "3:11", "one op, block or form"),
    ("a number is no module", "[3, head]", "3:11", "found 3"),
    ("edge backwards", "[{graph: {nodes: 3, edges: {2->1: relu}}}, head]", "3:38", "forward in the node order"),
    ("edge of nobody", "[{graph: {nodes: 3, edges: {0->7: relu}}}, head]", "3:38", "the nodes are 0, 1, 2"),
    ("edge twice", "[{graph: {nodes: 2, edges: {0->1: relu, '0 -> 1': bn}}}, head]", "3:50", "once"),
    ("no edges", "[{graph: {nodes: 3}}, head]", "3:19", "needs every_edge or edges"),
    ("one node", "[{graph: {nodes: 1, every_edge: relu}}, head]", "3:27", "from 2 to 64"),
    ("new of nobody", "[{new: cell}, head]", "3:17", "name of a block, found cell"),
    ("prior too short", "[{choice: [relu, bn], prior: [1]}, head]", "3:39", "list of weights"),
    ("prior below zero", "[{choice: [relu, bn], prior: [1, -1]}, head]", "3:39", "0 or more"),
    ("prior of nobody", "[{choice: [relu, bn], prior: {reluu: 2}}, head]", "3:40", "did you mean 'relu'?"),
    ("let of nobody", "[{conv: {out: $w}}, head]", "3:24", "no let value has the name '$w'"),
    ("arithmetic that does not parse", "[{conv: {out: '$w *'}}, head]", "3:24", "ends too early"),
    ("id within an op", "[{dense: {id: a, units: 4}}, head]", "3:20", "write it beside dense: {id: NAME, dense: ...}"),
    ("bad id", "[{id: a b, choice: [relu, bn]}, head]", "3:16", "an id is letters"),
]  # fmt: skip


@pytest.mark.parametrize(("network", "place", "words"), [case[1:] for case in NETWORK], ids=[c[0] for c in NETWORK])
def test_breaches_of_the_network(network: str, place: str, words: str) -> None:
    found = [str(problem) for problem in problems(file(network))]
    assert any(text.startswith(f"f.yaml:{place}: $.network") and words in text for text in found), found
    assert len(found) <= 2  # one mistake does not make a page of complaints


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[1, 2]\n", "1:1", "a space file is a mapping, found a list"),
        ("relu\n", "1:1", "a space file is a mapping, found 'relu'"),
        ("input: image\nnetwork: head\n", "1:1", "'space' is required"),
        ("space: s\n", "1:1", "'network'"),
        ("space: 3\nnetwork: head\n", "1:8", "must be a text"),
        ("space: s\nlanguage: 2\nnetwork: head\n", "2:11", "reads language 1"),
        ("space: s\nnetwrok: head\nnetwork: head\n", "2:1", "did you mean 'network'?"),
        ("space: s\nblocks: [a]\nnetwork: head\n", "2:9", "mapping from name to value"),
        ("space: s\nblocks: {conv: relu}\nnetwork: head\n", "2:10", "is a word of the language"),
        ("space: s\nblocks: {a b: relu}\nnetwork: head\n", "2:10", "a name is letters"),
        ("space: s\nops: {a: relu}\nblocks: {a: bn}\nnetwork: head\n", "3:10", "also in ops"),
        ("space: s\nops: {a: {choice: [relu, bn]}}\nnetwork: [a, head]\n", "2:10", "an op makes no decisions"),
        ("space: s\nlet: {w: }\nnetwork: head\n", "2:10", "found nothing"),
        ("space: s\nlet: {a: $b, b: $a}\nnetwork: [{conv: {out: $a}}, head]\n", "2:17", "a -> b -> a"),
        (
            "space: s\nlet: {a: {choice: [1, 0]}}\nnetwork: [{conv: {out: '8 // $a'}}, head]\n",
            "3:24",
            "division by zero",
        ),
        (
            "space: s\nlet: {a: {choice: [1, 9]}}\nnetwork: [{conv: {kernel: '$a * 8'}}, head]\n",
            "3:27",
            "found 72 when a = 9",
        ),
        ("space: s\nlet: {a: {choice: [x, y]}}\nnetwork: [{conv: {out: '$a + 1'}}, head]\n", "3:24", "takes numbers"),
        ("space: s\nnetwork: head\ntrain: 3\n", "3:8", "mapping"),
        (
            "space: s\nblocks: {a: {depth: 99, choice: [relu, {new: a}]}}\nnetwork: [{new: a}, head]\n",
            "2:21",
            "1 to 12",
        ),
    ],
)
def test_breaches_of_the_file(text: str, place: str, words: str) -> None:
    assert any(str(p).startswith(f"f.yaml:{place}: ") and words in str(p) for p in problems(text)), problems(text)


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ("{a: [relu, a]}", "the cycle a -> a"),
        ("{a: [relu, {new: b}], b: {residual: {new: a}}}", "the cycle a -> b -> a"),
        ("{a: {depth: 3, choice: [relu, a]}}", "names itself with 'new'"),
        ("{a: {depth: 3, residual: {new: a}}}", "passes through a choice"),
        ("{a: {depth: 2, choice: [{new: a}, [relu, {new: a}]]}}", "option that ends the recursion"),
    ],
)
def test_blocks_that_contain_themselves(blocks: str, words: str) -> None:
    assert any(words in str(p) for p in problems(f"space: s\nblocks: {blocks}\nnetwork: [a, head]\n"))


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ("params <=", "ends too early"),
        ("params < 1 < 2", "do not chain"),
        ("parms <= 1e6", "did you mean 'params'?"),
        ("s.time > 1", "did you mean 's.times'?"),
        ("s.times / 0 > 1", "division by zero"),
        ("1 / (s.times - 2) > 0", "division by zero"),
        ("act.k > 3", "do not go together"),
        ("not act.k", "takes flags"),
        ("__import__('os')", "unexpected '('"),
    ],
)
def test_constraints_that_mean_nothing(constraint: str, words: str) -> None:
    network = "[{id: s, repeat: relu, times: {int: [1, 3]}}, {act: {kind: {id: k, choice: [relu, gelu]}}}, head]"
    text = file(network) + f'constraints: ["params <= 1e9", "{constraint}"]\n'
    (problem,) = problems(text)
    assert str(problem).startswith("f.yaml:4:32: $.constraints[1]: ")
    assert words in str(problem)


def test_constraints_that_cannot_be_read_are_told_with_all_else() -> None:
    found = [str(problem) for problem in problems(file("[{dense: {unts: 4}}, head]") + "constraints: ['params <']\n")]
    assert any("did you mean 'units'" in text for text in found)
    assert any("$.constraints[0]: a constraint is a comparison" in text for text in found)


@pytest.mark.parametrize("constraints", ["params < 3", "[3]", "[[a]]", "{a: 1}"])
def test_constraints_are_a_list_of_texts(constraints: str) -> None:
    (problem,) = problems(file("[head]") + f"constraints: {constraints}\n")
    assert "text" in str(problem)


REPEAT = "{repeat: " * 3 + "relu" + ", times: 200}" * 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (file(f"[{REPEAT}, head]"), "at most 20,000 places"),
        (file("[{new: t}, head]", "blocks: {t: {depth: 12, choice: {l: relu, f: [{new: t}, {new: t}, {new: t}]}}}\n"), "at most"),
        (file("[b0, head]", "blocks: {" + "".join(f"b{i}: [[b{i + 1}]], " for i in range(300)) + "b300: relu}\n"), "nest at most 100"),
        (file("[{conv: {out: $a0}}, head]", "let: {" + "".join(f"a{i}: $a{i + 1} + $a{i + 1}, " for i in range(40)) + "a40: 1}\n"), "10 deep"),
        (file("[{conv: {out: $a2}}, head]", "let: {a0: 99999999999, a1: '" + "*".join(["$a0"] * 200) + "', a2: '" + "*".join(["$a1"] * 200) + "'}\n"), "too large"),
        (file("[{conv: {out: '$w * 1e300 * 1e300'}}, head]", "let: {w: {choice: [1, 2]}}\n"), "not finite"),
        (file("[{conv: {out: {float: [-1e308, 1e308]}}}, head]"), "finite"),
        (file("[{repeat: relu, times: '$n * 10000000'}, head]", "let: {n: {choice: [1, 2]}}\n"), "between 0 and 200"),
    ],
    ids=["repeats", "recursion", "blocks", "lets", "big numbers", "infinite", "long range", "times"],
)  # fmt: skip
def test_files_without_measure_end_in_an_error(text: str, words: str) -> None:
    assert any(words in str(p) for p in problems(text))


def test_many_breaches_are_cut() -> None:
    assert len(problems(file("[" + ", ".join(["conw"] * 500) + "]"))) == 50


def test_no_file_and_no_space_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(MetanasError, match="did you mean 'mobile'"):
        load_space("mobil")
    with pytest.raises(MetanasError, match=r"none\.yaml: the file cannot be read"):
        load_space("none.yaml", base=tmp_path)


def test_a_relative_path_is_relative_to_its_base(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("space: mine\ninput: table\nnetwork: [head]\n", encoding="utf-8")
    assert load_space("mine.yaml", base=tmp_path).name == "mine"


def test_an_error_survives_a_trip_to_another_process() -> None:
    with pytest.raises(LanguageError) as caught:
        parse_space_text(SIX, "f.yaml")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.problems == caught.value.problems


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("[{id: '', conv: {out: 8}}, head]", "2:16: $.network[0].id: an id is letters, digits and _"),
        (
            "[{graph: {inputs: [[before], previous], steps: 1, each_step: {op: relu}}}, head]",
            "$.network[0].graph.inputs",
        ),
    ],
)
def test_empty_ids_and_lists_among_inputs(network: str, words: str) -> None:
    with pytest.raises(LanguageError) as caught:
        parse_space_text(f"space: a\nnetwork: {network}\n", "f")
    assert words in str(caught.value)
