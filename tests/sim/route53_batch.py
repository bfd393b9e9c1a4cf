"""A ChangeBatch of Route 53: all of it or nothing, and every message that a refusal has."""

from .aws_auth import Refused
from .route53_limits import limit
from .route53_records import (
    ALIAS_TYPES_NOT,
    POLICIES,
    BadName,
    canonical,
    check_shape,
    is_wild,
    key_of,
    labels_of,
    policy_of,
    same,
    value_problem,
    values_of,
    within,
)


def invalid_batch(messages):
    return Refused("InvalidChangeBatch", f"[{', '.join(messages)}]", 400, messages)


def check_size(changes):
    """Before anything is looked at."""
    records = characters = 0
    for change in changes:
        times = 2 if change["Action"] == "UPSERT" else 1
        values = values_of(change["ResourceRecordSet"])
        records += times * len(values)
        characters += times * sum(map(len, values))
    if records > limit["batch_records"]:
        raise invalid_batch([f"Number of records limit of {limit['batch_records']} exceeded."])
    if characters > limit["batch_characters"]:
        raise invalid_batch([f"RDATA character limit of {limit['batch_characters']} exceeded."])


class Batch:
    """`apply` gives the zone's records after the changes, or raises Refused. Records are {key: record set}.
    guard_aliases: the zone's ALIAS_TARGET_CHECK is on (ChangeGuardrail in the API; off unless asked for)."""

    def __init__(self, zone_id, zone_name, records, health_checks, guard_aliases=False):
        self.zone_id, self.zone, self.guard_aliases = zone_id, zone_name, guard_aliases
        self.records, self.health_checks = dict(records), health_checks
        self.groups = {}  # (name, type): {identifier: record set}; a zone may have 10,000
        self.names = {}  # name: types
        for record in records.values():
            self.note(record)
        self.messages, self.deleted, self.touched = [], set(), []

    def note(self, record):
        self.groups.setdefault((record["Name"], record["Type"]), {})[record.get("SetIdentifier")] = record
        self.names.setdefault(record["Name"], set()).add(record["Type"])

    def put(self, record):
        self.records[key_of(record)] = record
        self.note(record)
        self.touched.append(record)
        self.check_neighbours(record)
        if "AliasTarget" in record:
            self.check_alias(record)

    def drop(self, record):
        del self.records[key_of(record)]
        group = self.groups[record["Name"], record["Type"]]
        del group[record.get("SetIdentifier")]
        if not group:
            self.names[record["Name"]].discard(record["Type"])

    def apply(self, changes):
        check_size(changes)
        for change in changes:
            check_shape(change)
        changes = [self.normal(c) for c in changes]
        if not self.messages:
            self.check_health_checks(changes)
            # One after the other, as they stand: what a change needs gone or made has to come before it.
            # https://github.com/cookpad/roadworker/pull/89, and the order that octodns-route53 keeps.
            for change in changes:
                getattr(self, change["Action"].lower())(change["ResourceRecordSet"])
            self.check_zone()
        if self.messages:
            raise invalid_batch(self.messages)
        return self.records

    def refuse(self, text):
        if text not in self.messages:
            self.messages.append(text)

    def normal(self, change):
        """With names as the zone holds them; notes what is wrong with names and values."""
        record = dict(change["ResourceRecordSet"])
        try:
            record["Name"] = canonical(record["Name"])
            if "AliasTarget" in record:
                target = dict(record["AliasTarget"])
                target["DNSName"] = canonical(target["DNSName"])
                record["AliasTarget"] = target
        except BadName as e:
            self.refuse(str(e))
            return change
        if not within(record["Name"], self.zone):
            self.refuse(f"RRSet with DNS name {record['Name']} is not permitted in zone {self.zone}")
        if is_wild(record["Name"]) and record["Type"] == "NS":
            self.refuse(f"RRSet of type NS with DNS name {record['Name']} is not permitted")
        if change["Action"] != "DELETE":
            self.check_values(record)
        return {"Action": change["Action"], "ResourceRecordSet": record}

    def check_values(self, record):
        values, seen = values_of(record), set()
        for value in values:
            text = value_problem(record["Type"], value)
            if not text and value in seen:
                text = f"Duplicate Resource Record: '{value}'"
            seen.add(value)
            if text:
                self.refuse(text)
        if len(values) > limit["rrset_values"]:
            self.refuse(f"Cannot have more than {limit['rrset_values']} records in a RRSet.")
        if record["Type"] in ("CNAME", "SOA") and len(values) > 1:
            kind = f"RRSet of type {record['Type']} with DNS name {record['Name']}"
            self.refuse(f"{kind} has more than one value")  # ours

    def check_health_checks(self, changes):
        for change in changes:
            check = change["ResourceRecordSet"].get("HealthCheckId")
            if change["Action"] != "DELETE" and check and check not in self.health_checks:
                raise Refused("NoSuchHealthCheck", f"A health check with id {check} does not exist.", 404)

    def id_text(self, record):
        text = f"name='{record['Name']}', type='{record['Type']}'"
        if "SetIdentifier" in record:
            text += f", set-identifier='{record['SetIdentifier']}'"
        return f"[{text}]"

    def delete(self, record):
        found = self.records.get(key_of(record))
        text = f"Tried to delete resource record set {self.id_text(record)}"
        if key_of(record) in self.deleted:
            kind = f"{record['Type']} {record['Name']}"
            self.refuse(f"The request contains an invalid set of changes for a resource record set '{kind}'")
        elif not found:
            self.refuse(f"{text} but it was not found")
        elif not same(found, record):
            self.refuse(f"{text} but the values provided do not match the current values")
        else:
            self.deleted.add(key_of(record))
            self.drop(found)

    def create(self, record):
        if key_of(record) in self.records:
            self.refuse(f"Tried to create resource record set {self.id_text(record)} but it already exists")
        elif self.may_join(record):
            self.put(record)

    def upsert(self, record):
        old = self.records.get(key_of(record))
        if old:
            self.drop(old)
        if self.may_join(record):
            self.put(record)

    def may_join(self, record):
        """Beside the others of its name and type."""
        name, kind, policy = record["Name"], record["Type"], policy_of(record)
        others = list(self.groups.get((name, kind), {}).values())
        if not others:
            return True
        base = f"RRSet with DNS name {name}, type {kind}"
        named = f"{base}, SetIdentifier {record.get('SetIdentifier')}"
        first = policy_of(others[0])
        if not policy or not first:
            self.refuse(f"{base} cannot be created as other RRSets exist with the same name and type.")
        elif policy != first:
            text = f"a non-{POLICIES[policy]} set exists with the same name and type."
            self.refuse(f"{named} cannot be created as {text}")
        elif len(others) >= limit["routed_records"]:
            self.refuse(f"{named} cannot be created: more than {limit['routed_records']} records")  # ours
        elif self.taken(record, others, policy):
            self.refuse(self.taken_text(named, record, policy))
        else:
            return True
        return False

    @staticmethod
    def taken(record, others, policy):
        return policy in ("Region", "Failover", "GeoLocation") and any(
            o[policy] == record[policy] for o in others
        )

    @staticmethod
    def taken_text(named, record, policy):
        if policy == "Region":
            return (
                f"{named}, and Region Name={record['Region']} cannot be created because a latency RRSet with "
                "the same name, type and region already exists."
            )
        return f"{named} cannot be created as a {POLICIES[policy]} RRSet like it already exists."  # ours

    def check_zone(self):
        """What has to hold of the zone as a whole once the batch is done."""
        if (self.zone, "SOA", None) not in self.records:
            self.refuse("A HostedZone must contain exactly one SOA record.")
        if (self.zone, "NS", None) not in self.records:
            self.refuse("A HostedZone must contain at least one NS record for the zone itself.")
        if len(self.records) > limit["zone_records"]:
            self.refuse(f"Exceeded limit MAX_RRSETS_BY_ZONE for zone: {self.zone_id}")
        for record in self.touched:
            if self.records.get(key_of(record)) is record:
                self.check_weighted_ttl(record)
        if self.guard_aliases and self.deleted:
            for record in self.records.values():
                if "AliasTarget" in record:
                    self.check_alias(record)

    def check_neighbours(self, record):
        name, kind = record["Name"], record["Type"]
        types, kind_text = self.names[name], f"RRSet of type {kind} with DNS name {name}"
        if kind == "SOA" and name != self.zone:
            self.refuse(f"{kind_text} is not permitted in zone {self.zone}")
        if kind == "CNAME" and name == self.zone:
            self.refuse(f"{kind_text} is not permitted at apex in zone {self.zone}")
        elif kind == "CNAME" and len(types) > 1:
            self.refuse(
                f"{kind_text} is not permitted as it conflicts with other records "
                f"with the same DNS name in zone {self.zone}"
            )
        elif kind != "CNAME" and "CNAME" in types:
            self.refuse(
                f"{kind_text} is not permitted because a conflicting RRSet of type CNAME "
                f"with the same DNS name already exists in zone {self.zone}"
            )

    def check_weighted_ttl(self, record):
        group = self.groups[record["Name"], record["Type"]].values()
        ttls = {r["TTL"] for r in group if "TTL" in r and "Weight" in r}
        if "Weight" in record and len(ttls) > 1:
            self.refuse(
                f"RRSet with DNS name {record['Name']} and type {record['Type']}, SetIdentifier "
                f"{record['SetIdentifier']} cannot be created as weighted sets must contain the same TTL."
            )

    def check_alias(self, record):
        """An alias in the zone points at a name of it, with records of the alias's type there. Aliases to
        other zones are ones of AWS resources, which nobody simulates."""
        target, kind = record["AliasTarget"], record["Type"]
        where = f"{target['DNSName']}, type {kind} in zone {target['HostedZoneId']}"
        text = f"Tried to create an alias that targets {where}"
        if kind in ALIAS_TYPES_NOT:
            self.refuse(f"RRSet of type {kind} with DNS name {record['Name']} cannot be an alias")  # ours
        elif target["HostedZoneId"] != self.zone_id:
            self.refuse(f"{text}, but that target was not found")
        elif not within(target["DNSName"], self.zone):
            self.refuse(f"{text}, but the alias target name does not lie within the target zone")
        elif kind not in self.names.get(target["DNSName"], ()):
            self.refuse(f"{text}, but that target was not found")
        elif labels_of(target["DNSName"]) == labels_of(record["Name"]):
            self.refuse(f"{text}, but that is the alias itself")  # ours
