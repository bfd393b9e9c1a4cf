"""Azure DNS, Traffic Manager, Microsoft Entra's token endpoint and IMDS in one process.

    with AzureDns(folder, zones=["example.com"]) as sim:
        sim.url          # Resource Manager and login authority, https; sim.ca_file verifies it
                         # (with tls=False http, for programs that trust the system's CAs only)
        sim.imds_url     # the same, plain http: what stands at 169.254.169.254
        sim.names.port   # name server of the zones and of *.trafficmanager.test, with client subnet
        sim.tenant, sim.client_id, sim.client_secret, sim.certificate, sim.federated_token()
        sim.down.add("192.0.2.1")     # probes of Traffic Manager fail; sim.unprobed: CheckingEndpoint
        sim.deny.add("Microsoft.Network/dnsZones/A/write")
        sim.fault(...), sim.throttle(...), sim.expire_tokens(), sim.requests
        sim.rrsets("example.com"), sim.profiles

What it refuses and in which words is in azure_records and azure_traffic, limits with their sources in
azure_limits. Probes take no time: an endpoint is down or up from one query to the next."""

import json
from pathlib import Path

import azure.mgmt.dns.v2018_05_01.models as dns_models
import azure.mgmt.trafficmanager.models as tm_models

from lab.ca import Ca
from sim.azure_answers import Answers
from sim.azure_entra import Entra
from sim.azure_errors import Refused, answer, throttled
from sim.azure_limits import DNS_API, TM_API
from sim.azure_records import Zone, record_type, texts
from sim.azure_routing import Routing
from sim.azure_schema import Wrong, reply_body, request_body
from sim.azure_traffic import Traffic, endpoint_kind
from sim.names import Names
from sim.server import Api

DOMAIN = "trafficmanager.test"
SUBSCRIPTION = "5b7a2d5e-2b2f-4ab0-9d3e-0c6a3d1a7f11"
SERVERS = [f"ns{n}-01.azure-dns.test." for n in (1, 2, 3, 4)]
VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}


