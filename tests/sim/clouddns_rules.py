"""What Cloud DNS accepts in one rrset, and how it writes down what it accepted.

[page] cloud.google.com/dns/quotas; [disc] descriptions in the discovery document; [err]
docs.cloud.google.com/dns/docs/error-messages; [log] requests and replies recorded at the real API,
GoogleCloudPlatform/k8s-config-connector pkg/test/resourcefixture/testdata/basic/dns/.../_http.log;
[ED] kubernetes-sigs/external-dns; [guess] where no source was found: the stricter reading."""

import ipaddress
import re
from urllib.parse import urlsplit

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from sim import world

# Names as in the quota that projects.get shows: the value, and where it is from.
LIMITS = {
    "managedZones": (10000, "[page]"),
    "rrsetsPerManagedZone": (10000, "[page]"),
    "resourceRecordsPerRrset": (100, "[page]"),
    "rrsetAdditionsPerChange": (1000, "[page]"),
    "rrsetDeletionsPerChange": (1000, "[page]"),
    "totalRrdataSizePerChange": (100000, "[page] bytes"),
    "nameserversPerDelegation": (8, "[page] for every rrset of type NS"),
    "itemsPerRoutingPolicy": (100, "[guess] the name is in [disc], the number is not"),
    "internetHealthChecksPerManagedZone": (100, "[guess] likewise; counted as addresses that are checked"),
}
# Asked of a health check that external endpoints use: compute's [disc], HealthCheck.sourceRegions.
SOURCE_REGIONS, LEAST_INTERVAL = 3, 30

REGIONS = world.regions("gcp")
# cloud.google.com/dns/docs/records-overview, without ALIAS: it would have to look up another name.
TYPES = "A AAAA CAA CNAME DNSKEY DS HTTPS IPSECKEY MX NAPTR NS PTR SOA SPF SRV SSHFP SVCB TLSA TXT".split()
ROUTED = {"A", "AAAA", "CNAME", "MX", "SRV", "TXT"}  # cloud.google.com/dns/docs/configure-routing-policies
ONE_RECORD = {"SOA", "CNAME"}  # [err] invalidRecordCount
LABEL = re.compile(r"[A-Za-z0-9_/-]{1,63}")
HEALTH_CHECK = re.compile(r"/compute/v1/projects/([^/]+)/global/healthChecks/([^/]+)")
KINDS = {
    "geo": "dns#rRSetRoutingPolicyGeoPolicy",
    "wrr": "dns#rRSetRoutingPolicyWrrPolicy",
    "primaryBackup": "dns#rRSetRoutingPolicyPrimaryBackupPolicy",
}
ITEM_KINDS = {"geo": KINDS["geo"] + "GeoPolicyItem", "wrr": KINDS["wrr"] + "WrrPolicyItem"}


def limit(name):
    return LIMITS[name][0]


def invalid(where, value):
    """A 400, as (reason, message): [ED] #5129"""
    return "invalid", f"Invalid value for '{where}': '{value}'"


def required(where):
    return "required", f"The '{where}' parameter is required but was missing."


def name_ok(name, origin):
    labels = name[:-1].split(".")
    if not name.endswith(".") or len(name) > 254:
        return False
    if not (name.lower() == origin or name.lower().endswith("." + origin)):
        return False
    return all(LABEL.fullmatch(x) or (x == "*" and i == 0) for i, x in enumerate(labels))


def rdata_of(kind, text):
    """dnspython's rdata; ValueError if it is none, or has a name that is not absolute."""
    try:
        rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), text, relativize=False)
        rdata.to_wire()
        return rdata
    except (dns.exception.DNSException, ValueError) as e:
        raise ValueError(text) from e


def written(kind, text):
    """An rrdata as it is stored: strings of TXT get their quotes, all else stays as sent."""
    return rdata_of(kind, text).to_text() if kind in ("TXT", "SPF") else text


def rrdata_faults(where, kind, texts):
    if len(texts) > limit("resourceRecordsPerRrset"):
        yield "quotaExceeded", "The change would exceed quota for resource records per record set."
    if kind == "NS" and len(texts) > limit("nameserversPerDelegation"):
        yield "quotaExceeded", "The change would exceed quota for name servers per delegation."
    if kind in ONE_RECORD and len(texts) > 1:
        text = f"The resource record set '{where}' is only permitted to have one record because it is of type"
        text += f" '{kind}'."
        yield "invalidRecordCount", text
    seen = set()
    for i, text in enumerate(texts):
        try:
            rdata = rdata_of(kind, text)
            if rdata in seen:
                raise ValueError(text)
            seen.add(rdata)
        except ValueError:
            yield invalid(f"{where}.rrdata[{i}]", text)


