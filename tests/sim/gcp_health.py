"""Global health checks of Compute Engine, and the operations that make them.

[disc] descriptions of HealthCheck in the discovery document; [log] recorded at the real API,
GoogleCloudPlatform/k8s-config-connector .../computehealthcheck/globalcomputehealthchecksourceregions;
[ref] cloud.google.com/compute/docs/reference/rest/v1/healthChecks; [guess] no source found."""

import re
import time
from datetime import UTC, datetime

from sim.clouddns_rules import LEAST_INTERVAL, REGIONS, SOURCE_REGIONS
from sim.gcp_schema import Refusal

LINKS = "https://www.googleapis.com/compute/v1/"
NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NUMBERS = {  # field: least, most, default [ref]
    "checkIntervalSec": (1, 300, 5),
    "timeoutSec": (1, 300, 5),
    "healthyThreshold": (1, 10, 2),
    "unhealthyThreshold": (1, 10, 2),
}
BLOCKS = {  # type: its field, default port
    "HTTP": ("httpHealthCheck", 80),
    "HTTPS": ("httpsHealthCheck", 443),
    "HTTP2": ("http2HealthCheck", 443),
    "TCP": ("tcpHealthCheck", 80),
    "SSL": ("sslHealthCheck", 443),
    "GRPC": ("grpcHealthCheck", None),
    "GRPC_WITH_TLS": ("grpcTlsHealthCheck", None),
}
FROM_REGIONS = ("HTTP", "HTTPS", "TCP")  # [disc]
PAGE = 500  # [disc] maxResults


def bad(field, value, why=""):
    text = f"Invalid value for field 'resource.{field}': '{value}'. {why}".rstrip()
    return Refusal(400, ("invalid", text))


def stamp():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+00:00"


def completed(body):
    """A health check with its defaults, or a refusal."""
    check = {k: v for k, v in body.items() if v is not None}
    if not NAME.fullmatch(check.get("name", "")):
        why = f"Must be a match of regex '{NAME.pattern}'"
        raise bad("name", check.get("name", ""), why)
    for field, (least, most, default) in NUMBERS.items():
        if not least <= check.setdefault(field, default) <= most:
            why = f"Must be greater than or equal to {least} and less than or equal to {most}"
            raise bad(field, check[field], why)
    if check["timeoutSec"] > check["checkIntervalSec"]:
        raise bad("timeoutSec", check["timeoutSec"], "Must not be greater than checkIntervalSec")
    field, port = BLOCKS.get(check.get("type"), (None, None))
    if not field:
        raise bad("type", check.get("type", ""))
    others = [x for x, _ in BLOCKS.values() if x != field and x in check]
    if field not in check or others:
        raise bad(
            others[0] if others else field, "", f"Exactly the one of type {check['type']} must be given"
        )
    block = check[field] = dict(check[field])
    if port:
        block.setdefault("port", port)
        block.setdefault("proxyHeader", "NONE")
    if "http" in field:
        block.setdefault("requestPath", "/")
    if port and not 1 <= block["port"] <= 65535:
        raise bad(f"{field}.port", block["port"])
    if check.get("sourceRegions"):
        from_regions(check, field, block)
    return check


def from_regions(check, field, block):
    regions = check["sourceRegions"]
    known = set(regions) <= set(REGIONS)
    if len(set(regions)) != len(regions) or len(regions) != SOURCE_REGIONS or not known:
        raise bad("sourceRegions", ",".join(regions), f"Exactly {SOURCE_REGIONS} regions must be given")
    if check["checkIntervalSec"] < LEAST_INTERVAL:
        why = f"Must be at least {LEAST_INTERVAL} with source regions"
        raise bad("checkIntervalSec", check["checkIntervalSec"], why)
    if check["type"] not in FROM_REGIONS:
        raise bad("type", check["type"], "Not supported with source regions")
    if block["proxyHeader"] != "NONE":  # "NONE" itself is taken [log]
        raise bad(f"{field}.proxyHeader", block["proxyHeader"], "Not supported with source regions")
    if block.get("request"):
        raise bad(f"{field}.request", block["request"], "Not supported with source regions")


