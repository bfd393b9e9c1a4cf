"""Microsoft's own clients, and dnspython, pointed at the simulator: for the tests of its contract."""

import azure.mgmt.dns.models as d
import azure.mgmt.trafficmanager.models as t
import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential

ZONE, GROUP = "example.com", "dns"
SCOPE = "https://management.azure.com/.default"
PLACES = {
    "fra": ("192.0.2.1", "Germany West Central"),
    "iad": ("192.0.2.2", "eastus"),
    "tyo": ("192.0.2.3", "japaneast"),
}


def secret(sim, **kw):
    options = {"authority": sim.url, "connection_verify": sim.ca_file, "disable_instance_discovery": True}
    return ClientSecretCredential(sim.tenant, sim.client_id, sim.client_secret, **{**options, **kw})


def client(kind, sim, credential=None, **kw):
    options = {"base_url": sim.url, "credential_scopes": [SCOPE], "connection_verify": sim.ca_file}
    return kind(credential or secret(sim), sim.subscription, **{**options, "retry_total": 0, **kw})


def a_set(*addresses, ttl=60, **kw):
    return d.RecordSet(ttl=ttl, a_records=[d.ARecord(ipv4_address=x) for x in addresses], **kw)


def put(records, name, kind, body, zone=ZONE, **kw):
    return records.create_or_update(GROUP, zone, name, kind, body, **kw)


def monitor(**kw):
    usual = {"interval_in_seconds": 10, "timeout_in_seconds": 5, "tolerated_number_of_failures": 2}
    return t.MonitorConfig(**{"protocol": "HTTPS", "port": 443, "path": "/healthz", **usual, **kw})


def external(name, target, location=None, **kw):
    kind = "Microsoft.Network/trafficManagerProfiles/externalEndpoints"
    return t.Endpoint(name=name, type=kind, target=target, endpoint_location=location, **kw)


def nested(name, target, **kw):
    kind = "Microsoft.Network/trafficManagerProfiles/nestedEndpoints"
    return t.Endpoint(name=name, type=kind, target_resource_id=target.id, **kw)


def profile(tm, name, method, *endpoints, ttl=30, relative=None, check=None, **kw):
    body = t.Profile(
        location="global",
        traffic_routing_method=method,
        dns_config=t.DnsConfig(relative_name=relative or name, ttl=ttl),
        monitor_config=check or monitor(),
        endpoints=list(endpoints),
        **kw,
    )
    return tm.profiles.create_or_update(GROUP, name, body)


def world(tm, **kw):
    return profile(tm, "world", "Performance", *[external(n, *where) for n, where in PLACES.items()], **kw)


def alias(target, **kw):
    return d.RecordSet(target_resource=d.SubResource(id=target.id), **kw)


def refused(status, code, call, *args, **kw):
    with pytest.raises(HttpResponseError) as e:
        call(*args, **kw)
    assert (e.value.status_code, e.value.error.code) == (status, code), e.value
    return e.value


def ask(sim, name, kind="A", subnet="198.18.1.7", tcp=False):
    """(rcode, TTL, sorted records, authority)."""
    query = dns.message.make_query(name, kind, use_edns=0, options=[dns.edns.ECSOption(subnet, 24)])
    how = dns.query.tcp if tcp else dns.query.udp
    got = how(query, "127.0.0.1", port=sim.names.port, timeout=5)
    values = sorted(r.to_text() for rrset in got.answer for r in rrset)
    ttl = got.answer[0].ttl if got.answer else None
    return dns.rcode.to_text(got.rcode()), ttl, values, [a.to_text() for a in got.authority]


def many(sim, name, count, **kw):
    found = [ask(sim, name, **kw)[2][0] for _ in range(count)]
    return {v: found.count(v) for v in set(found)}