class Rrset:
    """One rrset of a change, with what is wrong with it. The path in messages is `entity.change.additions
    [name][type]` (snarfed/bridgy-fed#1072; before about 2023 it was the index)."""

    def __init__(self, verb, value, zone, project, health_checks):
        self.verb, self.value, self.zone, self.project = verb, value, zone, project
        self.name, self.kind = value.get("name", ""), value.get("type", "")
        self.where = f"entity.change.{verb}[{self.name}][{self.kind}]"
        self.health_checks = health_checks
        self.key = self.name.lower(), self.kind
        self.label = f"{self.name} ({self.kind})"

    def faults(self):
        """(reason, message) of all that is wrong with it by itself, whatever the zone holds."""
        value, where = self.value, self.where
        if not name_ok(self.name, self.zone.origin):
            yield invalid(f"{where}.name", self.name)
        if self.kind not in TYPES:
            yield invalid(f"{where}.type", self.kind)
            return
        if "ttl" not in value:
            yield required(f"{where}.ttl")
        elif value["ttl"] < 0:
            yield invalid(f"{where}.ttl", value["ttl"])
        if self.kind == "NS" and self.name.startswith("*"):
            text = f"The resource record set '{where}' of type 'NS' is not allowed to be a wildcard."
            yield "wildcardNotAllowed", text
        if value.get("routingPolicy"):
            yield from self.policy_faults(value["routingPolicy"])
        elif not value.get("rrdatas"):
            yield invalid(f"{where}.rrdata", "<empty>")
        else:
            yield from rrdata_faults(where, self.kind, value["rrdatas"])

    def policy_faults(self, policy):
        where = f"{self.where}.routingPolicy"
        found = [k for k in KINDS if policy.get(k)]
        if self.value.get("rrdatas") or len(found) != 1 or self.kind not in ROUTED:
            yield invalid(where, ",".join(found) or "<empty>")
            return
        kind, body = found[0], policy[found[0]]
        targets = []
        if kind == "primaryBackup":
            yield from self.backup_faults(f"{where}.{kind}", body, targets)
        else:
            yield from self.items_faults(f"{where}.{kind}", kind, body, targets)
        if targets or policy.get("healthCheck"):
            yield from self.check_faults(f"{where}.healthCheck", policy.get("healthCheck"), targets)

    def backup_faults(self, where, body, targets):
        if not 0 <= body.get("trickleTraffic", 0) <= 1:
            yield invalid(f"{where}.trickleTraffic", body["trickleTraffic"])
        primary = body.get("primaryTargets") or {}
        if not primary.get("externalEndpoints"):
            yield invalid(f"{where}.primaryTargets", "<empty>")
        yield from self.target_faults(f"{where}.primaryTargets", primary, targets)
        backup = body.get("backupGeoTargets") or {}
        yield from self.items_faults(f"{where}.backupGeoTargets", "geo", backup, targets)

    def items_faults(self, where, kind, body, targets):
        items = body.get("items") or []
        if not items:
            yield invalid(f"{where}.items", "<empty>")
        if len(items) > limit("itemsPerRoutingPolicy"):
            yield "quotaExceeded", "The change would exceed quota for items per routing policy."
        seen = set()
        for i, item in enumerate(items):
            at = f"{where}.items[{i}]"
            if kind == "wrr" and item.get("weight", -1) < 0:
                yield invalid(f"{at}.weight", item.get("weight", "<empty>"))
            if kind == "geo":
                location = item.get("location", "<empty>")
                if location not in REGIONS or location in seen:
                    yield invalid(f"{at}.location", location)
                seen.add(location)
            yield from self.item_faults(at, item, targets)

    def item_faults(self, at, item, targets):
        rrdatas, checked = item.get("rrdatas") or [], item.get("healthCheckedTargets") or {}
        addresses = checked.get("externalEndpoints") or []
        if not rrdatas and not addresses:
            yield invalid(f"{at}.rrdata", "<empty>")
        if self.zone.signed and (rrdatas and addresses or len(addresses) > 1):  # [disc] signatureRrdatas
            yield invalid(f"{at}.healthCheckedTargets", ",".join(addresses))
        yield from rrdata_faults(at, self.kind, rrdatas)
        yield from self.target_faults(f"{at}.healthCheckedTargets", checked, targets)

    def target_faults(self, at, checked, targets):
        if checked.get("internalLoadBalancers"):  # hashicorp/terraform-provider-google#13269
            text = "Routing policies referencing internal load balancers cannot be added to public zones"
            yield "internalLoadBalancerDisallowedInPublicZone", text
        endpoints = checked.get("externalEndpoints") or []
        if len(endpoints) > limit("resourceRecordsPerRrset"):
            yield "quotaExceeded", "The change would exceed quota for resource records per record set."
        for i, address in enumerate(endpoints):
            try:
                version = ipaddress.ip_address(address).version
            except ValueError:
                version = 0
            if (self.kind, version) not in (("A", 4), ("AAAA", 6)) or address in endpoints[:i]:
                yield invalid(f"{at}.externalEndpoints[{i}]", address)
        targets += endpoints

    def check_faults(self, where, url, targets):
        """[disc] of compute says what a check with source regions may be, and that they are for this."""
        if not url or not targets:
            yield invalid(where, url or "<empty>")
            return
        found = HEALTH_CHECK.fullmatch(urlsplit(url).path)
        check = found and found[1] == self.project and self.health_checks.get(found[2])
        if not check or len(check.get("sourceRegions", [])) != SOURCE_REGIONS:
            yield invalid(where, url)

    def size(self):
        """Bytes of rrdata."""
        return sum(len(x) for x in texts_of(self.value))


