"""Google's discovery documents, as google-api-python-client ships them: which methods there are, and what
requests and replies look like. Refusals have the form that Google's front end gives them."""

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import googleapiclient.discovery_cache

from sim.server import Reply

DOCUMENTS = Path(googleapiclient.discovery_cache.__file__).parent / "documents"
JSON = {"Content-Type": "application/json; charset=UTF-8"}
RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


class Refusal(Exception):
    """What an API says no with. Errors are (reason, message) pairs; the first is the reply's message."""

    def __init__(self, code, *errors, status=None, domain="global", headers=None):
        super().__init__(code, errors)
        self.code, self.errors, self.status, self.domain = code, errors, status, domain
        self.headers = headers or {}

    def reply(self):
        errors = [{"message": m, "domain": self.domain, "reason": r} for r, m in self.errors]
        error = {"code": self.code, "message": self.errors[0][1], "errors": errors}
        if self.status:
            error["status"] = self.status
        return Reply(self.code, json.dumps({"error": error}).encode(), JSON | self.headers)


def malformed(message):
    return Refusal(400, ("badRequest", message), status="INVALID_ARGUMENT")


@dataclass
class Method:
    """One method of a document: {"httpMethod", "parameters", "request", "response", "scopes", ...}."""

    id: str
    verb: str
    pattern: re.Pattern
    spec: dict
    document: "Document"
    names: list = field(default_factory=list)


class Document:
    def __init__(self, name):
        self.doc = json.loads((DOCUMENTS / f"{name}.json").read_text())
        self.schemas, self.methods = self.doc["schemas"], []
        self.walk(self.doc["resources"])

    def walk(self, resources):
        for resource in resources.values():
            self.walk(resource.get("resources", {}))
            for spec in resource.get("methods", {}).values():
                path = "/" + self.doc["servicePath"] + spec["flatPath"]
                names = re.findall(r"{(\w+)}", path)
                pattern = re.compile(re.sub(r"\\{\w+\\}", "([^/:]+)", re.escape(path)))
                self.methods.append(Method(spec["id"], spec["httpMethod"], pattern, spec, self, names))

    def find(self, verb, path):
        """(Method, its path's parameters, still encoded), or None."""
        for m in self.methods:
            found = m.pattern.fullmatch(path) if m.verb == verb else None
            if found:
                return m, dict(zip(m.names, found.groups(), strict=True))
        return None

    def query(self, method, query):
        known = method.spec.get("parameters", {}) | self.doc["parameters"]
        for name, text in query.items():
            spec = known.get(name)
            if not spec or spec["location"] != "query":
                text = f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
                raise malformed(text)
            number = re.fullmatch(r"-?\d+", text) and int(text)
            wrong = spec["type"] == "integer" and (number is None or not in_range(spec, number))
            wrong = wrong or spec["type"] == "boolean" and text not in ("true", "false")
            if wrong or text not in spec.get("enum", [text]):
                raise malformed(f"Invalid value at '{name}' ({spec['type']}), \"{text}\"")

    def numbers(self, spec, value):
        """A request's value with "300" made 300 where a number belongs, as proto3's JSON has it."""
        spec = self.schemas[spec["$ref"]] if "$ref" in spec else spec
        if isinstance(value, dict):
            inner = spec.get("properties", {})
            return {k: self.numbers(inner.get(k, {}), v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.numbers(spec.get("items", {}), x) for x in value]
        text = spec.get("type") == "integer" and isinstance(value, str)
        return int(value) if text and re.fullmatch(r"-?[0-9]{1,20}", value) else value

    def faults(self, spec, value, where=""):
        """What is wrong with a value, in the words of Google's front end; yields nothing for a good one."""
        if "$ref" in spec:
            spec = self.schemas[spec["$ref"]]
        kind = spec.get("type")
        if kind == "object":
            yield from self.object_faults(spec, value, where)
        elif kind == "array":
            if not isinstance(value, list):
                yield invalid(where, "list", value)
                return
            for i, x in enumerate(value):
                yield from self.faults(spec["items"], x, f"{where}[{i}]")
        elif not scalar_ok(spec, kind, value):
            yield invalid(where, spec.get("format", kind), value)

    def object_faults(self, spec, value, where):
        if not isinstance(value, dict):
            yield invalid(where, spec.get("id", "object"), value)
            return
        for k, v in value.items():
            inner = spec.get("properties", {}).get(k) or spec.get("additionalProperties")
            if not inner:
                at = f" at '{where}'" if where else ""
                yield f'Invalid JSON payload received. Unknown name "{k}"{at}: Cannot find field.'
            else:
                yield from self.faults(inner, v, f"{where}.{k}" if where else k)


def invalid(where, kind, value):
    return f"Invalid value at '{where}' ({kind}), {json.dumps(value)}"


def in_range(spec, number):
    low, high = RANGES.get(spec.get("format"), (None, None))
    return low is None or low <= number <= high


def scalar_ok(spec, kind, value):
    if kind == "string":
        if not isinstance(value, str) or value not in spec.get("enum", [value]):
            return False
        if spec.get("format") in RANGES:
            return bool(re.fullmatch(r"-?\d+", value)) and in_range(spec, int(value))
        return True
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "integer":
        return isinstance(value, int) and in_range(spec, value)
    return kind == "any" or kind == "number" and isinstance(value, int | float)


@cache
def document(name):
    return Document(name)
