"""The contract of the simulated Azure DNS and Traffic Manager, told by Microsoft's own clients, octoDNS and
dnspython."""

import threading

import azure.mgmt.dns.models as d
import pytest
import requests
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import RetryPolicy
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.mgmt.dns import DnsManagementClient
from azure.mgmt.trafficmanager import TrafficManagerManagementClient

from sim.azure_clients import GROUP, SCOPE, ZONE, a_set, ask, client, put, refused, secret, world
from sim.azure_limits import limit
from sim.azuredns import AzureDns
from sim.server import Reply


@pytest.fixture(scope="session", autouse=True)
def root_only():
    """Nothing here needs root."""


@pytest.fixture
def sim(tmp_path):
    with AzureDns(tmp_path / "azure", zones=[ZONE, "example.net"]) as s:
        yield s


@pytest.fixture
def records(sim):
    return client(DnsManagementClient, sim).record_sets


@pytest.fixture
def tm(sim):
    return client(TrafficManagerManagementClient, sim)


# Tokens


def test_every_kind_of_credential(sim, tmp_path, monkeypatch):
    token = tmp_path / "federated"
    token.write_text(sim.federated_token())
    options = {"authority": sim.url, "connection_verify": sim.ca_file, "disable_instance_discovery": True}
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sim.imds_url)
    for credential in (
        secret(sim),
        CertificateCredential(sim.tenant, sim.client_id, sim.certificate, **options),
        WorkloadIdentityCredential(
            tenant_id=sim.tenant, client_id=sim.client_id, token_file_path=str(token), **options
        ),
        ManagedIdentityCredential(),
    ):
        zones = client(DnsManagementClient, sim, credential).zones.list_by_resource_group(GROUP)
        assert {z.name for z in zones} == {ZONE, "example.net"}


def test_wrong_credentials(sim, tmp_path):
    def no(credential, code):
        with pytest.raises(ClientAuthenticationError, match=f"AADSTS{code}"):
            credential.get_token(SCOPE)

    options = {"authority": sim.url, "connection_verify": sim.ca_file, "disable_instance_discovery": True}
    no(ClientSecretCredential(sim.tenant, sim.client_id, "guess", **options), 7000215)
    no(ClientSecretCredential(sim.tenant, "9d2f", sim.client_secret, **options), 700016)
    with AzureDns(tmp_path / "other") as other:
        no(CertificateCredential(sim.tenant, sim.client_id, other.certificate, **options), 700027)
        strange = other.federated_token()
    for claims, code in (
        ({"sub": "system:serviceaccount:else:dns"}, 700213),
        ({"iss": "https://else.example.com"}, 700211),
        ({"exp": 1}, 700024),
        ({"aud": "api://else"}, 700023),
        (None, 700027),
    ):
        file = tmp_path / "federated"
        file.write_text(strange if claims is None else sim.federated_token(**claims))
        ids = {"tenant_id": sim.tenant, "client_id": sim.client_id}
        no(WorkloadIdentityCredential(**ids, token_file_path=str(file), **options), code)
    with pytest.raises(ClientAuthenticationError, match="AADSTS1002012"):
        secret(sim).get_token("https://management.azure.com/user")


def test_managed_identity_wants_its_header(sim):
    url = f"{sim.imds_url}/metadata/identity/oauth2/token?api-version=2018-02-01"
    where = url + "&resource=https://management.azure.com/"
    assert requests.get(where).json()["error"] == "invalid_request"
    assert requests.get(url, headers={"Metadata": "true"}).status_code == 400
    assert requests.get(where + "&client_id=x", headers={"Metadata": "true"}).status_code == 400
    assert isinstance(requests.get(where, headers={"Metadata": "true"}).json()["expires_in"], str)


def test_calls_without_a_live_token(sim, records):
    url = f"{sim.url}{sim.place}/dnsZones?api-version=2018-05-01"
    for headers in {}, {"Authorization": "Bearer x"}:
        got = requests.get(url, headers=headers, verify=sim.ca_file)
        assert got.status_code == 401 and "Bearer" in got.headers["WWW-Authenticate"]
    storage = secret(sim).get_token("https://storage.azure.com/.default").token
    got = requests.get(url, headers={"Authorization": f"Bearer {storage}"}, verify=sim.ca_file)
    assert got.json()["error"]["code"] == "InvalidAuthenticationTokenAudience"
    put(records, "www", "A", a_set("192.0.2.1"))
    sim.expire_tokens()
    with pytest.raises(ClientAuthenticationError, match="ExpiredAuthenticationToken"):
        records.get(GROUP, ZONE, "www", "A")
    assert client(DnsManagementClient, sim).record_sets.get(GROUP, ZONE, "www", "A")