def items_of(policy):
    backup = policy.get("primaryBackup", {}).get("backupGeoTargets", {})
    bodies = policy.get("geo", {}), policy.get("wrr", {}), backup
    return [item for body in bodies for item in body.get("items", [])]


def targets_of(policy):
    checked = [x.get("healthCheckedTargets", {}) for x in items_of(policy)]
    checked.append(policy.get("primaryBackup", {}).get("primaryTargets", {}))
    return [a for x in checked for a in x.get("externalEndpoints", [])]


def texts_of(value):
    policy = value.get("routingPolicy") or {}
    plain = [t for item in items_of(policy) for t in item.get("rrdatas", [])]
    return value.get("rrdatas", []) + plain + targets_of(policy)


def targets_as_stored(checked):
    lists = {"externalEndpoints": checked.get("externalEndpoints", []), "internalLoadBalancers": []}
    return {"healthCheckedTargets": lists} if lists["externalEndpoints"] else {}


def items_as_stored(kind, rrtype, body):
    items = []
    for item in body.get("items", []):
        stored = {"kind": ITEM_KINDS[kind], "signatureRrdatas": []}
        stored["rrdatas"] = [written(rrtype, x) for x in item.get("rrdatas", [])]
        stored |= {k: item[k] for k in ("location", "weight") if k in item}
        items.append(stored | targets_as_stored(item.get("healthCheckedTargets", {})))
    fencing = {"enableFencing": body.get("enableFencing", False)} if kind == "geo" else {}
    return {"kind": KINDS[kind], "items": items} | fencing


def as_stored(value):
    """An rrset as the API gives it back: with all kinds, empty lists and defaults [log]. Two that are the
    same in this form are the same for a deletion."""
    rrtype, policy = value["type"], value.get("routingPolicy")
    head = {"kind": "dns#resourceRecordSet", "name": value["name"].lower(), "type": rrtype}
    head["ttl"] = value["ttl"]
    if not policy:
        texts = [written(rrtype, x) for x in value["rrdatas"]]
        return head | {"rrdatas": texts, "signatureRrdatas": []}
    kind = next(k for k in KINDS if policy.get(k))
    body = policy[kind]
    if kind == "primaryBackup":
        stored = {
            "kind": KINDS[kind],
            "primaryTargets": targets_as_stored(body["primaryTargets"])["healthCheckedTargets"],
            "backupGeoTargets": items_as_stored("geo", rrtype, body["backupGeoTargets"]),
            "trickleTraffic": body.get("trickleTraffic", 0),
        }
    else:
        stored = items_as_stored(kind, rrtype, body)
    routing = {"kind": "dns#rRSetRoutingPolicy", kind: stored}
    routing |= {"healthCheck": policy["healthCheck"]} if policy.get("healthCheck") else {}
    return head | {"rrdatas": [], "routingPolicy": routing}
