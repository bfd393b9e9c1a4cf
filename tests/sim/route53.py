"""Route 53 in a process: hosted zones, record sets, health checks and tags over REST/XML with signatures that
are verified, and the zones' DNS answers over UDP and TCP.

    with Route53(zones=["example.com"]) as sim:
        client = boto3.client("route53", endpoint_url=sim.url, ...)
        sim.down.add("192.0.2.1")      # its health checks fail
        sim.pending = 5                # seconds until a change is INSYNC, and served; math.inf: never
        sim.fault("POST .*/rrset", "lose")

What it does not have: private zones, delegation sets, traffic policies, CIDR and geoproximity routing,
aliases to AWS resources, and the change-throughput limit (its numbers are not known)."""

import ipaddress
import re
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from email.utils import formatdate

from .aws_auth import Buckets, Refused, verify
from .aws_xml import Model, to_bytes
from .names import Names
from .route53_batch import Batch
from .route53_health import HealthChecks, now_text
from .route53_limits import ACCOUNT_BUCKET, ACTION_BUCKET, ACTION_BUCKETS, limit
from .route53_policy import Answers, Health, dice
from .route53_records import BadName, canonical, name_order, order, within
from .server import Api, Reply
from .world import SUBNETS

MODEL = Model("route53", "2013-04-01")
ACCOUNT = "arn:aws:iam::123456789012:user/kubecdn"


@dataclass
class Zone:
    id: str
    name: str
    reference: str
    servers: list
    comment: str = ""
    records: dict = field(default_factory=dict)  # {(name, type, identifier): record set}
    served: list = field(default_factory=list)  # [(from when, records)]
    listing: list = None  # the records in order, until the next change
    busy: bool = False
    answers: object = None

    def put(self, records, when):
        self.records, self.listing = records, None
        self.served.append((when, records))

    def ordered(self):
        if self.listing is None:
            self.listing = sorted(self.records.values(), key=order)
        return self.listing

    def at(self, now):
        """The records that the name servers have."""
        past = [i for i, (when, _) in enumerate(self.served) if when <= now]
        if past:
            del self.served[: past[-1]]
        return self.served[0][1]


def refusal(code, message="", status=400, messages=None, form="ErrorResponse"):
    """An error as a Reply, also for a fault: sim.fault("POST", lambda r: refusal("PriorRequestNotComplete")).
    An InvalidChangeBatch comes in two forms: as an ErrorResponse with one text of all messages, as the real
    one answers today, and as the list of messages of the API reference."""
    root = ET.Element(form, xmlns=MODEL.namespace)
    if form == "InvalidChangeBatch":
        parent = ET.SubElement(root, "Messages")
        for text in messages:
            ET.SubElement(parent, "Message").text = text
    else:
        error = ET.SubElement(root, "Error")
        for tag, text in ("Type", "Sender"), ("Code", code), ("Message", message):
            ET.SubElement(error, tag).text = text
    ET.SubElement(root, "RequestId").text = "00000000-0000-0000-0000-000000000000"
    return Reply(status, to_bytes(root), {"Content-Type": "text/xml"})


def busy_refusal():
    text = "The request was rejected because Route 53 was still processing a prior request."
    return Refused("PriorRequestNotComplete", text)


def snake(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace("DNS", "Dns")).lower()