def test_tokens_are_renewed_before_their_end(sim):
    sim.entra.seconds = 60  # less than the five minutes that the SDK wants
    zones = client(DnsManagementClient, sim).zones
    for _ in range(3):
        list(zones.list())
    assert len(sim.entra.tokens) == 3


# Resource Manager


def test_version_place_and_role(sim, records, tm):
    headers = {"Authorization": "Bearer " + secret(sim).get_token(SCOPE).token}

    def code(path):
        got = requests.get(sim.url + path, headers=headers, verify=sim.ca_file)
        return got.status_code, got.json()["error"]["code"]

    assert code(f"{sim.place}/dnsZones") == (400, "MissingApiVersionParameter")
    assert code(f"{sim.place}/dnsZones?api-version=2016-04-01") == (400, "NoRegisteredProviderFound")
    other = sim.place.replace(sim.subscription, "0000")
    assert code(f"{other}/dnsZones?api-version=2018-05-01") == (404, "SubscriptionNotFound")
    other = sim.place.replace("/dns/", "/else/")
    assert code(f"{other}/dnsZones?api-version=2018-05-01") == (404, "ResourceGroupNotFound")
    sim.deny |= {"Microsoft.Network/dnsZones/A/write", "Microsoft.Network/trafficManagerProfiles/write"}
    assert "dnsZones/A/write" in str(
        refused(403, "AuthorizationFailed", put, records, "w", "A", a_set("192.0.2.1"))
    )
    refused(403, "AuthorizationFailed", world, tm)
    assert put(records, "w", "TXT", d.RecordSet(ttl=60, txt_records=[d.TxtRecord(value=["x"])]))


def test_bodies_are_those_of_the_models(sim):
    headers = {"Authorization": "Bearer " + secret(sim).get_token(SCOPE).token}
    www = f"{sim.url}{sim.place}/dnsZones/{ZONE}/A/www?api-version=2018-05-01"
    tm = f"{sim.url}{sim.place}/trafficManagerProfiles/p?api-version=2022-04-01"
    good = {"properties": {"TTL": 60, "ARecords": [{"ipv4Address": "192.0.2.1"}]}}
    for url, body in (
        (www, {**good, "ttl": 60}),
        (www, {"properties": {**good["properties"], "ttl": 60}}),
        (www, {"properties": {**good["properties"], "TTL": "60"}}),
        (www, {"properties": {**good["properties"], "ARecords": {"ipv4Address": "192.0.2.1"}}}),
        (www, {"properties": {**good["properties"], "ARecords": [{"ipv4address": "192.0.2.1"}]}}),
        (www, {"properties": {**good["properties"], "fqdn": "www.example.com."}}),
        (www, {"properties": {**good["properties"], "metadata": {"epoch": 1}}}),
        (www, {"id": "x", **good}),
        (www, []),
        (tm, {"location": "global", "properties": {"trafficRoutingMethod": "Nearest"}}),
        (tm, {"location": "global", "properties": {"monitorConfig": {"protocol": "ICMP"}}}),
        (tm, {"location": "global", "properties": {"dnsConfig": {"ttl": True}}}),
        (tm, {"location": "global", "properties": {"dnsConfig": {"fqdn": "p.trafficmanager.test"}}}),
        (tm, {"location": "global", "properties": {"endpoints": [{"properties": {"endpointStatus": "On"}}]}}),
    ):
        got = requests.put(url, json=body, headers=headers, verify=sim.ca_file)
        assert (got.status_code, got.json()["error"]["code"]) == (400, "InvalidRequestContent"), body
    assert requests.put(www, json=good, headers=headers, verify=sim.ca_file).status_code == 201
    assert requests.put(www, data=b"{", headers=headers, verify=sim.ca_file).status_code == 400


def test_a_reply_that_the_sdk_could_not_read_is_an_error_of_ours(sim, records):
    sim.zones[ZONE].store("odd", "A", {"TTL": "60", "ARecords": []})
    refused(500, "SimulatorBroken", records.get, GROUP, ZONE, "odd", "A")


# Record sets