def server_certificate(folder):
    """A PEM file with certificate and key for 127.0.0.1, and the CA's file."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ca = Ca(folder)
    ca.run(
        *"req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout s.key -out s.csr".split(),
        "-subj",
        "/CN=127.0.0.1",
    )
    pem = ca.sign((folder / "s.csr").read_text(), {"sans": ["127.0.0.1", "localhost"], "uses": ["server"]})
    (folder / "server.pem").write_text(pem + (folder / "s.key").read_text())
    return folder / "server.pem", folder / "ca.crt"


class Imds(Api):
    """The metadata service of a virtual machine: plain HTTP."""

    def __init__(self, entra):
        super().__init__()
        self.entra = entra

    def handle(self, request):
        if request.path != "/metadata/identity/oauth2/token":
            return answer(404)
        with self.lock:
            return self.entra.managed(request)


class AzureDns(Api):
    def __init__(self, folder, zones=(), subscription=SUBSCRIPTION, group="dns", tls=True):
        cert, ca_file = server_certificate(folder) if tls else (None, None)
        super().__init__(cert)
        self.ca_file, self.subscription, self.group = str(ca_file), subscription, group
        self.place = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network"
        self.down, self.unprobed, self.deny = set(), set(), set()
        self.traffic = Traffic(self.place, DOMAIN)
        self.routing = Routing(self.traffic, self.down, self.unprobed)
        self.zones = {z: Zone(z, self.place, SERVERS, self.traffic.by_id) for z in zones}
        self.answers = Answers(self.zones, self.traffic, self.routing)
        self.names = Names(self.name_query)
        self.entra = Entra(Path(folder), self.url)
        self.tenant, self.client_id = self.entra.tenant, self.entra.client_id
        self.client_secret, self.certificate = self.entra.client_secret, str(self.entra.certificate)
        self.federated_token, self.expire_tokens = self.entra.federated_token, self.entra.expire
        self.imds = Imds(self.entra)
        self.imds_url = self.imds.url

    def __enter__(self):
        self.names.__enter__()
        self.imds.__enter__()
        return super().__enter__()

    def __exit__(self, *exc):
        self.names.__exit__(*exc)
        self.imds.__exit__(*exc)
        super().__exit__(*exc)

    @property
    def profiles(self):
        """{name: resource} as the API shows them."""
        with self.lock:
            return {p.name: self.routing.resource(p) for p in self.traffic.profiles.values()}

    def rrsets(self, zone):
        """{(name, type): (TTL, [record as in a zone file])}; an alias has the id of its target."""
        out = {}
        with self.lock:
            for (name, kind), found in self.zones[zone].sets.items():
                fqdn = f"{zone}." if name == "@" else f"{name}.{zone}."
                p = found["properties"]
                values = [p["targetResource"]["id"]] if "targetResource" in p else texts(kind, p)
                out[fqdn, kind] = (p["TTL"], values)
        return out

    def throttle(self, match, times=1, seconds=1, action="Microsoft.Network/dnsZones/A/write"):
        self.fault(match, lambda request: throttled(action, seconds).reply(), times)

    def name_query(self, qname, qtype, client):
        with self.lock:
            return self.answers(qname, qtype, client)

    def handle(self, request):
        with self.lock:
            try:
                first = request.parts[0].lower()
                if first == "metadata":
                    return self.entra.managed(request)
                if first not in ("subscriptions", "providers"):
                    return self.entra.handle(request)
                self.entra.authorize(request.headers)
                return self.manage(request)
            except Refused as e:
                return e.reply()
            except Wrong as e:
                return answer(500, {"error": {"code": "SimulatorBroken", "message": str(e)}})

    def manage(self, request):
        """Resource Manager: checks of the path and the caller, then the resource providers."""
        parts = request.parts
        if parts[0].lower() == "providers":
            return self.check_name(request, parts)
        if len(parts) < 4:
            raise Refused(404, "InvalidResourceType", "The resource type could not be found.")
        if parts[1].lower() != self.subscription.lower():
            raise Refused(404, "SubscriptionNotFound", f"The subscription '{parts[1]}' could not be found.")
        if parts[2].lower() == "resourcegroups":
            if parts[3].lower() != self.group.lower():
                raise Refused(
                    404, "ResourceGroupNotFound", f"Resource group '{parts[3]}' could not be found."
                )
            rest = parts[4:]
        else:
            rest = parts[2:]
        if [p.lower() for p in rest[:2]] != ["providers", "microsoft.network"] or len(rest) < 3:
            raise Refused(404, "InvalidResourceType", "The resource type could not be found.")
        kind, rest = rest[2].lower(), rest[3:]
        if kind == "dnszones":
            self.check_version(request, DNS_API, kind)
            return self.dns(request, rest)
        if kind == "trafficmanagerprofiles":
            self.check_version(request, TM_API, kind)
            return self.tm(request, rest)
        return self.check_name(request, parts)

    def check_version(self, request, want, kind):
        got = request.query.get("api-version")
        if not got:
            raise Refused(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        if got != want:
            raise Refused(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for location 'global' and API version '{got}' for"
                f" type '{kind}'. The supported api-versions are '{want}'.",
            )

    def check_access(self, request, kind):
        """The caller's role, by the action's name."""
        action = f"Microsoft.Network/{kind}/{VERBS.get(request.method, 'action')}"
        if action.lower() in {d.lower() for d in self.deny}:
            raise Refused(
                403,
                "AuthorizationFailed",
                f"The client '{self.client_id}' with object id '{self.client_id}' does not have authorization"
                f" to perform action '{action}' over scope '{request.path}' or the scope is invalid. If"
                " access was recently granted, please refresh your credentials.",
            )

    def body(self, request):
        try:
            found = json.loads(request.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refused(
                400, "InvalidRequestContent", "The request content was invalid: it is no JSON object."
            )
        return found

    def send(self, status, models, name, body):
        reply_body(models, name, body)
        etag = {"ETag": body["etag"]} if "etag" in body else {}
        return answer(status, body, etag)

    def check_name(self, request, parts):
        names = "checktrafficmanagernameavailability", "checktrafficmanagernameavailabilityv2"
        if request.method != "POST" or parts[-1].lower() not in names:
            raise Refused(404, "InvalidResourceType", "The resource type could not be found.")
        self.check_version(request, TM_API, parts[-1])
        body = self.body(request)
        request_body(tm_models, "CheckTrafficManagerRelativeDnsNameAvailabilityParameters", body)
        found = self.traffic.availability(body.get("name") or "")
        return self.send(200, tm_models, "TrafficManagerNameAvailability", found)

    def dns(self, request, rest):
        """dnsZones[/zone[/type[/name]]], and the lists of a zone."""
        if len(rest) < 2:
            self.check_access(request, "dnsZones")
            if request.method != "GET":
                raise Refused(405, "MethodNotAllowed", "The simulator's zones are those it was given.")
            if rest:
                return self.send(200, dns_models, "Zone", self.zone(rest[0], parent=False).resource())
            found = [z.resource() for z in self.zones.values()]
            return self.send(200, dns_models, "ZoneListResult", {"value": found})
        zone = self.zone(rest[0], parent=True)
        if len(rest) == 2 and request.method == "GET":
            whole = rest[1].lower() in ("recordsets", "all")
            self.check_access(request, f"dnsZones/{'recordsets' if whole else record_type(rest[1])}")
            return self.list_sets(request, zone, None if whole else record_type(rest[1]))
        if len(rest) != 3:
            raise Refused(404, "InvalidResourceType", "The resource type could not be found.")
        kind, name = record_type(rest[1]), rest[2]
        self.check_access(request, f"dnsZones/{kind}")
        if request.method == "GET":
            return self.send(200, dns_models, "RecordSet", zone.get(name, kind))
        if request.method == "DELETE":
            return answer(zone.delete(name, kind, request.headers))
        change = zone.put if request.method == "PUT" else zone.patch
        status, found = change(name, kind, self.body(request), request.headers)
        return self.send(status, dns_models, "RecordSet", found)

    def zone(self, name, parent):
        """`parent`: for what is below it."""
        if name.lower() in self.zones:
            return self.zones[name.lower()]
        if parent:
            raise Refused(
                404,
                "ParentResourceNotFound",
                "Failed to perform 'read' on resource(s) of type 'dnszones/recordsets', because the parent"
                f" resource '{self.place}/dnszones/{name}' could not be found.",
            )
        raise Refused(
            404,
            "ResourceNotFound",
            f"The Resource 'Microsoft.Network/dnszones/{name}' under resource group '{self.group}' was not"
            " found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        )

    def list_sets(self, request, zone, kind):
        found, token = zone.page(request.query, kind)
        body = {"value": found}
        if token:
            top = f"&$top={request.query['$top']}" if "$top" in request.query else ""
            body["nextLink"] = f"{self.url}{request.path}?api-version={DNS_API}{top}&$skipToken={token}"
        return self.send(200, dns_models, "RecordSetListResult", body)

    def tm(self, request, rest):
        """trafficManagerProfiles[/profile[/type/endpoint]]."""
        if len(rest) == 3:
            return self.tm_endpoint(request, *rest)
        self.check_access(request, "trafficManagerProfiles")
        if not rest:
            found = [self.routing.resource(p) for p in self.traffic.profiles.values()]
            return self.send(200, tm_models, "ProfileListResult", {"value": found})
        if request.method == "GET":
            status, profile = 200, self.traffic.find(rest[0])
        elif request.method == "DELETE":
            return answer(self.traffic.delete(rest[0]))
        else:
            change = self.traffic.put if request.method == "PUT" else self.traffic.patch
            status, profile = change(rest[0], self.body(request))
        return self.send(status, tm_models, "Profile", self.routing.resource(profile))

    def tm_endpoint(self, request, profile, kind, name):
        kind = endpoint_kind(kind)
        self.check_access(request, f"trafficManagerProfiles/{kind}")
        if request.method == "DELETE":
            return answer(self.traffic.delete_endpoint(profile, kind, name))
        if request.method == "GET":
            status, found = 200, self.traffic.find_endpoint(self.traffic.find(profile), kind, name)
        else:
            merge = request.method == "PATCH"
            status, found = self.traffic.put_endpoint(profile, kind, name, self.body(request), merge)
        resource = self.routing.endpoint_resource(self.traffic.find(profile), found)
        return self.send(status, tm_models, "Endpoint", resource)
