"""How Route 53 answers a DNS query from the records of a zone.

Sources: "How Amazon Route 53 chooses records when health checking is configured"
(DeveloperGuide/health-checks-how-route-53-chooses-records.html), "... in complex configurations"
(dns-failover-complex-configs.html), routing-policy-*.html, API_ResourceRecordSet.html.
Latency is the great circle between the client's place and the AWS region; the real one measures."""

import random

import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from . import world
from .route53_limits import limit
from .route53_records import canonical, octal_to_decimal, policy_of, rdata_of, values_of, within

REGIONS = world.regions("aws")
MAX_DEPTH = 8  # of alias trees; the real one has a limit, too, that nobody has written down


class Health:
    """The verdict on a health check, from the addresses that are down."""

    def __init__(self, checks, down):
        self.checks, self.down = checks, down

    def of(self, check_id, depth=0):
        check = self.checks.get(check_id)
        if check is None:  # deleted under a record: "can't be predicted" (API_DeleteHealthCheck.html)
            return False
        config = check["HealthCheckConfig"]
        if config.get("Disabled"):
            return True
        if config["Type"] == "CALCULATED" and depth < MAX_DEPTH:
            good = sum(self.of(c, depth + 1) for c in config.get("ChildHealthChecks", []))
            healthy = good >= config.get("HealthThreshold", 0)
        else:
            healthy = not {config.get("IPAddress"), config.get("FullyQualifiedDomainName")} & self.down
        return healthy != config.get("Inverted", False)


def dice(weights):
    """An index, by weight."""
    return random.choices(range(len(weights)), weights)[0]


class Answers:
    """Of one zone, from the records that its servers have. `health` is a Health; `choose` as dice()."""

    def __init__(self, zone_id, zone, records):
        self.zone_id, self.zone = zone_id, zone
        self.health, self.choose = Health({}, set()), dice
        self.groups, self.names = {}, set()
        for record in records.values():
            self.groups.setdefault((record["Name"], record["Type"]), []).append(record)
            self.names.update(parents(record["Name"], zone))

    def answer(self, qname, qtype, client):
        """(rcode, [RRset], [authority])."""
        name = canonical(qname)
        cut = self.delegation(name, qtype)
        if cut:
            return "NOERROR", [], [self.rrset(cut, "NS", self.groups[cut, "NS"][0])]
        rcode, kind, found = self.look_up(name, qtype, client)
        if not found:
            return rcode, [], [self.soa()]
        return rcode, [self.as_rrset(name, kind, found)], []

    def data(self, name, qtype, client):
        """(rcode, values)."""
        rcode, _, found = self.look_up(name, qtype, client)
        return rcode, found[1] if found else []

    def look_up(self, name, qtype, client):
        """(rcode, type that answers, (TTL, values) or None)."""
        owner = self.owner(name)
        if owner is None:
            return "NXDOMAIN", qtype, None
        kind = "CNAME" if (owner, "CNAME") in self.groups else qtype
        return "NOERROR", kind, self.resolve(owner, kind, client)

    def delegation(self, name, qtype):
        """The name that is delegated away at or above this one."""
        for cut in reversed(parents(name, self.zone)[:-1]):
            if (cut, "NS") in self.groups and not (cut == name and qtype == "DS"):
                return cut
        return None

    def owner(self, name):
        """The name whose records answer: itself, or the wildcard of its closest encloser (RFC 4592)."""
        if name in self.names:
            return name
        while name != self.zone:
            name = name.partition(".")[2]
            if name in self.names:
                wild = "\\052." + name
                return wild if wild in self.names else None
        return None

    def soa(self):
        """With the lesser of its TTL and its minimum (RFC 2308)."""
        soa = self.rrset(self.zone, "SOA", self.groups[self.zone, "SOA"][0])
        soa.ttl = min(soa.ttl, soa[0].minimum)
        return soa

    def rrset(self, name, kind, record):
        return self.as_rrset(name, kind, (record["TTL"], values_of(record)))

    @staticmethod
    def as_rrset(name, kind, found):
        ttl, values = found
        owner = dns.name.from_text(octal_to_decimal(name))
        out = dns.rrset.RRset(owner, dns.rdataclass.IN, dns.rdatatype.from_text(kind))
        for value in values:
            out.add(rdata_of(kind, value), ttl)
        return out

    def resolve(self, name, kind, client, depth=0):
        """(TTL, values) of a name and type, through aliases; None if there is nothing."""
        group = self.groups.get((name, kind))
        if not group or depth > MAX_DEPTH:
            return None
        chosen = self.pick(group, client, depth)
        if not chosen:
            return None
        if "AliasTarget" in chosen[0]:
            target = chosen[0]["AliasTarget"]
            if target["HostedZoneId"] != self.zone_id:
                return None
            return self.resolve(self.owner(target["DNSName"]), kind, client, depth + 1)
        return chosen[0]["TTL"], [v for record in chosen for v in values_of(record)]

    def healthy(self, record, depth):
        if "HealthCheckId" in record and not self.health.of(record["HealthCheckId"]):
            return False
        target = record.get("AliasTarget")
        if not target or not target["EvaluateTargetHealth"] or depth > MAX_DEPTH:
            return True
        if target["HostedZoneId"] != self.zone_id:
            return True
        group = self.groups.get((self.owner(target["DNSName"]), record["Type"]), [])
        return any(self.healthy(r, depth + 1) for r in group)

    def pick(self, group, client, depth):
        """The records that answer: of the healthy ones, or of all when none is."""
        policy = policy_of(group[0])
        if policy is None:
            return group
        well = [r for r in group if self.healthy(r, depth)]
        return getattr(self, policy.lower())(group, well, client)

    def weight(self, group, well, client):
        """Of the healthy: those with a weight; if there are none, those of weight 0, each alike."""
        pool = well or group
        heavy = [r for r in pool if r["Weight"]]
        if heavy:
            return [heavy[self.choose([r["Weight"] for r in heavy])]]
        return [pool[self.choose([1] * len(pool))]]

    def region(self, group, well, client):
        here = world.place_of(client)[1:3]
        return [min(well or group, key=lambda r: world.km(here, REGIONS[r["Region"]]))]

    def failover(self, group, well, client):
        by_role = {r["Failover"]: r for r in group}
        primary, secondary = by_role.get("PRIMARY"), by_role.get("SECONDARY")
        if primary is None:
            return [secondary]
        if secondary is None or primary in well or secondary not in well:
            return [primary]
        return [secondary]

    def multivalueanswer(self, group, well, client):
        pool = list(well or group)
        picked = []
        while pool and len(picked) < limit["multivalue_answers"]:
            picked.append(pool.pop(self.choose([1] * len(pool))))
        ttl = min(r["TTL"] for r in picked)
        return [dict(r, TTL=ttl) for r in picked]

    def geolocation(self, group, well, client):
        """The smallest place that the client is in, healthy ones first; no default, no answer."""
        _, _, _, continent, country = world.place_of(client)
        places = [{"CountryCode": country}, {"ContinentCode": continent}, {"CountryCode": "*"}]
        for pool in (well, group):
            for place in places:
                found = [r for r in pool if r["GeoLocation"] == place]
                if found:
                    return found
        return []


def parents(name, zone):
    """The name and those above it, down to the zone's: empty non-terminals exist, too."""
    out = [name]
    while out[-1] != zone and within(out[-1], zone):
        out.append(out[-1].partition(".")[2])
    return out