def test_a_life_of_a_record_set(sim, records):
    made = put(records, "www", "A", a_set("192.0.2.1", metadata={"epoch": "1"}), if_none_match="*")
    assert (made.fqdn, made.type, made.metadata) == (
        "www.example.com.",
        "Microsoft.Network/dnszones/A",
        {"epoch": "1"},
    )
    assert ask(sim, "www.example.com") == ("NOERROR", 60, ["192.0.2.1"], [])
    changed = put(records, "www", "A", a_set("192.0.2.2", ttl=30), if_match=made.etag)
    assert changed.etag != made.etag and changed.metadata is None
    patched = records.update(GROUP, ZONE, "www", "A", d.RecordSet(ttl=90), if_match=changed.etag)
    assert (patched.ttl, patched.a_records[0].ipv4_address) == (90, "192.0.2.2")
    assert patched.etag != changed.etag
    assert sim.rrsets(ZONE)["www.example.com.", "A"] == (90, ["192.0.2.2"])
    refused(412, "PreconditionFailed", records.delete, GROUP, ZONE, "www", "A", if_match=made.etag)
    records.delete(GROUP, ZONE, "www", "A", if_match=patched.etag)
    records.delete(GROUP, ZONE, "www", "A")
    assert ask(sim, "www.example.com")[0] == "NXDOMAIN"


def test_what_is_not_there(sim, records):
    with pytest.raises(ResourceNotFoundError, match="does not exist"):
        records.get(GROUP, ZONE, "www", "A")
    with pytest.raises(ResourceNotFoundError, match="ParentResourceNotFound"):
        put(records, "www", "A", a_set("192.0.2.1"), zone="example.org")
    with pytest.raises(ResourceNotFoundError, match="ResourceNotFound"):
        client(DnsManagementClient, sim).zones.get(GROUP, "example.org")
    refused(404, "NotFound", records.update, GROUP, ZONE, "www", "A", d.RecordSet(ttl=90))
    refused(412, "PreconditionFailed", put, records, "www", "A", a_set("192.0.2.1"), if_match="*")


def test_errors_of_dns_are_bare(sim):
    headers = {"Authorization": "Bearer " + secret(sim).get_token(SCOPE).token}
    url = f"{sim.url}{sim.place}/dnsZones/{ZONE}/A/www?api-version=2018-05-01"
    assert requests.get(url, headers=headers, verify=sim.ca_file).json()["code"] == "NotFound"


@pytest.mark.parametrize(
    "name,kind,body,says",
    [
        ("www", "A", a_set("192.0.2.300"), "not a valid IP"),
        ("www", "A", a_set("192.0.2.1", "192.0.2.1"), "multiple entries"),
        ("www", "A", a_set("192.0.2.1", ttl=0), "TTL"),
        ("www", "A", a_set("192.0.2.1", ttl=2**31), "TTL"),
        ("www", "A", a_set(*[f"192.0.2.{i}" for i in range(21)]), "limit of 20"),
        ("www", "A", d.RecordSet(ttl=60), "cannot be null"),
        ("www", "A", d.RecordSet(ttl=60, txt_records=[d.TxtRecord(value=["x"])]), "must not have"),
        ("a..b", "A", a_set("192.0.2.1"), "name 'a..b' is invalid"),
        (
            "www",
            "AAAA",
            d.RecordSet(ttl=60, aaaa_records=[d.AaaaRecord(ipv6_address="192.0.2.1")]),
            "valid IP",
        ),
        ("www", "CNAME", d.RecordSet(ttl=60, cname_record=d.CnameRecord(cname="a b")), "domain name 'a b'"),
        ("www", "TXT", d.RecordSet(ttl=60, txt_records=[d.TxtRecord(value=["x" * 256])]), "255"),
        ("www", "TXT", d.RecordSet(ttl=60, txt_records=[d.TxtRecord(value=["x" * 255] * 17)]), "4096"),
        (
            "@",
            "NS",
            d.RecordSet(ttl=60, ns_records=[d.NsRecord(nsdname="ns1.example.net.")]),
            "cannot be removed",
        ),
        ("sub", "SOA", d.RecordSet(ttl=60, soa_record=d.SoaRecord(host="x")), "required"),
    ],
)
def test_record_sets_that_are_refused(records, name, kind, body, says):
    assert says in str(refused(400, "BadRequest", put, records, name, kind, body))


def test_cname_is_alone(records):
    cname = d.RecordSet(ttl=60, cname_record=d.CnameRecord(cname="a.example.net"))
    put(records, "www", "CNAME", cname)
    refused(409, "Conflict", put, records, "www", "A", a_set("192.0.2.1"))
    put(records, "api", "A", a_set("192.0.2.1"))
    refused(409, "Conflict", put, records, "api", "CNAME", cname)
    refused(409, "Conflict", put, records, "@", "CNAME", cname)


