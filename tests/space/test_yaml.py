"""The YAML layer: YAML 1.2 scalars, bounds, and errors that name the place."""

import math
from pathlib import Path

import pytest

from metanas.errors import MetanasError
from metanas.space import LanguageError, ListNode, MapNode, Node, ScalarNode, load_space, parse_yaml


def plain(node: Node) -> object:
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    assert isinstance(node, MapNode)
    return {key: plain(value) for key, value in node.entries.items()}


def failure(text: str) -> str:
    with pytest.raises(LanguageError) as caught:
        parse_yaml(text, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("-4", -4), ("+4", 4), (".5", 0.5), ("5.", 5.0), ("1E3", 1000.0), ("0o17", 15), ("0xFf", 255),
        ("010", 10), ("1_000", "1_000"), ("1:30", "1:30"), (".inf", math.inf), ("-.Inf", -math.inf), ("inf", "inf"),
        ("true", True), ("FALSE", False), ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("y", "y"), ("~", None), ("", None),
        ("null", None), ("'1'", "1"), ('"true"', "true"), ("!!str 1", "1"), ("2001-01-01", "2001-01-01"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = plain(parse_yaml(f"[{text}, x]" if text else "[ , x]".replace(" ,", "null,"), "f"))
    assert isinstance(found, list)
    assert found[0] == value
    assert type(found[0]) is type(value)


def test_nan_and_empty_value() -> None:
    found = plain(parse_yaml("a: .nan\nb:\n", "f"))
    assert isinstance(found, dict)
    assert math.isnan(found["a"])
    assert found["b"] is None


def test_keys_are_texts() -> None:
    assert plain(parse_yaml("{1: a, true: b, no: c, 1.5: d}", "f")) == {"1": "a", "true": "b", "no": "c", "1.5": "d"}


def test_marks_point_at_keys_and_values() -> None:
    root = parse_yaml("a: 1\nb:\n  - x\n  -  y\n", "f.yaml")
    assert isinstance(root, MapNode)
    items = root.entries["b"]
    assert isinstance(items, ListNode)
    assert [str(item.mark) for item in items.items] == ["f.yaml:3:5", "f.yaml:4:6"]
    assert str(root.key_marks["b"]) == "f.yaml:2:1"


def test_anchors_and_aliases_repeat_values() -> None:
    assert plain(parse_yaml("a: &x [1, 2]\nb: *x\nc: &x 3\nd: *x\n", "f")) == {"a": [1, 2], "b": [1, 2], "c": 3, "d": 3}
    assert plain(parse_yaml("- &a 1\n- &a 2\n- *a\n", "f")) == [1, 2, 2]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "1:1", "empty"),
        ("# only a comment\n", "1:1", "empty"),
        ("a: 1\nb: 2\na: 3\n", "3:1", "'a' again (first at line 1)"),
        ("x: {k: 1,\n  k: 2}\n", "2:3", "'k' again"),
        ("true: 1\nTrue: 2\n", "2:1", "'true' again"),
        ("a: !!python/object/apply:os.system [ls]\n", "1:4", "tags"),
        ("a: !mine 3\n", "1:4", "tags"),
        ("a: !!int '3'\n", "1:4", "tags"),
        ("a: &x [1, *x]\n", "1:11", "contain itself"),
        ("a: &x {b: [*x]}\n", "1:12", "contain itself"),
        ("a: *nobody\n", "1:4", "anchor"),
        ("a: 1\n---\nb: 2\n", "2:1", "one document"),
        ("[1]: 2\n", "1:1", "a key must be a text"),
        ("a: [1, 2\nb: 3\n", "2:2", "YAML"),
        ("a:\n\t- 1\n", "2:1", "YAML"),
        ("a: 'open\n", "2:1", "YAML"),
        ("a: \x01\n", "1:1", "YAML"),
    ],
)
def test_breaches_name_file_line_and_column(text: str, place: str, words: str) -> None:
    message = failure(text)
    assert message.startswith(f"f.yaml:{place}: "), message
    assert words in message


def test_merge_key_is_no_magic() -> None:
    assert plain(parse_yaml("a: &a {x: 1}\nb: {<<: *a}\n", "f")) == {"a": {"x": 1}, "b": {"<<": {"x": 1}}}


def test_every_duplicate_is_told() -> None:
    message = failure("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert [line.split(": ")[0] for line in message.splitlines()] == ["f.yaml:2:1", "f.yaml:3:11"]


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)),
        "[" * 100_000,
        "- " * 50_000,
        "{a: " * 5_000,
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} {'[' * 50}*a{i - 1}{']' * 50}\n" for i in range(1, 40)),
        "a0: &a0 {k: x}\n" + "".join(f"a{i}: &a{i} {{k: *a{i - 1}}}\n" for i in range(1, 90)),
        "[" + "1, " * 60_000 + "]",
    ],
    ids=["laughs", "flow", "dashes", "maps", "depth by aliases", "maps by aliases", "many values"],
)
def test_bombs_end_in_an_error(text: str) -> None:
    assert " at most " in failure(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"space: a\xff\xfe\n", "UTF-8"),
        (bytes(range(256)) * 10, "UTF-8"),
        (b"\x00" * 100, "YAML"),
        (b"# " + b"x" * 2_000_000, "at most 1,000,000 bytes"),
    ],
    ids=["latin", "binary", "zeros", "2 MB"],
)
def test_files_that_are_no_text(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(MetanasError, match=words) as caught:
        load_space(path)
    assert str(caught.value).startswith(str(path))


def test_a_folder_or_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(MetanasError, match="check the path"):
            load_space(f"{path}/" if path is tmp_path else path)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfspace: a\ninput: table\nnetwork: [head]\n")
    assert load_space(path).name == "a"


def test_a_misspelt_file_is_told_which_one_beside_it_is_near(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("space: s\n")
    with pytest.raises(MetanasError, match="did you mean 'space.yaml'"):
        load_space(tmp_path / "spce.yaml")
