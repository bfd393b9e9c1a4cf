"""JSON Schemas for editors: they are schemas, fit our examples, and agree with what kubecdn accepts."""

import copy
import json
import os
import random
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from lab.cli import REPO, binary

KINDS = ["Cluster", "TrafficPolicy", "Config"]
BUILD = Path(os.environ.get("KC_BUILD", REPO / "build/release"))


def program(*args):
    env = {k: v for k, v in os.environ.items() if not k.startswith("KUBECDN")}
    r = subprocess.run([binary(), *args], env=env, capture_output=True, text=True, check=True)
    return r.stdout


@pytest.fixture(scope="module")
def schemas(built):
    return {k: json.loads(program("explain", "--json-schema", k)) for k in KINDS}


@pytest.fixture(scope="module")
def ours(built):
    """What our own validator says of documents: "ok", or why not."""
    if not (BUILD / "tests/spec-check").exists():
        pytest.skip(f"no spec-check in {BUILD}")

    def check(kind, documents):
        lines = "".join(json.dumps({"kind": kind, "document": d}) + "\n" for d in documents)
        r = subprocess.run([BUILD / "tests/spec-check"], input=lines, capture_output=True, text=True)
        assert (r.returncode, r.stderr) == (0, "")
        answers = r.stdout.splitlines()
        assert len(answers) == len(documents)
        return answers

    return check


def test_every_kind_has_a_schema(schemas):
    listed = [x.split()[0] for x in program("explain").splitlines() if "  " in x]
    assert listed == KINDS
    for kind, schema in schemas.items():
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        Draft202012Validator.check_schema(schema)
        assert schema["title"] == kind


def documents_of(kind):
    found = []
    for file in sorted((REPO / "examples").glob("*.yaml")):
        for document in yaml.load_all(file.read_text(), Loader=yaml.BaseLoader):
            if document and document.get("kind") == kind:
                found.append((file, document))
    return found


def plain(schema, value):
    """Of BaseLoader, to which every scalar is a string, what the schema means by it."""
    if schema.get("type") == "object" and isinstance(value, dict):
        return {k: plain(schema.get("properties", {}).get(k, {}), v) for k, v in value.items()}
    if schema.get("type") == "array" and isinstance(value, list):
        return [plain(schema["items"], v) for v in value]
    if schema.get("type") in ("integer", "number", "boolean"):
        return json.loads(value)
    return value


@pytest.mark.parametrize("kind", ["Cluster", "TrafficPolicy"])
def test_examples(schemas, ours, kind):
    found = documents_of(kind)
    assert len(found) >= 2
    for file, document in found:
        value = plain(schemas[kind], document)
        assert not list(Draft202012Validator(schemas[kind]).iter_errors(value)), file
        assert ours(kind, [value]) == ["ok"], file


# --- every field, right and wrong


PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"  # as far as the tables look


def sample(schema, about=""):
    """A document with every field."""
    about = schema.get("description", about)
    if "enum" in schema:
        return schema["enum"][0]
    if "examples" in schema:
        return schema["examples"][0]
    match schema["type"]:
        case "object":
            return {k: sample(v) for k, v in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema["items"], about) for _ in range(max(1, schema.get("minItems", 0)))]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return schema.get("default") or (PEM if about.startswith("PEM") else "x1")


def places(schema, value, path=()):
    """(path, schema) of every value."""
    yield path, schema
    for key, inner in schema.get("properties", {}).items():
        yield from places(inner, value[key], (*path, key))
    if schema["type"] == "array":
        yield from places(schema["items"], value[0], (*path, 0))


def put(document, path, value):
    """A copy with another value there; a function makes it of the old one."""
    if not path:
        return value(document) if callable(value) else value
    new = copy.deepcopy(document)
    at = new
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value(at[path[-1]]) if callable(value) else value
    return new


def without(key):
    return lambda o: {k: v for k, v in o.items() if k != key}


OTHER_TYPES = {"object": {}, "array": [], "integer": 7, "number": 1.5, "boolean": True, "string": "x1"}


def wrong_ones(schema):
    """(what is wrong, a value or a function that makes it)."""
    kind = schema["type"]
    for other, value in OTHER_TYPES.items():
        if other != kind and (kind, other) != ("number", "integer"):
            yield f"{other} for {kind}", value
    if kind == "object" and "properties" in schema:
        yield "an unknown field", lambda o: o | {"no-such-field": 1}
        for key in schema.get("required", []):
            yield f"no {key}", without(key)
    elif kind == "object":
        yield "a number in a map of strings", {"k": 5}
    if "enum" in schema:
        yield "none of the values", "no-such-value"
    if schema.get("minLength"):
        yield "an empty string", ""
    for key, step in (("minimum", -1), ("maximum", 1)):
        if key in schema:
            yield f"beyond its {key}", schema[key] + step
    if schema.get("minItems"):
        yield "too few", lambda v: v[: schema["minItems"] - 1]
    if schema.get("maxItems", 999) < 999:
        yield "too many", lambda v: v[:1] * (schema["maxItems"] + 1)