def test_the_apex(sim, records):
    ns = records.get(GROUP, ZONE, "@", "NS")
    assert [r.nsdname for r in ns.ns_records] == [f"ns{i}-01.azure-dns.test." for i in (1, 2, 3, 4)]
    ns.ns_records.append(d.NsRecord(nsdname="ns1.example.net."))
    put(records, "@", "NS", ns, if_match=ns.etag)
    assert len(ask(sim, ZONE, "NS")[2]) == 5
    soa = records.get(GROUP, ZONE, "@", "SOA")
    assert soa.soa_record.minimum_ttl == 300
    soa.soa_record.minimum_ttl = 60
    put(records, "@", "SOA", soa)
    assert ask(sim, "nobody.example.com")[3][0].split()[1] == "60"
    soa.soa_record.host = "ns9.example.net."
    refused(400, "BadRequest", put, records, "@", "SOA", soa)
    for kind in "NS", "SOA":
        refused(400, "BadRequest", records.delete, GROUP, ZONE, "@", kind)


def test_pages_go_on_where_they_stopped(sim, records):
    for i in range(7):
        put(records, f"n{i}", "A", a_set("192.0.2.1"))
    pages = records.list_by_dns_zone(GROUP, ZONE, top=3).by_page()
    first = [r.name for r in next(pages)]
    records.delete(GROUP, ZONE, first[-1], "A")
    rest = [r.name for page in pages for r in page]
    assert sorted(first + rest) == ["@", "@"] + [f"n{i}" for i in range(7)]
    assert [r.name for r in records.list_all_by_dns_zone(GROUP, ZONE, record_set_name_suffix="6")] == ["n6"]
    assert len(list(records.list_by_type(GROUP, ZONE, "A", top=1))) == 6


def test_a_zone_has_an_end(sim, records):
    zone = sim.zones[ZONE]
    for i in range(limit("record sets in a zone") - 2):
        zone.sets[f"n{i}", "A"] = {"name": f"n{i}", "etag": "", "properties": {"TTL": 1, "ARecords": []}}
    refused(400, "BadRequest", put, records, "www", "A", a_set("192.0.2.1"))
    assert put(records, "n1", "A", a_set("192.0.2.1"))


def test_of_two_writers_one_wins(sim):
    clients = [client(DnsManagementClient, sim).record_sets for _ in range(2)]
    etag, won = put(clients[0], "www", "A", a_set("192.0.2.1"), if_none_match="*").etag, []
    refused(412, "PreconditionFailed", put, clients[1], "www", "A", a_set("192.0.2.2"), if_none_match="*")

    def write(i):
        try:
            won.append(put(clients[i], "www", "A", a_set(f"192.0.2.{10 + i}"), if_match=etag))
        except HttpResponseError as e:
            assert e.status_code == 412

    threads = [threading.Thread(target=write, args=[i]) for i in (0, 1)]
    for th in threads:
        th.start()
    for th in threads:
        th.join()
    assert len(won) == 1
    assert clients[0].get(GROUP, ZONE, "www", "A").etag == won[0].etag != etag


def test_a_lost_reply_shows_as_a_condition_that_failed(sim, records):
    sim.fault("PUT .*/A/www", "lose")
    with pytest.raises((ServiceResponseError, ServiceRequestError)):
        put(records, "www", "A", a_set("192.0.2.1"), if_none_match="*")
    refused(412, "PreconditionFailed", put, records, "www", "A", a_set("192.0.2.1"), if_none_match="*")
    assert records.get(GROUP, ZONE, "www", "A").a_records[0].ipv4_address == "192.0.2.1"


def test_throttled_calls_are_tried_again(sim, records):
    sim.throttle("PUT .*/A/www", times=2)
    e = refused(429, "ResourceRequestsThrottled", put, records, "www", "A", a_set("192.0.2.1"))
    assert e.response.headers["Retry-After"] == "1"
    patient = client(DnsManagementClient, sim, retry_policy=RetryPolicy()).record_sets
    assert put(patient, "www", "A", a_set("192.0.2.1"))
    tried = [r for r in sim.requests if r.method == "PUT"]
    assert len(tried) == 3


def test_broken_services(sim, records):
    sim.fault("GET .*/A/www", "html")
    with pytest.raises(HttpResponseError) as e:
        records.get(GROUP, ZONE, "www", "A")
    assert e.value.status_code == 500
    sim.fault("GET .*/A/www", lambda r: Reply(409, b'{"code":"Conflict","message":"busy"}'))
    with pytest.raises(HttpResponseError) as e:
        records.get(GROUP, ZONE, "www", "A")
    assert e.value.status_code == 409
