"""Google Cloud DNS for tests: its API (dns/v1), the global health checks of Compute Engine (compute/v1),
Google's token endpoint and metadata server, and the name servers.

    with CloudDns(zones={"zone-name": "example.com"}) as sim:
        sim.url             root of all: /dns/v1/..., /compute/v1/..., /token, /computeMetadata/v1/...
        sim.names.port      one server for all four name servers of a zone (UDP and TCP)
        sim.down            addresses whose health checks fail
        sim.pending         seconds that a change or an operation stays pending
        sim.lag             seconds until the name servers have a change, be it pending or done
        sim.deny            permissions (dns.changes.create) that the caller lacks
        sim.per_minute      calls in a minute, then 429; None for any number
        sim.fault(...)      see sim.server; the replies EXHAUSTED, LIMITED and UNAVAILABLE are made for it

Each request, and each reply before it leaves, is checked against Google's discovery documents; a reply
that fails is a 500, and the test fails when it leaves the `with`."""

import json
import time
from urllib.parse import unquote

from sim.clouddns_answer import Answers
from sim.clouddns_rules import LIMITS, TYPES, limit
from sim.clouddns_zone import PAGE, Zone
from sim.gcp_auth import Identity
from sim.gcp_health import HealthChecks
from sim.gcp_schema import JSON, Refusal, document, malformed
from sim.names import Names
from sim.server import Api, Reply

# The permission that a method needs, where it is not the method's own name
# (docs.cloud.google.com/dns/docs/access-control, cloud.google.com/compute/docs/access/iam).
PERMISSIONS = {
    "compute.healthChecks.insert": "compute.healthChecks.create",
    "compute.healthChecks.patch": "compute.healthChecks.update",
    "compute.globalOperations.wait": "compute.globalOperations.get",
}
# kubernetes-sigs/external-dns#1710 (429), Compute's own 403, and Google's form of a 503.
BUSY = Refusal(
    429, ("rateLimitExceeded", "Resource has been exhausted (e.g. check quota)."), status="RESOURCE_EXHAUSTED"
)
RATE = Refusal(403, ("rateLimitExceeded", "Rate Limit Exceeded"), domain="usageLimits")
NOWHERE = b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>"  # of a path that no API has
AWAY = Refusal(503, ("backendError", "The service is currently unavailable."), status="UNAVAILABLE")


def EXHAUSTED(request):
    return BUSY.reply()


def LIMITED(request):
    return RATE.reply()


def UNAVAILABLE(request):
    return AWAY.reply()


