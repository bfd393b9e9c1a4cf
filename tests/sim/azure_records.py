"""Azure DNS: zones and their record sets, with etags, rules and limits of the service."""

import base64
import ipaddress
import re
import uuid

import azure.mgmt.dns.v2018_05_01.models as models

from sim.azure_errors import Refused, dns_refused
from sim.azure_limits import DEFAULTS, limit
from sim.azure_schema import request_body

# Type: (key of its records, whether there is just one, fields of a record in the order of a zone file).
TYPES = {
    "A": ("ARecords", False, ["ipv4Address"]),
    "AAAA": ("AAAARecords", False, ["ipv6Address"]),
    "CAA": ("caaRecords", False, ["flags", "tag", "value"]),
    "CNAME": ("CNAMERecord", True, ["cname"]),
    "MX": ("MXRecords", False, ["preference", "exchange"]),
    "NS": ("NSRecords", False, ["nsdname"]),
    "PTR": ("PTRRecords", False, ["ptrdname"]),
    "SOA": (
        "SOARecord",
        True,
        "host email serialNumber refreshTime retryTime expireTime minimumTTL".split(),
    ),
    "SRV": ("SRVRecords", False, ["priority", "weight", "port", "target"]),
    "TXT": ("TXTRecords", False, ["value"]),
}
ALIASES = "A", "AAAA", "CNAME"
DOMAINS = "cname", "exchange", "nsdname", "ptrdname", "target", "host"
LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
DOMAIN = re.compile(rf"({LABEL}\.)*{LABEL}\.?")
RELATIVE = re.compile(rf"@|(\*|{LABEL})(\.{LABEL})*")


def texts(kind, properties):
    """The records of a set as they stand in a zone file."""
    key, single, fields = TYPES[kind]
    records = properties.get(key) or []
    return [
        " ".join(text(kind, f, r[f]) for f in fields) for r in ([records] if single and records else records)
    ]


def text(kind, field, value):
    if kind == "TXT":
        return " ".join('"%s"' % v.replace("\\", "\\\\").replace('"', '\\"') for v in value)
    if field == "value":
        return f'"{value}"'
    if field in DOMAINS or field == "email":
        return value.rstrip(".") + "."
    return str(value)


def bad(message):
    return dns_refused(400, "BadRequest", message)


def check_record(kind, record):
    for field in TYPES[kind][2]:
        value = record.get(field)
        if value is None:
            raise bad(f"The field '{field}' of a record of type '{kind}' is required.")
        if field in DOMAINS and not DOMAIN.fullmatch(value):
            raise bad(f"The domain name '{value}' is invalid.")
        if field in ("ipv4Address", "ipv6Address"):
            want = ipaddress.IPv4Address if field == "ipv4Address" else ipaddress.IPv6Address
            try:
                want(value)
            except ValueError:
                raise bad(f"The value '{value}' is not a valid IP address.") from None
    if kind == "TXT" and (
        not record["value"] or max(map(len, record["value"])) > limit("characters of a TXT string")
    ):
        raise bad("The value of a TXT record must have strings of at most 255 characters.")


def check_records(kind, records):
    """A list, already of the right shape."""
    for r in records:
        check_record(kind, r)
    most = limit("TXT records in a set" if kind == "TXT" else "records in a set")
    if len(records) > most:
        raise bad(f"The record set exceeds the limit of {most} records.")
    total = sum(len(v) for r in records for v in r["value"]) if kind == "TXT" else 0
    if total > limit("characters of a TXT set"):
        raise bad(f"The total length of the TXT record set is {total}; it must not exceed 4096.")
    field = TYPES[kind][2][-1]
    seen = [tuple(r["value"]) if kind == "TXT" else tuple(sorted(r.items())) for r in records]
    if len(set(seen)) < len(seen):
        raise bad(
            f"The list of record sets of type '{kind}' may not contain multiple entries with the same"
            f" '{field}'."
        )


