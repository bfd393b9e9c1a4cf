"""Traffic Manager: profiles and endpoints as the API keeps them, and what it refuses. Profiles have no etag:
the last writer wins."""

import ipaddress
import re
from dataclasses import dataclass, field

import azure.mgmt.trafficmanager.models as models

from sim.azure_errors import Refused
from sim.azure_limits import DEFAULTS, limit
from sim.azure_schema import request_body
from sim.world import regions

TYPE = "Microsoft.Network/trafficManagerProfiles"
KINDS = {"externalendpoints": "externalEndpoints", "nestedendpoints": "nestedEndpoints"}
REGIONS = regions("azure")
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
HOST = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")
GEO = re.compile(r"WORLD|GEO-(AF|AP|AS|EU|ME|NA|SA)|[A-Z]{2}(-[A-Z0-9]{1,3})?")


def bad(message):
    return Refused(400, "BadRequest", message)


def region(name):
    """The code of an Azure region by its code or display name ("West Europe"), or None."""
    code = (name or "").lower().replace(" ", "")
    return code if code in REGIONS else None


@dataclass
class Endpoint:
    name: str
    kind: str
    properties: dict

    def address(self):
        """Its IP address, or None for a host name or a nested profile."""
        try:
            return str(ipaddress.ip_address(self.properties.get("target") or ""))
        except ValueError:
            return None


@dataclass
class Profile:
    name: str
    place: str  # the resource id
    method: str
    relative: str
    ttl: int
    monitor: dict
    enabled: bool
    max_return: int | None
    tags: dict
    allowed: list | None
    view: str
    endpoints: list = field(default_factory=list)


def canonical(enum, value):
    """An enum's value in the service's own letter case."""
    return next(m.value for m in enum if m.value.lower() == value.lower())


def checked_monitor(given):
    """The monitor's settings with the defaults filled in."""
    protocol = canonical(models.MonitorProtocol, given.get("protocol") or "HTTP")
    out = {"protocol": protocol, "port": given.get("port", 443 if protocol == "HTTPS" else 80)}
    if not 1 <= out["port"] <= 65535:
        raise bad("The port of the monitor must be between 1 and 65535.")
    path = given.get("path")
    if protocol == "TCP" and path:
        raise bad("The path of the monitor must not be set when the protocol is TCP.")
    if protocol != "TCP":
        out["path"] = path or "/"
        if not out["path"].startswith("/"):
            raise bad("The path of the monitor must begin with '/'.")
    every = given.get("intervalInSeconds") or DEFAULTS["probe interval"]
    if every not in limit("probe intervals"):
        raise bad(f"The intervalInSeconds '{every}' is not valid. It must be 10 or 30.")
    timeout = given.get("timeoutInSeconds") or DEFAULTS["probe timeout"][every]
    if timeout not in limit(f"probe timeout at {every} s"):
        most = limit(f"probe timeout at {every} s")[-1]
        raise bad(f"The timeoutInSeconds '{timeout}' is not valid. It must be between 5 and {most}.")
    failures = given.get("toleratedNumberOfFailures", DEFAULTS["tolerated failures"])
    if failures not in limit("tolerated failures"):
        raise bad(f"The toleratedNumberOfFailures '{failures}' is not valid. It must be between 0 and 9.")
    out |= {"intervalInSeconds": every, "timeoutInSeconds": timeout, "toleratedNumberOfFailures": failures}
    for key, name in ("customHeaders", "custom headers"), ("expectedStatusCodeRanges", "status code ranges"):
        if given.get(key):
            if len(given[key]) > limit(name):
                raise bad(f"The monitor must not have more than {limit(name)} {key}.")
            out[key] = given[key]
    return out


def endpoint_kind(text):
    """externalEndpoints, nestedEndpoints of a path's part or of a type."""
    last = (text or "").split("/")[-1].lower()
    if last not in KINDS:
        raise bad(f"The endpoint type '{text}' is not valid (this simulator has no Azure endpoints).")
    return KINDS[last]


