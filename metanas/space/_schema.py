"""The language as a JSON Schema, for editors: completion, help and marks while a space file is written.

Generated from the tables that the loader reads. The loader says more: names that a file defines, shapes and
arithmetic are beyond a schema, so a file may fit it and still be refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metanas.space._ops import OPS, Op, Parameter
from metanas.space._parse import INPUTS
from metanas.space._parse_cells import MAX_NODES
from metanas.space._parse_modules import FORMS, MAX_REPEATS, MERGES

Schema = dict[str, Any]

_NAME = "^[A-Za-z_][A-Za-z0-9_]{0,63}$"
_MODULE: Schema = {"$ref": "#/$defs/module"}
_VALUE: Schema = {"$ref": "#/$defs/value"}

_FORM_HELP = {
    "choice": "exactly one of these modules: a mapping from label to module, or a list",
    "optional": "this module or nothing",
    "repeat": "copies of this module, one after another",
    "residual": "x + module(x); projected where shapes differ",
    "parallel": "branches from one input, merged",
    "graph": "a cell: nodes and edges, or steps",
    "new": "a block again, with decisions of its own",
}


def space_schema(train: Mapping[str, Mapping[str, Any]] | None = None) -> Schema:
    """The JSON Schema (draft 2020-12) of a space file; ``train`` holds those of the training settings that there are."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "metanas search space",
        "description": "A search space of metanas, language 1. Without its choices a file describes one network.",
        **_mapping(
            {
                "space": _text("the space's name", minLength=1),
                "language": {"const": 1, "description": "version of the language"},
                "about": _text("one line on what the space is"),
                "source": _text("the paper or page that it comes from"),
                "input": {"enum": list(INPUTS), "default": "image", "description": "kind of the data"},
                "extends": _text("another space file or built-in name; the keys of this file are merged over it"),
                "let": _names(_VALUE, "named values, one decision each, used as $name"),
                "ops": _names({"anyOf": [_python(), _MODULE]}, "named modules, and modules of yours"),
                "blocks": _names({"$ref": "#/$defs/block"}, "named modules that make decisions"),
                "network": {**_MODULE, "description": "the module of the whole network"},
                "tabular": _names(_VALUE, "decisions alone, for a space whose results come from a table"),
                "train": {
                    **(_names(_VALUE, "") if train is None else _mapping(train)),
                    "description": "the training recipe",
                },
                "constraints": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "texts that a network must make true, such as 'params <= 1e6'",
                },
            }
        ),
        "required": ["space"],
        "anyOf": [{"required": ["network"]}, {"required": ["tabular"]}, {"required": ["extends"]}],
        "$defs": {
            "module": _module({}),
            "block": _module({"depth": {"type": "integer", "minimum": 1, "maximum": 12, "description": _DEPTH}}),
            "value": value_schema(["number", "string", "boolean"], {}),
            "graph": _graph(),
            **{f"op_{name}": _op(op) for name, op in OPS.items()},
        },
    }


_DEPTH = "how often the block may stand in itself"


def _module(extra: Mapping[str, Schema]) -> Schema:
    """A name, a list, or a mapping with one op, block or form."""
    forms = {form: {**_form(form), "description": _FORM_HELP[form]} for form in FORMS}
    settings: dict[str, Schema] = {
        "id": _text("names the place, so that decisions read id.parameter", pattern=_NAME),
        "prior": _prior(),
        "by": {**_VALUE, "description": "the let value that decides; the labels are its values"},
        "times": _number(Parameter("int", "how many copies", low=0, high=MAX_REPEATS)),
        "share": {"type": "boolean", "default": True, "description": "whether all copies make the same decisions"},
        "first": {"type": "object", "additionalProperties": _VALUE, "description": "parameters of the first copy"},
        "merge": {"enum": [*MERGES, "dot"], "default": "sum", "description": "how branches are merged"},
    }
    # Dependent keys: a setting needs its form.
    needs = {setting: [form] for form, names in FORMS.items() for setting in names}
    ops = {name: {"$ref": f"#/$defs/op_{name}"} for name in OPS}
    return {
        "anyOf": [
            {"enum": [*OPS], "description": "an op"},
            {"type": "string", "pattern": _NAME, "description": "an op or block that the file defines"},
            {"type": "array", "items": _MODULE, "description": "one after another"},
            {
                "type": "object",
                "properties": {**ops, **forms, **settings, **extra},
                "patternProperties": {_NAME: {}},
                "additionalProperties": False,
                "dependentRequired": {**needs, "repeat": ["times"]},
                # An op or block of the file, alone but for its id.
                "if": {"not": {"anyOf": [{"required": [form]} for form in FORMS]}},
                "then": {
                    "minProperties": 1,
                    "if": {"required": ["id"]},
                    "then": {"maxProperties": 2 + len(extra)},
                    "else": {"maxProperties": 1 + len(extra)},
                },
            },
        ]
    }