class CloudDns(Api):
    """zones: {name of the managed zone: its DNS name}; signed: names of those with DNSSEC."""

    def __init__(self, zones, project="p", signed=(), cert=None):
        super().__init__(cert)
        self.project, self.down, self.deny, self.calls = project, set(), set(), []
        self.pending, self.lag, self.per_minute, self.violations = 0, 0, None, []
        numbered = enumerate(zones.items(), 7000000000000000001)
        self.zones = {name: Zone(name, at, n, name in signed) for n, (name, at) in numbered}
        self.identity = Identity(self.url, project)
        self.service_account = self.identity.service_account
        self.authorized_user = self.identity.authorized_user
        self.expire_tokens = self.identity.expire
        self.health = HealthChecks(project, self.user_of)
        self.health_checks = self.health.checks
        self.answers = Answers(self.zones, lambda: self.down)
        self.names = Names(self.answer)

    def __enter__(self):
        self.names.__enter__()
        return super().__enter__()

    def __exit__(self, *exc):
        self.names.__exit__(*exc)
        super().__exit__(*exc)
        assert exc[0] or not self.violations, self.violations

    def answer(self, qname, qtype, client):
        with self.lock:
            return self.answers.answer(qname, qtype, client)

    def rrsets(self, zone):
        """{(name, type): rrset}, as the API shows them."""
        return dict(self.zones[zone].rrsets)

    def user_of(self, link):
        for zone in self.zones.values():
            for (name, kind), value in zone.rrsets.items():
                if value.get("routingPolicy", {}).get("healthCheck", "").endswith("/" + link):
                    return f"projects/{self.project}/managedZones/{zone.name}/rrsets/{name}/{kind}"
        return None

    def handle(self, request):
        if request.path == "/token":
            with self.lock:
                return self.identity.token(request)
        if request.path == "/" or request.path.startswith("/computeMetadata/"):
            with self.lock:
                return self.identity.metadata(request)
        return self.api(request)

    def api(self, request):
        method, params = None, {}
        for name in ("dns.v1", "compute.v1"):
            method, params = document(name).find(request.method, request.path) or (method, params)
        if not method:
            return Reply(404, NOWHERE, {"Content-Type": "text/html; charset=UTF-8"})
        params = {k: unquote(v) for k, v in params.items()}
        try:
            with self.lock:
                self.admit(method, request, params)
                body = self.body_of(method, request)
                value = self.call(method, params, request.query, body)
            return self.checked(method, request, value)
        except Refusal as e:
            return e.reply()

    def admit(self, method, request, params):
        """Token, scope, quota, permission, project, and the query; in this order."""
        self.identity.check(request, method.spec["scopes"])
        now = time.monotonic()
        self.calls = [t for t in self.calls if t > now - 60] + [now]
        if self.per_minute is not None and len(self.calls) > self.per_minute:
            raise BUSY
        self.permit(PERMISSIONS.get(method.id, method.id), method.id, params)
        if params["project"] != self.project:
            self.forbid(PERMISSIONS.get(method.id, method.id), params)
        method.document.query(method, request.query)

    def permit(self, permission, method, params):
        if self.deny & {permission, method}:
            self.forbid(permission, params)

    def forbid(self, permission, params):
        """hashicorp/terraform-provider-google#9468; Compute names what is lacking."""
        text = "Forbidden"
        if permission.startswith("compute."):
            tail = f"/global/healthChecks/{params['healthCheck']}" if "healthCheck" in params else ""
            text = f"Required '{permission}' permission for 'projects/{params['project']}{tail}'"
        raise Refusal(403, ("forbidden", text))

    def body_of(self, method, request):
        spec = method.spec.get("request")
        if not spec:
            return None
        try:
            body = method.document.numbers(spec, json.loads(request.body or b"{}"))
        except ValueError:
            raise malformed("Invalid JSON payload received.") from None
        faults = list(method.document.faults(spec, body))
        if faults:
            raise malformed("\n".join(faults))
        return body

    def checked(self, method, request, value):
        faults = list(method.document.faults(method.spec["response"], value))
        if faults:
            self.violations.append(f"{method.id}: {faults}")
            raise Refusal(500, ("internalError", str(faults)))
        if "fields" in request.query:  # of the top level, as google-cloud-dns asks
            value = {k: v for k, v in value.items() if k in request.query["fields"].split(",")}
        return Reply(200, json.dumps(value).encode(), JSON)

    def call(self, method, params, query, body):
        hc, zone = self.health, None
        hc.pending = self.pending
        if "managedZone" in params:
            zone = self.zone(params["managedZone"])
        calls = {
            "dns.projects.get": self.show_project,
            "dns.managedZones.list": lambda: self.list_zones(query),
            "dns.managedZones.get": lambda: zone.shown(),
            "dns.changes.create": lambda: self.create_change(zone, body, query, params),
            "dns.changes.get": lambda: self.get_change(zone, params["changeId"]),
            "dns.changes.list": lambda: self.list_changes(zone, query),
            "dns.resourceRecordSets.list": lambda: self.list_rrsets(zone, query),
            "dns.resourceRecordSets.get": lambda: self.get_rrset(zone, params),
            "compute.healthChecks.insert": lambda: hc.once(query, lambda: hc.insert(body)),
            "compute.healthChecks.get": lambda: hc.find(params),
            "compute.healthChecks.list": lambda: hc.list(query),
            "compute.healthChecks.update": lambda: hc.once(query, lambda: hc.update(params, body, "update")),
            "compute.healthChecks.patch": lambda: hc.once(query, lambda: hc.update(params, body, "patch")),
            "compute.healthChecks.delete": lambda: hc.once(query, lambda: hc.delete(params)),
            "compute.globalOperations.get": lambda: hc.get_operation(params),
            "compute.globalOperations.wait": lambda: hc.get_operation(params),
        }
        if method.id not in calls:
            raise Refusal(501, ("notImplemented", f"{method.id} is not simulated"))
        return calls[method.id]()

    def zone(self, text):
        """By its name or its number."""
        for zone in self.zones.values():
            if text in (zone.name, str(zone.number)):
                return zone
        text = f"The 'parameters.managedZone' resource named '{text}' does not exist."
        raise Refusal(404, ("notFound", text))

    def show_project(self):
        quota = {"kind": "dns#quota"} | {k: limit(k) for k in LIMITS}
        return {"kind": "dns#project", "id": self.project, "number": "123456789012", "quota": quota}

    def create_change(self, zone, body, query, params):
        """A clientOperationId "must be unique for operation resources"; what a second one gets is not
        documented, here a 409, so that no client relies on it."""
        for verb, permission in (("additions", "create"), ("deletions", "delete")):
            if body.get(verb):
                name = f"dns.resourceRecordSets.{permission}"
                self.permit(name, name, params)
        operation = query.get("clientOperationId")
        if operation and operation in zone.operations:
            text = f"The resource 'parameters.clientOperationId' named '{operation}' already exists"
            raise Refusal(409, ("alreadyExists", text))
        change = zone.apply(body, self.project, self.health_checks, self.pending, self.lag)
        zone.operations |= {operation} if operation else set()
        return change

    def get_change(self, zone, number):
        if not number.isdigit() or int(number) >= len(zone.changes):
            text = f"The 'parameters.changeId' resource named '{number}' does not exist."
            raise Refusal(404, ("notFound", text))
        return zone.change(int(number))

    def list_zones(self, query):
        zones = [self.zones[x].shown() for x in sorted(self.zones)]
        if "dnsName" in query:
            zones = [z for z in zones if z["dnsName"] == query["dnsName"]]
        return page("managedZones", "dns#managedZonesListResponse", zones, query)

    def list_changes(self, zone, query):
        changes = [zone.change(n) for n in range(len(zone.changes))]
        if query.get("sortOrder") == "descending":
            changes.reverse()
        return page("changes", "dns#changesListResponse", changes, query)

    def list_rrsets(self, zone, query):
        if "filter" in query:
            raise Refusal(501, ("notImplemented", "filter is not simulated"))
        name, kind = query.get("name"), query.get("type")
        if kind is not None and name is None:
            raise Refusal(400, ("invalid", "Invalid value for 'parameters.name': ''"))
        if name is not None and not name.endswith("."):
            raise Refusal(400, ("invalid", f"Invalid value for 'parameters.name': '{name}'"))
        if kind is not None and kind not in TYPES:
            raise Refusal(400, ("invalid", f"Invalid value for 'parameters.type': '{kind}'"))
        found = [x for x in zone.sorted() if name in (None, x["name"]) and kind in (None, x["type"])]
        return page("rrsets", "dns#resourceRecordSetsListResponse", found, query)

    def get_rrset(self, zone, params):
        found = zone.rrsets.get((params["name"].lower(), params["type"]))
        if not found:
            label = f"{params['name']} ({params['type']})"
            text = f"The 'parameters.name' resource named '{label}' does not exist."
            raise Refusal(404, ("notFound", text))
        return found


def page(key, kind, items, query):
    """One page of a list. The token is opaque to clients: where the next page begins."""
    size, token = int(query.get("maxResults", PAGE)), query.get("pageToken", "0")
    if size <= 0:
        raise Refusal(400, ("invalid", f"Invalid value for 'parameters.maxResults': '{size}'"))
    if not token.isdigit():
        raise Refusal(400, ("invalid", f"Invalid value for 'parameters.pageToken': '{token}'"))
    begin = int(token)
    found = {"kind": kind, key: items[begin : begin + size]}
    if begin + size < len(items):
        found["nextPageToken"] = str(begin + size)
    return found
