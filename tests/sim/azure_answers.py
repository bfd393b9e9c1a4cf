"""DNS answers of Azure's name servers and of Traffic Manager's, from what their APIs were told."""

import dns.rrset

from sim.azure_records import texts


class Answers:
    """zones: {name: Zone}; traffic and routing as in their modules."""

    def __init__(self, zones, traffic, routing):
        self.zones, self.traffic, self.routing = zones, traffic, routing

    def __call__(self, qname, qtype, client):
        name = qname.rstrip(".")
        if name.endswith("." + self.traffic.domain):
            return self.of_profile(name.removesuffix("." + self.traffic.domain), qname, qtype, client)
        for zone in sorted(self.zones.values(), key=lambda z: -len(z.name)):
            if name == zone.name or name.endswith("." + zone.name):
                relative = "@" if name == zone.name else name.removesuffix("." + zone.name)
                return self.of_zone(zone, relative, qname, qtype, client)
        return "REFUSED", [], []

    def of_profile(self, relative, qname, qtype, client):
        profile = next((p for p in self.traffic.profiles.values() if p.relative.lower() == relative), None)
        if not profile:
            return "NXDOMAIN", [], []
        found = self.routing.choose(profile, client)
        if not found:
            return "NXDOMAIN", [], []  # docs, endpoint types: profile or all endpoints disabled
        return "NOERROR", targets(qname, qtype, profile.ttl, found), []

    def of_zone(self, zone, relative, qname, qtype, client):
        cut = self.delegation(zone, relative, qtype)
        if cut:
            return "NOERROR", [], [cut]
        owner = self.owner(zone, relative)
        if owner is None:
            return "NXDOMAIN", [], [negative(zone)]
        kind = qtype if (owner, qtype) in zone.sets else "CNAME"
        found = zone.sets.get((owner, kind))
        answer = self.of_set(found, kind, qname, qtype, client) if found else []
        if answer and kind == "CNAME" and qtype != "CNAME":
            inner = str(answer[0][0].target).lower()
            if inner.endswith("." + zone.name + "."):
                rcode, more, authority = self(inner, qtype, client)
                return rcode, answer + more, authority
        return "NOERROR", answer, [] if answer else [negative(zone)]

    def of_set(self, found, kind, qname, qtype, client):
        properties = found["properties"]
        target = (properties.get("targetResource") or {}).get("id")
        if not target:
            values = texts(kind, properties)
            return [dns.rrset.from_text(qname, properties["TTL"], "IN", kind, *values)] if values else []
        profile = self.traffic.by_id(target)
        if not profile:
            return []
        if kind == "CNAME":
            fqdn = f"{profile.relative}.{self.traffic.domain}."
            return [dns.rrset.from_text(qname, profile.ttl, "IN", "CNAME", fqdn)]
        chosen = [e for e in self.routing.choose(profile, client) if e.address()]
        return targets(qname, qtype, profile.ttl, chosen)

    def delegation(self, zone, relative, qtype):
        """The NS set of a child zone at or above the name."""
        labels = relative.split(".")
        for i in range(len(labels)):
            found = zone.sets.get((".".join(labels[i:]), "NS"))
            if found and relative != "@":
                values = texts("NS", found["properties"])
                name = f"{'.'.join(labels[i:])}.{zone.name}."
                return dns.rrset.from_text(name, found["properties"]["TTL"], "IN", "NS", *values)
        return None

    def owner(self, zone, relative):
        """The name that answers: itself, or the wildcard at its closest encloser (RFC 4592), or None."""
        names = {n for n, _ in zone.sets}

        def there(name):
            return name in names or any(n.endswith("." + name) for n in names)

        if there(relative):
            return relative
        labels = relative.split(".")
        for i in range(1, len(labels) + 1):
            encloser = ".".join(labels[i:])
            wild = f"*.{encloser}" if encloser else "*"
            if not encloser or there(encloser):
                return wild if wild in names else None
        return None


def targets(qname, qtype, ttl, endpoints):
    """The record type of the target must be the query's; host names are CNAMEs for any query (docs, FAQs)."""
    hosts = [e.properties["target"] + "." for e in endpoints if not e.address()]
    if hosts:
        return [dns.rrset.from_text(qname, ttl, "IN", "CNAME", hosts[0])]
    want = [e.address() for e in endpoints if (":" in e.address()) == (qtype == "AAAA")]
    if qtype not in ("A", "AAAA") or not want:
        return []
    return [dns.rrset.from_text(qname, ttl, "IN", qtype, *want)]


def negative(zone):
    """The SOA of a negative answer, with the TTL of RFC 2308."""
    soa = zone.sets["@", "SOA"]["properties"]
    ttl = min(soa["TTL"], soa["SOARecord"]["minimumTTL"])
    return dns.rrset.from_text(zone.name + ".", ttl, "IN", "SOA", *texts("SOA", soa))