class HealthChecks:
    """used(link) tells whether an rrset has the health check with this path."""

    def __init__(self, project, used):
        self.project, self.used, self.pending = project, used, 0
        self.checks, self.operations, self.by_request, self.number = {}, {}, {}, 10**18

    def path(self, name):
        return f"projects/{self.project}/global/healthChecks/{name}"

    def next(self):
        self.number += 1
        return str(self.number)

    def operation(self, kind, check):
        name = f"operation-{self.next()}"
        op = {
            "kind": "compute#operation",
            "id": self.next(),
            "name": name,
            "operationType": kind,
            "targetLink": LINKS + self.path(check["name"]),
            "targetId": check["id"],
            "user": f"kubecdn@{self.project}.iam.gserviceaccount.com",
            "insertTime": stamp(),
            "startTime": stamp(),
            "selfLink": f"{LINKS}projects/{self.project}/global/operations/{name}",
        }
        self.operations[name] = op, time.monotonic() + self.pending
        return self.state(name)

    def state(self, name):
        op, until = self.operations[name]
        if time.monotonic() < until:
            return op | {"status": "RUNNING", "progress": 0}
        return op | {"status": "DONE", "progress": 100, "endTime": stamp()}

    def get_operation(self, params):
        for op, _ in self.operations.values():
            if params["operation"] in (op["name"], op["id"]):
                return self.state(op["name"])
        text = f"The resource 'projects/{self.project}/global/operations/{params['operation']}' was not found"
        raise Refusal(404, ("notFound", text))

    def find(self, params):
        check = self.checks.get(params["healthCheck"])
        if not check:
            text = f"The resource '{self.path(params['healthCheck'])}' was not found"
            raise Refusal(404, ("notFound", text))
        return check

    def once(self, query, do):
        """requestId: a repeated request gives the first one's operation [ref]."""
        request = query.get("requestId")
        if request is None:
            return do()
        if not UUID.fullmatch(request) or not request.strip("0-"):
            text = f"Invalid value for field 'requestId': '{request}'. Must be a UUID"
            raise Refusal(400, ("invalid", text))
        if request in self.by_request:
            return self.state(self.by_request[request])
        op = do()
        self.by_request[request] = op["name"]
        return op

    def insert(self, body):
        check = completed(body)
        if check["name"] in self.checks:
            text = f"The resource '{self.path(check['name'])}' already exists"
            raise Refusal(409, ("alreadyExists", text))
        made = {"kind": "compute#healthCheck", "id": self.next(), "creationTimestamp": stamp()}
        made["selfLink"] = LINKS + self.path(check["name"])
        self.checks[check["name"]] = check | made
        return self.operation("insert", self.checks[check["name"]])

    def update(self, params, body, kind):
        """PUT puts all anew, PATCH what it names. Whether there are source regions stays as it was: "Source
        region list must stay empty" (found in hemnathworld/aws_playground), the converse is a [guess]."""
        old = self.find(params)
        fixed = {k: old[k] for k in ("kind", "id", "creationTimestamp", "selfLink", "name")}
        if body.get("name", old["name"]) != old["name"]:
            raise bad("name", body["name"], "Must be the name of the resource")
        new = completed((old if kind == "patch" else {}) | body | {"name": old["name"]})
        regions = ",".join(new.get("sourceRegions", []))
        if bool(regions) != bool(old.get("sourceRegions")):
            state = "not become" if old.get("sourceRegions") else "stay"
            raise bad("sourceRegions", regions, f"Source region list must {state} empty.")
        self.checks[old["name"]] = new | fixed
        return self.operation(kind, old)

    def delete(self, params):
        check = self.find(params)
        user = self.used(self.path(check["name"]))
        if user:  # [guess], as of other users of a health check
            text = f"The health_check resource '{self.path(check['name'])}' is already being used by '{user}'"
            raise Refusal(400, ("resourceInUseByAnotherResource", text))
        del self.checks[check["name"]]
        return self.operation("delete", check)

    def list(self, query):
        keep = matcher(query.get("filter", ""))
        names = [x for x in sorted(self.checks) if keep(self.checks[x])]
        size = int(query.get("maxResults", PAGE))
        if not 0 <= size <= PAGE:
            text = f"Invalid value for field 'maxResults': '{size}'. Must be in 0..{PAGE}"
            raise Refusal(400, ("invalid", text))
        names = [x for x in names if x > query.get("pageToken", "")]
        page = names[: size or PAGE]
        found = {"kind": "compute#healthCheckList", "id": f"projects/{self.project}/global/healthChecks"}
        found["selfLink"] = LINKS + found["id"]
        if page:
            found["items"] = [self.checks[x] for x in page]
        if len(page) < len(names):
            found["nextPageToken"] = page[-1]
        return found


def matcher(text):
    """`name eq REGEX`, `name ne REGEX`, `name = TEXT`, `name != TEXT`, of [disc]'s filter."""
    found = re.fullmatch(r'\s*\(?\s*(\w+)\s*( eq | ne |!=|=)\s*["\']?([^"\']*?)["\']?\s*\)?\s*', text)
    if not text:
        return lambda check: True
    if not found:
        why = "Invalid list filter expression."
        raise Refusal(400, ("invalid", f"Invalid value for field 'filter': '{text}'. {why}"))
    field, op, value = found[1], found[2].strip(), found[3]
    pattern = re.compile(value if op in ("eq", "ne") else re.escape(value))
    return lambda check: bool(pattern.fullmatch(str(check.get(field, "")))) == (op in ("eq", "="))