def _form(form: str) -> Schema:
    match form:
        case "choice":
            labelled = {"type": "object", "minProperties": 1, "additionalProperties": _MODULE}
            return {"anyOf": [labelled, {"type": "array", "minItems": 1, "items": _MODULE}]}
        case "parallel":
            return {"type": "array", "minItems": 2, "items": _MODULE}
        case "graph":
            return {"$ref": "#/$defs/graph"}
        case "new":
            bound = {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": {"type": "object"},
            }
            return {"anyOf": [{"type": "string", "pattern": _NAME}, bound]}
        case _:
            return dict(_MODULE)


def _graph() -> Schema:
    merge = {"enum": list(MERGES), "description": "what a node does with what arrives"}
    names = {"type": "array", "minItems": 2, "maxItems": MAX_NODES, "items": {"type": ["string", "integer"]}}
    nodes = {
        "anyOf": [
            {"type": "integer", "minimum": 2, "maximum": MAX_NODES},
            names,
            {"type": "object", "minProperties": 1, "additionalProperties": _MODULE},
        ],
        "description": "a number of nodes, their names, or a mapping from name to op",
    }
    edges = {"type": "object", "additionalProperties": _MODULE, "description": "from '0->1' to what stands there"}
    step = _mapping({"inputs": _whole(1, 8, "earlier states that it reads"), "op": _MODULE})
    return {
        "anyOf": [
            {
                **_mapping(
                    {
                        "nodes": nodes,
                        "every_edge": {
                            **_MODULE,
                            "description": "what stands on each edge; 'optional': the edge or none",
                        },
                        "edges": edges,
                        "merge": merge,
                        "output": merge,
                        "max_edges": _whole(1, MAX_NODES**2, "most edges that are there at once"),
                    }
                ),
                "required": ["nodes"],
            },
            {
                **_mapping(
                    {
                        "inputs": {
                            "enum": [["previous"], ["before", "previous"]],
                            "description": "what the cell reads",
                        },
                        "steps": _whole(1, 16, "how many steps"),
                        "each_input": _MODULE,
                        "each_step": {**step, "required": ["op"]},
                        "stride": _whole(1, 4, "2 for a reduction"),
                        "merge": merge,
                        "output": merge,
                    }
                ),
                "required": ["steps", "each_step"],
            },
        ]
    }


def _op(op: Op) -> Schema:
    parameters = _mapping({name: _number(parameter) for name, parameter in op.parameters.items()})
    required = [name for name, parameter in op.parameters.items() if parameter.required]
    schema: Schema = {**parameters, "type": "object" if required else ["object", "null"], "description": op.about}
    if required:
        schema["required"] = required
    if op.example:
        schema["examples"] = [op.example]
    return schema


def _number(parameter: Parameter) -> Schema:
    """A value of an op's parameter: itself, decided, or computed."""
    limits: Schema = {}
    if parameter.low is not None:
        limits["minimum"] = parameter.low
    if parameter.high is not None:
        limits["maximum"] = parameter.high
    if parameter.options:
        limits["enum"] = list(parameter.options)
    kind = {"int": "integer", "float": "number", "flag": "boolean", "text": "string"}[parameter.kind]
    schema = {**value_schema([kind], limits), "description": parameter.about}
    if parameter.default is not None:
        schema["default"] = parameter.default
    return schema


def value_schema(kinds: Sequence[str], limits: Schema) -> Schema:
    """A value expression whose single values have one of these types and limits."""
    single = {"type": list(kinds) if len(kinds) > 1 else kinds[0], **limits}
    identity = _text("names the decision", pattern=_NAME)
    choice = _mapping({"choice": {"type": "array", "minItems": 1, "items": single}, "prior": _prior(), "id": identity})
    options: list[Schema] = [
        single,
        _text("arithmetic on let values", pattern=r"\$"),
        {**choice, "required": ["choice"], "description": "one of them"},
    ]
    for head, kind in (("int", "integer"), ("float", "number")):
        if any(known in kinds for known in ("number", kind)):
            ends = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": kind}}
            step = {"type": kind, "exclusiveMinimum": 0, "description": "distance of the values"}
            keys = {head: ends, "step": step, "log": {"type": "boolean", "default": False}, "id": identity}
            options.append({**_mapping(keys), "required": [head], "description": "a range, both ends included"})
    return {"anyOf": options}


def _prior() -> Schema:
    weight = {"type": "number", "minimum": 0}
    return {
        "anyOf": [{"type": "array", "items": weight}, {"type": "object", "additionalProperties": weight}],
        "description": "weights of the options: a list, or a mapping from label to weight",
    }


def _python() -> Schema:
    path = _text("package.module:Class of a module of yours", pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    return {**_mapping({"python": path}), "required": ["python"]}


def _mapping(properties: Mapping[str, Mapping[str, Any]]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _names(values: Schema, about: str) -> Schema:
    return {
        "type": "object",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": values,
        "description": about,
    }


def _text(about: str, **limits: Any) -> Schema:
    return {"type": "string", "description": about, **limits}


def _whole(low: int, high: int, about: str) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high, "description": about}