class Zone:
    """sets: {(name, type): {"name", "etag", "properties"}}, names relative and in lower case."""

    def __init__(self, name, place, servers, profile_of):
        self.name, self.place, self.servers, self.profile_of = name, place, servers, profile_of
        self.etag, self.sets = str(uuid.uuid4()), {}
        soa = {"host": servers[0], **DEFAULTS["SOA"]}
        ns = [{"nsdname": s} for s in servers]
        self.store("@", "NS", {"TTL": DEFAULTS["TTL of the apex NS"], "NSRecords": ns})
        self.store("@", "SOA", {"TTL": 3600, "SOARecord": soa})

    def store(self, name, kind, properties):
        found = {"name": name, "etag": str(uuid.uuid4()), "properties": properties}
        self.sets[name.lower(), kind] = found
        return found

    def resource(self):
        return {
            "id": f"{self.place}/dnszones/{self.name}",
            "name": self.name,
            "type": "Microsoft.Network/dnszones",
            "etag": self.etag,
            "location": "global",
            "tags": {},
            "properties": {
                "maxNumberOfRecordSets": limit("record sets in a zone"),
                "maxNumberOfRecordsPerRecordSet": None,
                "nameServers": self.servers,
                "numberOfRecordSets": len(self.sets),
                "zoneType": "Public",
            },
        }

    def set_resource(self, name, kind):
        found = self.sets[name.lower(), kind]
        relative = "" if found["name"] == "@" else found["name"] + "."
        target = found["properties"].get("targetResource") or {}
        if target and not self.profile_of(target["id"]):
            target = {}  # the docs: an alias whose target is gone is an empty record set
        return {
            "id": f"{self.place}/dnszones/{self.name}/{kind}/{found['name']}",
            "name": found["name"],
            "type": f"Microsoft.Network/dnszones/{kind}",
            "etag": found["etag"],
            "properties": {
                **found["properties"],
                "fqdn": f"{relative}{self.name}.",
                "targetResource": target,
                "provisioningState": "Succeeded",
            },
        }

    def get(self, name, kind):
        if (name.lower(), kind) not in self.sets:
            *_, group, _, _ = self.place.split("/")
            raise dns_refused(
                404, "NotFound", f"The resource record '{name}' does not exist in resource group '{group}'."
            )
        return self.set_resource(name, kind)

    def guard(self, name, kind, headers):
        """If-Match and If-None-Match, as the table of the docs has them for PUT."""
        found = self.sets.get((name.lower(), kind))
        match, none = headers.get("if-match"), headers.get("if-none-match")
        if none == "*" and found:
            raise dns_refused(
                412,
                "PreconditionFailed",
                f"The Record set {name} exists already and hence cannot be created again.",
            )
        if match and (not found or match not in ("*", found["etag"])):
            raise dns_refused(
                412, "PreconditionFailed", f"The Record set {name} has been modified (etag mismatch)."
            )
        return found

    def put(self, name, kind, body, headers):
        """(status, resource)."""
        request_body(models, "RecordSet", body)
        if not RELATIVE.fullmatch(name):
            raise bad(f"The relative record set name '{name}' is invalid.")
        found = self.guard(name, kind, headers)
        properties = self.checked(name, kind, body.get("properties") or {})
        if not found and len(self.sets) >= limit("record sets in a zone"):
            raise bad("The number of record sets in the zone exceeds the limit.")
        self.exclusive(name, kind)
        self.store(name if not found else found["name"], kind, properties)
        return (200 if found else 201), self.set_resource(name, kind)

    def patch(self, name, kind, body, headers):
        request_body(models, "RecordSet", body)
        self.get(name, kind)
        found = self.guard(name, kind, headers)
        merged = {**found["properties"], **(body.get("properties") or {})}
        self.store(found["name"], kind, self.checked(name, kind, merged))
        return 200, self.set_resource(name, kind)

    def delete(self, name, kind, headers):
        if name == "@" and kind in ("NS", "SOA"):
            raise bad(f"Record sets of type '{kind}' with name '@' cannot be deleted.")
        if (name.lower(), kind) not in self.sets:
            return 204
        self.guard(name, kind, headers)
        del self.sets[name.lower(), kind]
        return 200

    def exclusive(self, name, kind):
        others = {k for n, k in self.sets if n == name.lower() and k != kind}
        if kind == "CNAME" and others:
            raise dns_refused(
                409,
                "Conflict",
                "The CNAME record could not be created because another record with the same name already"
                " exists in this zone.",
            )
        if "CNAME" in others:
            raise dns_refused(
                409,
                "Conflict",
                "The record could not be created because a CNAME record with the same name already exists in"
                " this zone.",
            )

    def checked(self, name, kind, properties):
        """What is stored of a request."""
        key, single, _ = TYPES[kind]
        wrong = [TYPES[t][0] for t in TYPES if t != kind and properties.get(TYPES[t][0])]
        if wrong:
            raise bad(f"The record set of type '{kind}' must not have '{wrong[0]}'.")
        records, target = properties.get(key), (properties.get("targetResource") or {}).get("id")
        if target and records:
            raise bad("A record set must have either records or a target resource, not both.")
        ttl = properties.get("TTL")
        if target:
            kept = {"targetResource": {"id": target}}
            inherited = self.check_alias(name, kind, target)
            ttl = ttl or inherited
        elif records is None:
            raise bad(f"The record set of type '{kind}' cannot be null.")
        else:
            check_records(kind, [records] if single else records)
            kept = {key: records}
        if ttl not in limit("TTL of a record set"):
            raise bad(f"The TTL '{ttl}' is invalid; it must be between 1 and 2147483647.")
        if "metadata" in properties:
            kept["metadata"] = properties["metadata"]
        self.check_fixed(name, kind, kept)
        return {"TTL": ttl, **kept}

    def check_fixed(self, name, kind, properties):
        """The parts of NS and SOA at the apex that are Azure's."""
        if kind == "NS" and name == "@":
            have = {r["nsdname"].rstrip(".").lower() for r in properties["NSRecords"]}
            if not {s.rstrip(".").lower() for s in self.servers} <= have:
                raise bad(
                    "The Azure DNS name servers of the record set of type 'NS' at '@' cannot be removed."
                )
        if kind == "SOA":
            if name != "@":
                raise bad("Record sets of type 'SOA' can only have the name '@'.")
            if properties["SOARecord"]["host"].rstrip(".") != self.servers[0].rstrip("."):
                raise bad("The field 'host' of the record of type 'SOA' cannot be modified.")
        if kind == "NS" and name.startswith("*"):
            raise bad("Wildcard record sets of type 'NS' are not supported.")

    def check_alias(self, name, kind, target):
        """Raises, or gives the TTL of the profile."""
        if kind not in ALIASES:
            raise bad(f"A record set of type '{kind}' cannot have a target resource.")
        profile = self.profile_of(target)
        if not profile:
            raise bad(f"The target resource '{target}' does not exist or cannot be an alias's.")
        users = [
            k
            for k, s in self.sets.items()
            if (s["properties"].get("targetResource") or {}).get("id") == target
        ]
        if len(set(users) - {(name.lower(), kind)}) >= limit("alias record sets of a resource"):
            raise bad("The target resource has as many alias record sets as it can have.")
        # Only at this moment: endpoints that the profile gets later are not looked at, which octoDNS makes
        # use of for nested ones (octodns-azure, _apply_Create).
        if kind != "CNAME" and not all(e.address() for e in profile.endpoints):
            raise bad(
                "RecordSets of type A or AAAA must reference a traffic manager profile with endpoints"
                " containing valid IP addresses"
            )
        return profile.ttl

    def page(self, query, kind=None):
        """One page of sets: (resources, token of the next)."""
        try:
            top = int(query.get("$top") or limit("record sets on a page"))
            after = tuple(base64.urlsafe_b64decode(query.get("$skipToken", "").encode()).decode().split("|"))
        except ValueError:
            raise bad("The query parameter '$top' or '$skipToken' is invalid.") from None
        if not 1 <= top:
            raise bad("The query parameter '$top' is invalid.")
        suffix = query.get("$recordsetnamesuffix", "").lower()
        keys = sorted(k for k in self.sets if kind in (None, k[1]) and k[0].endswith(suffix))
        if after != ("",):
            keys = [k for k in keys if k > after]
        here = keys[: min(top, limit("largest page"))]
        token = (
            base64.urlsafe_b64encode("|".join(here[-1]).encode()).decode() if len(here) < len(keys) else None
        )
        return [self.set_resource(*k) for k in here], token


def record_type(name):
    if name.upper() not in TYPES:
        raise Refused(400, "InvalidResourceType", f"The resource type 'dnszones/{name}' could not be found.")
    return name.upper()
