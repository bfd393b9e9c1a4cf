"""REST/XML of a simulated AWS API, both ways by botocore's model of the service: requests that the model
does not know are refused with an XML Schema's words, as the real one does, and replies hold what the model
says."""

import re
import xml.etree.ElementTree as ET
from urllib.parse import unquote

import botocore.session

from .aws_auth import Refused

INTEGERS = ("integer", "long")


class Model:
    def __init__(self, service, version):
        model = botocore.session.get_session().get_service_model(service, version)
        self.operations = {name: model.operation_model(name) for name in model.operation_names}
        self.namespace = model.metadata.get("xmlNamespace") or next(
            op.input_shape.serialization["xmlNamespace"]["uri"]
            for op in self.operations.values()
            if op.input_shape and "xmlNamespace" in op.input_shape.serialization
        )
        self.routes = [(self.route(op.http["requestUri"]), op) for op in self.operations.values()]

    @staticmethod
    def route(uri):
        return re.compile(re.sub(r"\{(\w+)\+?\}", r"(?P<\1>[^/]+)", uri.split("?")[0].rstrip("/")) + "/?")

    def find(self, request):
        """(operation, what the path says) of a request."""
        for pattern, op in self.routes:
            found = pattern.fullmatch(request.path)
            if found and op.http["method"] == request.method:
                return op, {k: unquote(v) for k, v in found.groupdict().items()}
        raise Refused("UnknownOperationException", "Unknown operation", 404)

    def parse(self, request, strict_order=False):
        """(name of the operation, parameters) of a request."""
        op, path = self.find(request)
        params, query = {}, dict(request.query)
        body = {}
        for name, shape in op.input_shape.members.items():
            where = shape.serialization.get("location")
            wire = shape.serialization.get("name", name)
            if where == "uri":
                params[name] = scalar(shape, path[wire], wire)
            elif where == "querystring" and wire in query:
                params[name] = scalar(shape, query.pop(wire), wire)
            elif where is None:
                body[name] = shape
        if body:
            params.update(Body(self.namespace, strict_order).parse(op, body, request.body))
        missing = [n for n in op.input_shape.required_members if n not in params]
        if missing:
            raise Refused("InvalidInput", f"Missing required parameter: {missing[0]}")
        return op.name, params

    def render(self, name, data):
        """(status, headers, XML) of a reply."""
        op = self.operations[name]
        headers, body = {}, dict(data)
        for member, shape in op.output_shape.members.items():
            if shape.serialization.get("location") == "header" and member in body:
                headers[shape.serialization["name"]] = body.pop(member)
        root = ET.Element(op.output_shape.name, xmlns=self.namespace)
        write_structure(root, op.output_shape, body)
        return op.http.get("responseCode", 200), headers, to_bytes(root)


class Body:
    """The XML of one request."""

    def __init__(self, namespace, strict_order):
        self.namespace, self.strict_order = namespace, strict_order

    def parse(self, op, members, data):
        want = op.input_shape.serialization["name"]
        try:
            root = ET.fromstring(data)
        except ET.ParseError as e:
            raise Refused("MalformedInput", f"Unexpected list element termination: {e}") from None
        if root.tag != f"{{{self.namespace}}}{want}":
            raise Refused("MalformedInput", f"{local(root)} is not valid, expected {want}")
        required = [n for n in op.input_shape.required_members if n in members]
        return self.structure(root, members, required)

    def structure(self, node, members, required):
        names = {s.serialization.get("name", n): n for n, s in members.items()}
        order, out = list(names), {}
        at = 0
        for child in node:
            wire = local(child)
            if child.tag != f"{{{self.namespace}}}{wire}" or wire not in names or names[wire] in out:
                raise invalid_content(child, self.namespace, order)
            if self.strict_order and order.index(wire) < at:
                raise invalid_content(child, self.namespace, order[at:])
            at = order.index(wire)
            out[names[wire]] = self.value(child, members[names[wire]])
        missing = [w for w, n in names.items() if n in required and n not in out]
        if missing:
            raise incomplete(node, self.namespace, missing)
        return out

    def value(self, node, shape):
        if shape.type_name == "structure":
            return self.structure(node, shape.members, shape.required_members)
        if shape.type_name == "list":
            return self.items(node, shape)
        if len(node):
            raise invalid("2.3", f"Element '{local(node)}' cannot have character [children]")
        return scalar(shape, node.text or "", local(node))

    def items(self, node, shape):
        wire = shape.member.serialization.get("name", "member")
        for child in node:
            if child.tag != f"{{{self.namespace}}}{wire}":
                raise invalid_content(child, self.namespace, [wire])
        if len(node) < shape.metadata.get("min", 0):
            raise incomplete(node, self.namespace, [wire])
        if len(node) > shape.metadata.get("max", len(node)):
            raise invalid("2.4.f", f"'{local(node)}' can occur a maximum of '{shape.metadata['max']}' times")
        return [self.value(child, shape.member) for child in node]