def right_ones(schema):
    for key in ("minimum", "maximum"):
        if key in schema:
            yield f"its {key}", schema[key]
    for value in schema.get("enum", []):
        yield "one of the values", value
    if "default" in schema:
        yield "the default", schema["default"]
    if schema.get("maxItems", 999) < 999:
        yield "as many as may be", lambda v: v[:1] * schema["maxItems"]
    for key in schema.get("properties", {}):
        if key not in schema.get("required", []):
            yield f"no {key}", without(key)


def verdicts(ours, kind, schema, cases):
    validator = Draft202012Validator(schema)
    answers = ours(kind, [document for _, document in cases])
    for (name, document), answer in zip(cases, answers, strict=True):
        errors = [e.message for e in validator.iter_errors(document)]
        yield name, errors, answer


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_right_and_wrong(schemas, ours, kind):
    schema = schemas[kind]
    good = sample(schema)
    cases = {"right": [("all fields", good)], "wrong": []}
    for path, inner in places(schema, good):
        name = ".".join(map(str, path))
        cases["wrong"] += [(f"{name}: {what}", put(good, path, v)) for what, v in wrong_ones(inner)]
        cases["right"] += [(f"{name}: {what}", put(good, path, v)) for what, v in right_ones(inner)]
    for name, errors, answer in verdicts(ours, kind, schema, cases["right"]):
        assert (errors, answer) == ([], "ok"), name
    for name, errors, answer in verdicts(ours, kind, schema, cases["wrong"]):
        assert errors, f"{name}: the schema lets it pass"
        assert answer != "ok", f"{name}: {errors}"
    print(kind, {k: len(v) for k, v in cases.items()})


PROBES = {
    "integer": [-(10**6), -91, -1, 0, 1, 14, 101, 257, 65536, 10**10],
    "number": [-1000, -90.5, -1, 0.5, 91, 181, 10**10],
    "array": [lambda v: [], lambda v: v[:1] * 2, lambda v: v[:1] * 20, lambda v: v[:1] * 600],
    "object": [{}],
    "string": ["", "no-such-value"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_both_have_the_same_limits(schemas, ours, kind):
    """Not by the schema's own numbers, so that one which is missing there is seen."""
    schema, cases = schemas[kind], []
    good = sample(schema)
    for path, inner in places(schema, good):
        name = ".".join(map(str, path))
        cases += [(f"{name}: {i}", put(good, path, v)) for i, v in enumerate(PROBES.get(inner["type"], []))]
    for name, errors, answer in verdicts(ours, kind, schema, cases):
        table = "must not be empty" in answer or "is none of" in answer or " missing; " in answer
        by_function = answer != "ok" and not table and '"' in answer.split(": ", 1)[1]
        if not by_function:
            assert (errors == []) == (answer == "ok"), f"{name}: {answer}; {errors}"


def spoilt(r, text):
    """Another string, not far away."""
    n = r.randrange(len(text) + 1)
    letters = "aZ09-_.:/=@ \\é"
    more, less = text[:n] + r.choice(letters) + text[n:], text[:n] + text[n + 1 :]
    return r.choice([more, less, text.upper(), text * 9])


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_accept_the_schema_accepts(schemas, ours, kind):
    """Strings that are nearly right. Where the schema has a pattern, it is also the other way round."""
    r, schema = random.Random(7), schemas[kind]
    good, cases, patterns = sample(schema), [], set()
    for path, inner in places(schema, good):
        if inner["type"] != "string" or "enum" in inner:
            continue
        name = ".".join(map(str, path))
        patterns |= {name} if "pattern" in inner else set()
        cases += [(name, put(good, path, spoilt(r, sample(inner)))) for _ in range(40)]
    accepted = 0
    for name, errors, answer in verdicts(ours, kind, schema, cases):
        accepted += answer == "ok"
        if answer == "ok" or name in patterns:
            assert (errors == []) == (answer == "ok"), f"{name}: {answer}; {errors}"
    assert 0 < accepted < len(cases)


def test_explain_tells_what_the_schema_tells(schemas):
    """Defaults, allowed values and examples, of every field of every kind."""
    for kind, schema in schemas.items():
        for path, inner in places(schema, sample(schema)):
            if "properties" not in inner:
                continue
            text = program("explain", ".".join([kind, *(p for p in path if p != 0)]))
            for name, field in inner["properties"].items():
                told(text, name, field)


def told(text, name, field):
    facts = next(x for x in text.splitlines() if x.startswith(f"  {name} <"))
    of = field["items"] if field["type"] == "array" else field
    examples = [] if field.get("default") else of.get("examples", [])
    for value in of.get("enum", []) + examples:
        assert value in facts
    if "default" in field and field["type"] != "object":
        assert f"default {json.dumps(field['default'])}" in facts
    assert " ".join(field["description"].split()) in " ".join(text.split())