class Route53(HealthChecks, Api):
    """What tests read and set:
    zone_ids      {name: id}
    health_checks {id: as GetHealthCheck has it}
    down          addresses, or host names, whose health checks fail
    pending       seconds until a change is INSYNC and the name servers have it; math.inf: it is stuck
    change_takes  seconds in which other changes to the same zone are refused
    deny          actions that IAM forbids
    skew          seconds that the service's clock is ahead
    throttle      token buckets count
    now()         the time for token buckets and changes
    choose(weights)  the dice of weighted and multivalue records: an index
    guard_aliases    the zones' ALIAS_TARGET_CHECK is on
    strict_order     elements must stand in the order of the API reference, which asks for it; the real one
                     does not check, as octodns-route53 shows, which sends another
    batch_error_form the other form of InvalidChangeBatch, see refusal()"""

    def __init__(self, zones=(), cert=None, throttle=False):
        super().__init__(cert)
        self.zones, self.zone_ids, self.changes = {}, {}, {}
        self.health_checks, self.deleted_references, self.tags = {}, set(), {}
        self.down, self.deny, self.buckets = set(), set(), Buckets()
        self.pending = self.skew = self.change_takes = 0
        self.throttle, self.now, self.choose = throttle, time.time, dice
        self.strict_order = self.guard_aliases = False
        self.batch_error_form = "ErrorResponse"
        self.names = Names(self.answer)
        for zone in zones:
            self.add_zone(zone, f"simulated-{zone}", "")

    def __enter__(self):
        self.names.__enter__()
        return super().__enter__()

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.names.__exit__(*exc)

    # For tests.

    def rrsets(self, zone):
        """The record sets of a zone, in order, as ListResourceRecordSets has them."""
        with self.lock:
            return [dict(r) for r in self.zones[self.zone_ids[zone]].ordered()]

    def settle(self):
        """All changes are INSYNC now, also those that were stuck."""
        with self.lock:
            for change in self.changes.values():
                change["until"] = self.now()
            for zone in self.zones.values():
                zone.served = [(self.now(), zone.records)]

    # The API.

    def handle(self, request):
        reply = self.carry_out(request)
        reply.headers.setdefault("Date", formatdate(time.time() + self.skew, usegmt=True))
        return reply

    def carry_out(self, request):
        try:
            name, params = self.admit(request)
            if name == "ChangeResourceRecordSets" and self.change_takes:
                self.occupy(params["HostedZoneId"])
            with self.lock:
                status, headers, body = MODEL.render(name, getattr(self, snake(name))(params))
        except Refused as e:
            form = self.batch_error_form if e.code == "InvalidChangeBatch" else "ErrorResponse"
            return refusal(e.code, e.message, e.status, e.messages, form)
        return Reply(status, body, {"Content-Type": "text/xml", **headers})

    def admit(self, request):
        """(operation, parameters) of a request that may be done."""
        verify(request, "route53", "us-east-1", time.time() + self.skew, limit["clock_skew"])
        operation, _ = MODEL.find(request)
        if not hasattr(self, snake(operation.name)):
            raise Refused("UnknownOperationException", f"{operation.name} is beyond this simulator", 404)
        buckets = {
            "account": ACCOUNT_BUCKET,
            operation.name: ACTION_BUCKETS.get(operation.name, ACTION_BUCKET),
        }
        with self.lock:
            if self.throttle and not self.buckets.take(self.now(), buckets):
                raise Refused("Throttling", "Rate exceeded")
        if operation.name in self.deny:
            resource = "/".join(request.parts[1:3])
            text = (
                f"User: {ACCOUNT} is not authorized to perform: route53:{operation.name} on resource: "
                f"arn:aws:route53:::{resource} because no identity-based policy allows the "
                f"route53:{operation.name} action"
            )
            raise Refused("AccessDenied", text, 403)
        return MODEL.parse(request, self.strict_order)

    def occupy(self, zone_id):
        with self.lock:
            zone = self.zone(zone_id)
            if zone.busy:
                raise busy_refusal()
            zone.busy = True
        time.sleep(self.change_takes)
        zone.busy = False

    def zone(self, zone_id):
        if zone_id not in self.zones:
            raise Refused("NoSuchHostedZone", f"No hosted zone found with ID: {zone_id}", 404)
        return self.zones[zone_id]

    def page(self, ids, params, most):
        """(ids of a page, the reply's markers) of a listing that pages by Marker."""
        size = page_size(params, most)
        marker = params.get("Marker", "")
        if marker and marker not in ids:
            raise Refused("InvalidInput", f"Invalid marker: {marker}")
        start = ids.index(marker) if marker else 0
        rest = ids[start + size : start + size + 1]
        more = {"Marker": marker, "IsTruncated": bool(rest), "MaxItems": str(size)}
        if rest:
            more["NextMarker"] = rest[0]
        return ids[start : start + size], more

    # Zones.

    def add_zone(self, name, reference, comment):
        n = len(self.zones)
        apex = canonical(name)
        servers = [f"ns-{4 * n + i + 1}.awsdns-{i:02}.test" for i in range(4)]
        zone = Zone(f"Z{n + 1:012}SIM", apex, reference, servers, comment)
        numbers = f"1 7200 900 1209600 {limit['soa_minimum']}"
        soa = f"{servers[0]}. awsdns-hostmaster.amazon.com. {numbers}"
        first = [
            rrset(apex, "NS", limit["ns_ttl"], [s + "." for s in servers]),
            rrset(apex, "SOA", limit["soa_ttl"], [soa]),
        ]
        zone.put({(r["Name"], r["Type"], None): r for r in first}, 0)
        self.zones[zone.id] = zone
        self.zone_ids.setdefault(name.rstrip("."), zone.id)
        return zone

    def zone_data(self, zone):
        return {
            "Id": f"/hostedzone/{zone.id}",
            "Name": zone.name,
            "CallerReference": zone.reference,
            "Config": {"Comment": zone.comment, "PrivateZone": False},
            "ResourceRecordSetCount": len(zone.records),
        }

    def create_hosted_zone(self, params):
        if "VPC" in params or "DelegationSetId" in params:
            raise Refused("InvalidInput", "Private zones and delegation sets are beyond this simulator")
        if any(z.reference == params["CallerReference"] for z in self.zones.values()):
            text = "A hosted zone has already been created with the specified caller reference."
            raise Refused("HostedZoneAlreadyExists", text, 409)
        try:
            canonical(params["Name"])
        except BadName as e:
            raise Refused("InvalidDomainName", str(e)) from None
        comment = params.get("HostedZoneConfig", {}).get("Comment", "")
        zone = self.add_zone(params["Name"], params["CallerReference"], comment)
        return {
            "HostedZone": self.zone_data(zone),
            "ChangeInfo": self.new_change(""),
            "DelegationSet": {"NameServers": zone.servers},
            "Location": f"{self.url}/2013-04-01/hostedzone/{zone.id}",
        }

    def get_hosted_zone(self, params):
        zone = self.zone(params["Id"])
        return {"HostedZone": self.zone_data(zone), "DelegationSet": {"NameServers": zone.servers}}

    def list_hosted_zones(self, params):
        found, more = self.page(list(self.zones), params, limit["zone_page"])
        return {"HostedZones": [self.zone_data(self.zones[i]) for i in found], **more}

    def list_hosted_zones_by_name(self, params):
        size = page_size(params, limit["zone_page"])
        if "HostedZoneId" in params and "DNSName" not in params:
            raise Refused("InvalidInput", "The HostedZoneId parameter needs the DNSName parameter")
        start = (name_order(params["DNSName"]) if "DNSName" in params else "", params.get("HostedZoneId", ""))
        zones = sorted(self.zones.values(), key=lambda z: (name_order(z.name), z.id))
        zones = [z for z in zones if (name_order(z.name), z.id) >= start]
        out = {k: params[k] for k in ("DNSName", "HostedZoneId") if k in params}
        out["HostedZones"] = [self.zone_data(z) for z in zones[:size]]
        out |= {"IsTruncated": len(zones) > size, "MaxItems": str(size)}
        if len(zones) > size:
            out |= {"NextDNSName": zones[size].name, "NextHostedZoneId": zones[size].id}
        return out

    # Record sets.

    def new_change(self, comment):
        change_id = f"C{len(self.changes) + 1:013}SIM"
        self.changes[change_id] = {
            "until": self.now() + self.pending,
            "at": now_text(),
            "comment": comment,
        }
        return self.change_info(change_id, "PENDING")

    def change_info(self, change_id, status):
        change = self.changes[change_id]
        out = {"Id": f"/change/{change_id}", "Status": status, "SubmittedAt": change["at"]}
        return out | ({"Comment": change["comment"]} if change["comment"] else {})

    def get_change(self, params):
        if params["Id"] not in self.changes:
            raise Refused("NoSuchChange", f"A change with id {params['Id']} does not exist.", 404)
        over = self.changes[params["Id"]]["until"] <= self.now()
        return {"ChangeInfo": self.change_info(params["Id"], "INSYNC" if over else "PENDING")}

    def change_resource_record_sets(self, params):
        zone, batch = self.zone(params["HostedZoneId"]), params["ChangeBatch"]
        work = Batch(zone.id, zone.name, zone.records, self.health_checks, self.guard_aliases)
        records = work.apply(batch["Changes"])
        info = self.new_change(batch.get("Comment", ""))
        zone.put(records, self.now() + self.pending)
        return {"ChangeInfo": info}

    def list_resource_record_sets(self, params):
        zone, size = self.zone(params["HostedZoneId"]), page_size(params, limit["rrset_page"])
        records = zone.ordered()
        start = self.start_of(params)
        at = next((i for i, r in enumerate(records) if order(r) >= start), len(records))
        page, rest = records[at : at + size], records[at + size : at + size + 1]
        out = {"ResourceRecordSets": page, "IsTruncated": bool(rest), "MaxItems": str(size)}
        for record in rest:
            out |= {"NextRecordName": record["Name"], "NextRecordType": record["Type"]}
            if "SetIdentifier" in record:
                out["NextRecordIdentifier"] = record["SetIdentifier"]
        return out

    @staticmethod
    def start_of(params):
        name, kind = params.get("StartRecordName"), params.get("StartRecordType", "")
        identifier = params.get("StartRecordIdentifier", "")
        if (kind and not name) or (identifier and not kind):
            text = "The input is not valid: type needs a name, and identifier a name and a type"
            raise Refused("InvalidInput", text)
        return (name_order(name) if name else "", kind, identifier)

    # DNS.

    def answers_of(self, zone):
        records = zone.at(self.now())
        if zone.answers is None or zone.answers[0] is not records:
            zone.answers = (records, Answers(zone.id, zone.name, records))
        answers = zone.answers[1]
        answers.health, answers.choose = Health(self.health_checks, self.down), self.choose
        return answers

    def answer(self, qname, qtype, client):
        """For Names: of the zone with the longest name above qname."""
        with self.lock:
            try:
                name = canonical(qname)
            except BadName:
                return "REFUSED", [], []
            zones = [z for z in self.zones.values() if within(name, z.name)]
            if not zones:
                return "REFUSED", [], []
            zone = max(zones, key=lambda z: len(z.name))
            return self.answers_of(zone).answer(qname, qtype, client)

    def test_dns_answer(self, params):
        zone = self.zone(params["HostedZoneId"])
        name, kind = canonical(params["RecordName"]), params["RecordType"]
        if not within(name, zone.name):
            raise Refused("InvalidInput", f"{name} is not in the zone {zone.name}")
        if "EDNS0ClientSubnetMask" in params and "EDNS0ClientSubnetIP" not in params:
            raise Refused("InvalidInput", "EDNS0ClientSubnetMask needs EDNS0ClientSubnetIP")
        client = params.get("EDNS0ClientSubnetIP") or params.get("ResolverIP") or str(SUBNETS[0][0][1])
        rcode, data = self.answers_of(zone).data(name, kind, ipaddress.ip_address(client))
        return {
            "Nameserver": zone.servers[0],
            "RecordName": name,
            "RecordType": kind,
            "RecordData": data,
            "ResponseCode": rcode,
            "Protocol": "UDP",
        }


def rrset(name, kind, ttl, values):
    return {"Name": name, "Type": kind, "TTL": ttl, "ResourceRecords": [{"Value": v} for v in values]}


def page_size(params, most):
    text = params.get("MaxItems", str(most))
    if not text.isdigit() or int(text) < 1:
        raise Refused("InvalidInput", f"Value '{text}' at 'maxItems' failed to satisfy constraint")
    return min(int(text), most)
