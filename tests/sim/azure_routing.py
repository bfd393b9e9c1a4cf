"""What Traffic Manager thinks of its endpoints and which one it answers with, as learn.microsoft.com says:
traffic-manager-monitoring (statuses; all degraded are taken as online), -nested-profiles (status of a nested
endpoint), -routing-methods and -FAQs (choice; which record type meets which query)."""

import random

from sim.azure_traffic import REGIONS, TYPE, region
from sim.world import km, place_of

SERVES = "Online", "CheckingEndpoint", "Unmonitored"
CONTINENTS = {"OC": "GEO-AP"}  # the others are GEO- and their code


class Routing:
    """`down`: targets whose probes fail; `unprobed`: those that had no probe yet."""

    def __init__(self, traffic, down, unprobed):
        self.traffic, self.down, self.unprobed = traffic, down, unprobed
        self.random = random.Random(1)

    def status(self, profile, endpoint):
        """endpointMonitorStatus."""
        p = endpoint.properties
        if p["endpointStatus"] == "Disabled":
            return "Disabled"
        if not profile.enabled:
            return "Inactive"
        if endpoint.kind == "nestedEndpoints":
            return self.nested_status(endpoint)
        if p["alwaysServe"] == "Enabled":
            return "Unmonitored"
        if p["target"] in self.unprobed:
            return "CheckingEndpoint"
        return "Degraded" if p["target"] in self.down else "Online"

    def nested_status(self, endpoint):
        child = self.traffic.by_id(endpoint.properties["targetResourceId"])
        if not child or self.profile_status(child) in ("Disabled", "Inactive"):
            return "Stopped"
        states, least = (
            [self.status(child, e) for e in child.endpoints],
            endpoint.properties["minChildEndpoints"],
        )
        checking = states.count("CheckingEndpoint")
        online = states.count("Online") + states.count("Unmonitored")
        return (
            "Online" if online >= least else "CheckingEndpoint" if online + checking >= least else "Degraded"
        )

    def profile_status(self, profile):
        """profileMonitorStatus."""
        if not profile.enabled:
            return "Disabled"
        found = {self.status(profile, e) for e in profile.endpoints}
        if "Degraded" in found:
            return "Degraded"
        if found & {"Online", "Unmonitored"}:
            return "Online"
        return "CheckingEndpoints" if "CheckingEndpoint" in found else "Inactive"

    def choose(self, profile, client):
        """The endpoints (of type external) to answer with; none when there is nobody to ask for."""
        if not profile.enabled:
            return []
        states = [(e, self.status(profile, e)) for e in profile.endpoints]
        eligible = [e for e, s in states if s in SERVES]
        if profile.method == "Geographic":
            eligible = [e for e, s in states if s in (*SERVES, "Degraded")]
        eligible = eligible or [e for e, s in states if s == "Degraded"]
        if not eligible:
            return []
        found = getattr(self, profile.method.lower())(profile, eligible, client)
        leaves = []
        for e in found:
            if e.kind == "nestedEndpoints":
                leaves += self.choose(self.traffic.by_id(e.properties["targetResourceId"]), client)
            else:
                leaves.append(e)
        return leaves

    def performance(self, profile, endpoints, client):
        """The nearest region; several endpoints of one region share its clients evenly. The real one has
        measured latencies, this one great circles."""
        here = place_of(client)[1:3]
        far = {e.name: km(here, REGIONS[region(e.properties["endpointLocation"])]) for e in endpoints}
        near = min(far.values())
        return [self.random.choice([e for e in endpoints if far[e.name] == near])]

    def weighted(self, profile, endpoints, client):
        return self.random.choices(endpoints, [e.properties["weight"] for e in endpoints])

    def priority(self, profile, endpoints, client):
        return [min(endpoints, key=lambda e: e.properties["priority"])]

    def multivalue(self, profile, endpoints, client):
        return self.random.sample(endpoints, min(profile.max_return, len(endpoints)))

    def geographic(self, profile, endpoints, client):
        """By country, then continent, then the world; an endpoint that is down is not replaced."""
        *_, continent, country = place_of(client)
        for code in country, CONTINENTS.get(continent, f"GEO-{continent}"), "WORLD":
            for e in endpoints:
                if code in e.properties["geoMapping"]:
                    return [e]
        return []

    def endpoint_resource(self, profile, e):
        p = dict(e.properties, endpointMonitorStatus=self.status(profile, e))
        if e.kind == "nestedEndpoints":
            child = self.traffic.by_id(p["targetResourceId"])
            p["target"] = f"{child.relative}.{self.traffic.domain}" if child else None
            p |= {"minChildEndpointsIPv4": 0, "minChildEndpointsIPv6": 0}
        return {
            "id": f"{profile.place}/{e.kind}/{e.name}",
            "name": e.name,
            "type": f"{TYPE}/{e.kind}",
            "properties": p,
        }

    def resource(self, profile):
        """As recorded; there is no etag."""
        properties = self.traffic.request_of(profile)["properties"]
        properties["dnsConfig"]["fqdn"] = f"{profile.relative}.{self.traffic.domain}"
        properties["monitorConfig"]["profileMonitorStatus"] = self.profile_status(profile)
        properties["endpoints"] = [self.endpoint_resource(profile, e) for e in profile.endpoints]
        if properties["allowedEndpointRecordTypes"] is None:
            del properties["allowedEndpointRecordTypes"]
        return {
            "id": profile.place,
            "name": profile.name,
            "type": TYPE,
            "location": "global",
            "tags": profile.tags,
            "properties": properties,
        }