class Traffic:
    """All profiles of a subscription; `taken` are names of other customers."""

    def __init__(self, place, domain):
        self.place, self.domain = place, domain
        self.profiles, self.taken = {}, set()  # by name in lower case

    def by_id(self, resource):
        """The profile of a resource id, in any letter case."""
        head, _, name = (resource or "").rpartition("/")
        where = f"{self.place}/trafficManagerProfiles"
        return self.profiles.get(name.lower()) if head.lower() == where.lower() else None

    def find(self, name):
        if name.lower() not in self.profiles:
            group = self.place.split("/")[4]
            raise Refused(
                404,
                "ResourceNotFound",
                f"The Resource 'Microsoft.Network/trafficmanagerprofiles/{name}' under resource group"
                f" '{group}' was not found. For more details please go to"
                " https://aka.ms/ARMResourceNotFoundFix",
            )
        return self.profiles[name.lower()]

    def availability(self, name):
        fqdn = f"{name.lower()}.{self.domain}"
        used = name.lower() in self.taken | {p.relative.lower() for p in self.profiles.values()}
        out = {"name": name, "type": TYPE, "nameAvailable": not used}
        if used:
            out["reason"] = "AlreadyExists"
            out["message"] = f"Domain name {fqdn} already exists. Please choose a different DNS prefix."
        return out

    def put(self, name, body):
        request_body(models, "Profile", body)
        if (body.get("location") or "global").lower() != "global":
            raise Refused(
                400,
                "MissingRegistrationForLocation",
                "The subscription is not registered for the resource type 'trafficmanagerprofiles' in the"
                f" location '{body['location']}'.",
            )
        if not NAME.fullmatch(name):
            raise bad(f"The profile name '{name}' is invalid.")
        old = self.profiles.get(name.lower())
        if not old and len(self.profiles) >= limit("profiles"):
            raise bad("The subscription has as many profiles as it can have.")
        new = self.checked(old.name if old else name, body)
        self.profiles[name.lower()] = new
        return (200 if old else 201), new

    def patch(self, name, body):
        """Whole objects below "properties" are merged, lists replaced."""
        request_body(models, "Profile", body)
        old = self.find(name)
        now = self.request_of(old)
        for key, value in (body.get("properties") or {}).items():
            merge = isinstance(value, dict) and isinstance(now["properties"].get(key), dict)
            now["properties"][key] = {**now["properties"][key], **value} if merge else value
        if "tags" in body:
            now["tags"] = body["tags"]
        new = self.checked(old.name, now)
        self.profiles[name.lower()] = new
        return 200, new

    def request_of(self, profile):
        endpoints = [
            {"name": e.name, "type": f"{TYPE}/{e.kind}", "properties": dict(e.properties)}
            for e in profile.endpoints
        ]
        return {
            "location": "global",
            "tags": profile.tags,
            "properties": {
                "profileStatus": "Enabled" if profile.enabled else "Disabled",
                "trafficRoutingMethod": profile.method,
                "dnsConfig": {"relativeName": profile.relative, "ttl": profile.ttl},
                "monitorConfig": dict(profile.monitor),
                "endpoints": endpoints,
                "trafficViewEnrollmentStatus": profile.view,
                "maxReturn": profile.max_return,
                "allowedEndpointRecordTypes": profile.allowed,
            },
        }

    def checked(self, name, body):
        """The profile that a body asks for, with all its endpoints."""
        p = body.get("properties") or {}
        for key in "trafficRoutingMethod", "dnsConfig", "monitorConfig":
            if not p.get(key):
                raise bad(f"The property '{key}' of the profile is required.")
        relative, ttl = p["dnsConfig"].get("relativeName"), p["dnsConfig"].get("ttl")
        if not relative or not all(NAME.fullmatch(x) for x in relative.split(".")):
            raise bad(f"The relativeName '{relative}' is invalid.")
        others = {q.relative.lower() for q in self.profiles.values() if q.name.lower() != name.lower()}
        if relative.lower() in self.taken | others:
            fqdn = f"{relative.lower()}.{self.domain}"
            text = f"Domain name {fqdn} already exists. Please choose a different DNS prefix."
            raise Refused(409, "Conflict", text)
        if ttl not in limit("TTL of a profile"):
            raise bad(f"The ttl '{ttl}' of the profile is not valid.")
        method = canonical(models.TrafficRoutingMethod, p["trafficRoutingMethod"])
        if method == "Subnet":
            raise bad("This simulator has no Subnet routing.")
        most = p.get("maxReturn")
        if most is not None and most not in limit("answers of MultiValue"):
            raise bad(f"The maxReturn '{most}' is not valid. It must be between 1 and 10.")
        profile = Profile(
            name,
            f"{self.place}/trafficManagerProfiles/{name}",
            method,
            relative,
            ttl,
            checked_monitor(p["monitorConfig"]),
            (p.get("profileStatus") or "Enabled").lower() == "enabled",
            most or (DEFAULTS["answers of MultiValue"] if method == "MultiValue" else None),
            body.get("tags") or {},
            p.get("allowedEndpointRecordTypes"),
            p.get("trafficViewEnrollmentStatus") or "Disabled",
        )
        for given in p.get("endpoints") or []:
            kind = endpoint_kind(given.get("type"))
            self.add(profile, given.get("name"), kind, given.get("properties") or {})
        return profile

    def add(self, profile, name, kind, given):
        """Puts one endpoint into a profile, in the place of one of the same name."""
        if not name or len(name) > 260 or set(name) & set("<>*%&:\\?+/"):
            raise bad(f"The endpoint name '{name}' is invalid.")
        others = [e for e in profile.endpoints if e.name.lower() != name.lower()]
        replaced = next((e for e in profile.endpoints if e.name.lower() == name.lower()), None)
        if replaced and replaced.kind != kind:
            raise bad(f"The endpoint '{name}' exists with another type.")
        if len(others) >= limit("endpoints in a profile"):
            raise bad(f"The profile '{profile.name}' has as many endpoints as it can have.")
        kept = self.checked_endpoint(profile, name, kind, given)
        self.check_order(profile, kept, others, replaced)
        endpoint = Endpoint(name, kind, kept)
        if replaced:
            profile.endpoints[profile.endpoints.index(replaced)] = endpoint
        else:
            profile.endpoints.append(endpoint)
        return endpoint, not replaced

    def check_order(self, profile, kept, others, replaced):
        """What must not be twice in a profile: targets, priorities, places of Geographic."""
        used = {e.properties["priority"] for e in others}
        if kept.get("priority") is None:
            free = replaced.properties["priority"] if replaced else None
            kept["priority"] = free or next(n for n in range(1, 1001) if n not in used)
        elif kept["priority"] in used:
            raise bad(f"The priority '{kept['priority']}' is used by more than one endpoint.")
        key = "targetResourceId" if "targetResourceId" in kept else "target"
        if kept[key].lower() in {str(e.properties.get(key)).lower() for e in others}:
            raise bad(f"The target '{kept[key]}' is used by more than one endpoint of the profile.")
        places = {g for e in others for g in e.properties.get("geoMapping", [])}
        twice = places & set(kept.get("geoMapping", []))
        if twice:
            raise bad(f"The location '{min(twice)}' is mapped to more than one endpoint.")

    def checked_endpoint(self, profile, name, kind, p):
        kept = {"endpointStatus": canonical(models.EndpointStatus, p.get("endpointStatus") or "Enabled")}
        for key in "weight", "priority":
            value = p.get(key)
            if value is not None and value not in limit(key):
                raise bad(f"The {key} '{value}' of the endpoint '{name}' is not valid. It must be 1 to 1000.")
            kept[key] = value
        kept["weight"] = kept["weight"] or DEFAULTS["weight"]
        kept["alwaysServe"] = canonical(models.AlwaysServe, p.get("alwaysServe") or "Disabled")
        place = p.get("endpointLocation")
        if profile.method == "Performance" and not place:
            raise bad(
                f"The endpointLocation of the endpoint '{name}' must be specified for Performance routing."
            )
        if place and not region(place):
            raise bad(f"The endpointLocation '{place}' of the endpoint '{name}' is not a supported location.")
        if place:
            kept["endpointLocation"] = place
        self.check_geo(profile, name, p, kept)
        if p.get("customHeaders"):
            kept["customHeaders"] = p["customHeaders"]
        return kept | (
            self.external(profile, name, p) if kind == "externalEndpoints" else self.nested(profile, name, p)
        )

    def check_geo(self, profile, name, p, kept):
        codes = p.get("geoMapping") or []
        wrong = [c for c in codes if not GEO.fullmatch(c)]
        if wrong:
            raise bad(
                f"The following locations specified in the geoMapping property for endpoint '{name}' are not"
                f" supported: {', '.join(wrong)}. For a list of supported locations, see the Traffic Manager"
                " documentation."
            )
        if profile.method == "Geographic" and not codes:
            raise bad(f"The geoMapping of the endpoint '{name}' must be specified for Geographic routing.")
        if codes:
            kept["geoMapping"] = codes

    def external(self, profile, name, p):
        target = p.get("target") or ""
        address = Endpoint(name, "", {"target": target}).address()
        if p.get("targetResourceId"):
            raise bad(f"The external endpoint '{name}' must not have a targetResourceId.")
        if p.get("minChildEndpoints") is not None:
            raise bad(f"The external endpoint '{name}' must not have minChildEndpoints.")
        if not address and (not HOST.fullmatch(target) or re.fullmatch(r"[\d.]+", target)):
            raise bad(f"The target '{target}' of the endpoint '{name}' is not valid.")
        if profile.method == "MultiValue" and not address:
            raise bad(f"The target '{target}' must be an IP address: the routing method is MultiValue.")
        kind = "DomainName" if not address else "IPv6Address" if ":" in address else "IPv4Address"
        if profile.allowed and not {kind.lower(), "any"} & {a.lower() for a in profile.allowed}:
            raise bad(f"The record type {kind} of the endpoint '{name}' is not allowed in the profile.")
        return {"target": target}

    def nested(self, profile, name, p):
        """Refuses loops and what has no such profile."""
        child = self.by_id(p.get("targetResourceId"))
        if not child:
            raise bad(f"The targetResourceId of the nested endpoint '{name}' is no profile.")
        if profile.method == "MultiValue":
            raise bad(f"The nested endpoint '{name}' cannot be in a profile with MultiValue routing.")
        if self.depth(child, profile.name.lower()) > limit("levels of nesting"):
            raise bad("Profiles can be nested 10 levels deep.")
        least = p.get("minChildEndpoints")
        least = DEFAULTS["minChildEndpoints"] if least is None else least
        if least < 1:
            raise bad(f"The minChildEndpoints '{least}' of the endpoint '{name}' must be at least 1.")
        return {"targetResourceId": child.place, "minChildEndpoints": least}

    def depth(self, profile, above):
        """Levels from this profile down."""
        if profile.name.lower() == above:
            raise bad("The nested profiles form a loop.")
        children = [
            self.by_id(e.properties["targetResourceId"])
            for e in profile.endpoints
            if e.kind == "nestedEndpoints"
        ]
        return 1 + max((self.depth(c, above) for c in children if c), default=0)

    def put_endpoint(self, profile_name, kind, name, body, merge=False):
        request_body(models, "Endpoint", body)
        profile, given = self.find(profile_name), body.get("properties") or {}
        if merge:
            given = {**self.find_endpoint(profile, kind, name).properties, **given}
        endpoint, new = self.add(profile, name, kind, given)
        return (201 if new else 200), endpoint

    def find_endpoint(self, profile, kind, name):
        for e in profile.endpoints:
            if e.name.lower() == name.lower() and e.kind == kind:
                return e
        raise Refused(
            404, "NotFound", f"The endpoint '{name}' of the profile '{profile.name}' does not exist."
        )

    def delete_endpoint(self, profile_name, kind, name):
        profile = self.find(profile_name)
        found = [e for e in profile.endpoints if e.name.lower() == name.lower() and e.kind == kind]
        for e in found:
            profile.endpoints.remove(e)
        return 200 if found else 204

    def delete(self, name):
        """Nothing holds a profile: aliases of it become empty (docs, dns-alias), nested endpoints stop.
        octoDNS deletes parents and children in any order."""
        return 200 if self.profiles.pop(name.lower(), None) else 204
