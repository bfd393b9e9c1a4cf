"""What the name servers of Cloud DNS say, from the rrsets of its zones and the health of their targets.

Where answers come from: the descriptions of RRSetRoutingPolicy* in the discovery document, and
docs.cloud.google.com/dns/docs/routing-policies-overview (nearest region by client subnet or source;
without a fence the next nearest one that has a healthy target). That with all targets down everywhere
those of the first choice are returned, all of them, is said for a fenced policy only; it is taken to hold
for the others too."""

import random

import dns.name
import dns.rrset

from sim import world
from sim.clouddns_rules import REGIONS


class Answers:
    """down() is the set of addresses whose checks fail."""

    def __init__(self, zones, down):
        self.zones, self.down = zones, down
        self.random = random.Random(0)

    def answer(self, qname, qtype, client):
        zone = self.zone_of(qname)
        if not zone:
            return "REFUSED", [], []
        rrsets, origin = zone.served(), zone.origin
        cut = delegation(rrsets, origin, qname)
        if cut:
            return "NOERROR", [], [self.made(cut, "NS", rrsets[cut, "NS"], client)]
        name = match(rrsets, qname)
        if name is None:
            return "NXDOMAIN", [], [soa(rrsets, origin)]
        kind = qtype if (name, qtype) in rrsets else "CNAME"
        if (name, kind) not in rrsets:
            return "NOERROR", [], [soa(rrsets, origin)]
        return "NOERROR", [self.made(qname, kind, rrsets[name, kind], client)], []

    def zone_of(self, qname):
        within = [z for z in self.zones.values() if qname == z.origin or qname.endswith("." + z.origin)]
        return max(within, key=lambda z: len(z.origin), default=None)

    def made(self, qname, kind, value, client):
        name = dns.name.from_text(qname)
        texts = self.texts(value, client)
        return dns.rrset.from_text_list(name, value["ttl"], "IN", kind, texts, relativize=False)

    def texts(self, value, client):
        """The rrdatas of an rrset for a client."""
        policy = value.get("routingPolicy")
        if not policy:
            return value["rrdatas"]
        if "geo" in policy:
            return self.geo(policy["geo"], client)
        if "wrr" in policy:
            return self.weighted(policy["wrr"]["items"])
        backup = policy["primaryBackup"]
        primary = backup["primaryTargets"]["externalEndpoints"]
        healthy = [x for x in primary if x not in self.down()]
        if healthy and self.random.random() >= backup["trickleTraffic"]:
            return healthy
        return self.geo(backup["backupGeoTargets"], client)

    def geo(self, body, client):
        _, *at = world.place_of(client)
        items = sorted(body["items"], key=lambda x: world.km(at, REGIONS[x["location"]]))
        return self.first_healthy(items[:1] if body["enableFencing"] else items)

    def weighted(self, items):
        """A draw by weight; of those left, if none of its targets is healthy."""
        order, left = [], [x for x in items if x["weight"] > 0] or list(items)
        while left:
            weights = [x["weight"] for x in left]
            drawn = self.random.choices(left, weights if any(weights) else None)[0]
            order.append(drawn)
            left.remove(drawn)
        return self.first_healthy(order)

    def first_healthy(self, items):
        for item in items:
            targets = item.get("healthCheckedTargets", {}).get("externalEndpoints", [])
            texts = item["rrdatas"] + [x for x in targets if x not in self.down()]
            if texts:
                return texts
        return items[0]["healthCheckedTargets"]["externalEndpoints"]


def delegation(rrsets, origin, qname):
    """The name at or above this one, below the apex, that other servers have."""
    while qname != origin:
        if (qname, "NS") in rrsets:
            return qname
        qname = qname.partition(".")[2]
    return None


def match(rrsets, qname):
    """The name that answers: itself (an empty one between others too), or the wildcard of its closest
    encloser (RFC 4592); None if there is none."""
    names = {name for name, _ in rrsets}

    def exists(name):
        return name in names or any(x.endswith("." + name) for x in names)

    if exists(qname):
        return qname
    above = qname.partition(".")[2]
    while not exists(above):
        above = above.partition(".")[2]
    return f"*.{above}" if f"*.{above}" in names else None


def soa(rrsets, origin):
    """For a negative answer: its TTL is the lesser of the SOA's and its minimum (RFC 2308)."""
    value = rrsets[origin, "SOA"]
    text = value["rrdatas"][0]
    ttl = min(value["ttl"], int(text.split()[-1]))
    return dns.rrset.from_text(dns.name.from_text(origin), ttl, "IN", "SOA", text)