def scalar(shape, text, wire):
    if shape.type_name in INTEGERS:
        return number(shape, text, wire)
    if shape.type_name == "boolean":
        if text not in ("true", "false", "1", "0"):
            raise simple("datatype-valid.1.2.1", text, "is not a valid value for 'boolean'", wire)
        return text in ("true", "1")
    meta = shape.metadata
    if getattr(shape, "enum", None) and text not in shape.enum:
        raise simple("enumeration-valid", text, f"is not facet-valid with enumeration '{shape.enum}'", wire)
    if not meta.get("min", 0) <= len(text) <= meta.get("max", len(text)):
        raise simple("length-valid", text, f"with length = '{len(text)}' is not facet-valid", wire)
    if "pattern" in meta and not re.fullmatch(meta["pattern"], text):
        raise simple("pattern-valid", text, "is not facet-valid with respect to pattern", wire)
    return text


def write_structure(node, shape, data):
    missing = [n for n in shape.required_members if n not in data and location(shape, n) != "header"]
    if missing or not set(data) <= set(shape.members):
        raise AssertionError(f"the simulator's {shape.name} lacks {missing} or has more: {sorted(data)}")
    for name, member in shape.members.items():
        if name in data:
            write(node, member.serialization.get("name", name), member, data[name])


def location(shape, name):
    return shape.members[name].serialization.get("location")


def write(parent, wire, shape, value):
    node = ET.SubElement(parent, wire)
    if shape.type_name == "structure":
        write_structure(node, shape, value)
    elif shape.type_name == "list":
        for item in value:
            write(node, shape.member.serialization.get("name", "member"), shape.member, item)
    elif isinstance(value, bool):
        node.text = "true" if value else "false"
    else:
        node.text = str(value)


def to_bytes(root):
    return b'<?xml version="1.0"?>\n' + ET.tostring(root)


def local(node):
    return node.tag.rpartition("}")[2]


def invalid(rule, text):
    where = "Invalid XML ; javax.xml.stream.XMLStreamException: org.xml.sax.SAXParseException"
    return Refused("InvalidInput", f"{where}; cvc-complex-type.{rule}: {text}.")


def one_of(namespace, names):
    return "One of '{" + ", ".join(f'"{namespace}":{n}' for n in names) + "}' is expected"


def invalid_content(child, namespace, names):
    text = f"Invalid content was found starting with element '{local(child)}'"
    return invalid("2.4.a", f"{text}. {one_of(namespace, names)}")


def incomplete(node, namespace, names):
    text = f"The content of element '{local(node)}' is not complete"
    return invalid("2.4.b", f"{text}. {one_of(namespace, names)}")


def simple(rule, text, why, wire):
    return Refused("InvalidInput", f"Invalid XML ; cvc-{rule}: Value '{text}' {why} for '{wire}'.")


def number(shape, text, wire):
    if not re.fullmatch(r"[-+]?\d+", text):
        raise simple("datatype-valid.1.2.1", text, "is not a valid value for 'integer'", wire)
    value, meta = int(text), shape.metadata
    if value < meta.get("min", value):
        raise simple("minInclusive-valid", text, f"is not facet-valid: at least '{meta['min']}'", wire)
    if value > meta.get("max", value):
        raise simple("maxInclusive-valid", text, f"is not facet-valid: at most '{meta['max']}'", wire)
    return value
