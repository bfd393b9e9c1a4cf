"""A managed zone: its rrsets, its changes, and what a change may not do to them. Sources as in
clouddns_rules."""

import time
from datetime import UTC, datetime

from sim.clouddns_rules import Rrset, as_stored, limit, required, targets_of
from sim.gcp_schema import Refusal

NAME_SERVERS = [f"ns-cloud-a{i}.googledomains.test." for i in range(1, 5)]
SOA = f"{NAME_SERVERS[0]} cloud-dns-hostmaster.google.com. 1 21600 3600 259200 300"  # [log]
PAGE = 100  # of a list that does not say maxResults; what the real one chooses is not documented

# Reasons whose status is not 400: [ED] #2817 (404), #3311 (412), #1028 (403).
STATUS = {"quotaExceeded": 403, "alreadyExists": 409, "conditionNotMet": 412, "notFound": 404}


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def refuse(errors):
    """One refusal for all errors of the same status; the message is the first one's."""
    code = STATUS.get(errors[0][0], 400)
    raise Refusal(code, *[e for e in errors if STATUS.get(e[0], 400) == code])


class Zone:
    def __init__(self, name, dns_name, number, signed=False):
        self.name, self.number, self.signed = name, number, signed
        self.origin = dns_name.lower().rstrip(".") + "."
        self.created, self.changes, self.operations = now(), [], set()
        apex = {"name": self.origin, "ttl": 21600}
        first = [apex | {"type": "SOA", "rrdatas": [SOA]}, apex | {"type": "NS", "rrdatas": NAME_SERVERS}]
        self.rrsets = {(x["name"], x["type"]): as_stored(x) for x in first}
        self.history = [(0, self.rrsets)]  # when the name servers have it, and what
        self.record({"additions": list(self.rrsets.values()), "deletions": []}, 0)

    def shown(self):
        zone = {
            "kind": "dns#managedZone",
            "name": self.name,
            "id": str(self.number),
            "dnsName": self.origin,
            "description": "",
            "creationTime": self.created,
            "nameServers": NAME_SERVERS,
            "visibility": "public",
            "cloudLoggingConfig": {"kind": "dns#managedZoneCloudLoggingConfig"},
        }
        if self.signed:
            config = {"kind": "dns#managedZoneDnsSecConfig", "state": "on", "nonExistence": "nsec3"}
            zone["dnssecConfig"] = config
        return zone

    def sorted(self):
        """The apex first, then by name."""
        return [self.rrsets[k] for k in sorted(self.rrsets, key=lambda k: (k[0] != self.origin, k))]

    def record(self, change, pending):
        """A change has happened; it shows as pending for so many seconds."""
        shown = {"kind": "dns#change", "id": str(len(self.changes)), "startTime": now(), **change}
        self.changes.append((shown, time.monotonic() + pending))
        return self.change(len(self.changes) - 1)

    def change(self, number):
        shown, until = self.changes[number]
        return shown | {"status": "pending" if time.monotonic() < until else "done"}

    def served(self):
        """The rrsets that the name servers have by now."""
        while len(self.history) > 1 and self.history[1][0] <= time.monotonic():
            del self.history[0]
        return self.history[0][1]

    def apply(self, body, project, health_checks, pending=0, lag=0):
        """All of a change or nothing of it."""
        lists = {verb: body.get(verb) or [] for verb in ("additions", "deletions")}
        if not any(lists.values()):
            refuse([required("entity.change")])
        parsed = {k: [Rrset(k, x, self, project, health_checks) for x in v] for k, v in lists.items()}
        additions, deletions = parsed["additions"], parsed["deletions"]
        self.check_size(additions, deletions)
        faults = [f for x in additions + deletions for f in x.faults()]
        if faults:
            refuse(faults)
        self.check_deletions(deletions)
        after = {k: v for k, v in self.rrsets.items() if k not in {x.key for x in deletions}}
        self.check_additions(additions, after)
        after |= {x.key: as_stored(x.value) for x in additions}
        self.check_apex(additions, deletions, after)
        self.check_cnames(additions, after)
        self.check_quota(after)
        self.rrsets = after
        self.history.append((time.monotonic() + lag, after))
        return self.record({k: [as_stored(x.value) for x in v] for k, v in parsed.items()}, pending)

    def check_size(self, additions, deletions):
        """[ED] #1028 has these words, all that apply in one reply."""
        size = sum(x.size() for x in additions + deletions)
        over = [
            ("additions per change", len(additions), "rrsetAdditionsPerChange"),
            ("deletions per change", len(deletions), "rrsetDeletionsPerChange"),
            ("total rrdata size per change", size, "totalRrdataSizePerChange"),
        ]
        text = "The change would exceed quota for {}."
        errors = [("quotaExceeded", text.format(what)) for what, n, name in over if n > limit(name)]
        if errors:
            refuse(errors)

    def check_deletions(self, deletions):
        gone = [x for x in deletions if x.key not in self.rrsets]
        if gone:
            text = "The '{}' resource named '{}' does not exist."
            refuse([("notFound", text.format(x.where, x.label)) for x in gone])
        other = [x for x in deletions if as_stored(x.value) != self.rrsets[x.key]]
        if other:
            refuse([("conditionNotMet", f"Precondition not met for '{x.where}'") for x in other])

    def check_additions(self, additions, after):
        keys = [x.key for x in additions]
        again = [x for i, x in enumerate(additions) if x.key in after or x.key in keys[:i]]
        if again:
            text = "The resource '{}' named '{}' already exists"
            refuse([("alreadyExists", text.format(x.where, x.label)) for x in again])

    def check_apex(self, additions, deletions, after):
        """[err] invalidZoneApex"""
        text = (
            "The resource record set '{}' is invalid because a zone must contain exactly one resource "
            "record set of type '{}' at the apex."
        )
        needed = {(self.origin, "SOA"), (self.origin, "NS")}
        errors = [x for x in deletions if x.key in needed and x.key not in after]
        errors += [x for x in additions if x.kind == "SOA" and x.key not in needed]
        if errors:
            refuse([("invalidZoneApex", text.format(x.where, x.kind)) for x in errors])

    def check_cnames(self, additions, after):
        """[err] cnameResourceRecordSetConflict, recordTypeDisallowedAtZoneApex"""
        errors = []
        for x in additions:
            if x.kind == "CNAME" and x.key[0] == self.origin:
                text = f"The resource record set '{x.where}' is of a type that the zone apex cannot have."
                errors.append(("recordTypeDisallowedAtZoneApex", text))
                continue
            kinds = {kind for name, kind in after if name == x.key[0]}
            if "CNAME" in kinds and len(kinds) > 1:
                text = (
                    f"The resource record set '{x.where}' is invalid because the DNS name '{x.name}' may "
                    "have either one CNAME resource record set or resource record sets of other types, but "
                    "not both."
                )
                errors.append(("cnameResourceRecordSetConflict", text))
        if errors:
            refuse(errors)

    def check_quota(self, after):
        if len(after) > limit("rrsetsPerManagedZone"):
            text = "The change would exceed quota for record sets per managed zone."
            refuse([("quotaExceeded", text)])
        policies = [x["routingPolicy"] for x in after.values() if "routingPolicy" in x]
        checked = {(p.get("healthCheck"), address) for p in policies for address in targets_of(p)}
        if len(checked) > limit("internetHealthChecksPerManagedZone"):
            text = "The change would exceed quota for internet health checks per managed zone."
            refuse([("quotaExceeded", text)])
