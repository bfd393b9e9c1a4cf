"""clouds/azure against the simulated Azure, made as bad as Azure can be."""

import json
import os
import time

import pytest
from lab.lines import Lines, Refused, refusal
from sim import azuredns
from sim.server import Reply

ZONE = "example.com"
A1 = {"properties": {"TTL": 30, "ARecords": [{"ipv4Address": "192.0.2.1"}]}}
A2 = {"properties": {"TTL": 30, "ARecords": [{"ipv4Address": "192.0.2.2"}]}}
WWW = {"zone": ZONE, "type": "A", "name": "www"}
PROFILE = {
    "location": "global",
    "properties": {
        "trafficRoutingMethod": "Performance",
        "dnsConfig": {"relativeName": "kc-www", "ttl": 30},
        "monitorConfig": {"protocol": "TCP", "port": 443},
    },
}
PLACE = {"target": "192.0.2.1", "endpointLocation": "westeurope", "endpointStatus": "Enabled"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("azure")


@pytest.fixture
def azure(folder):
    with azuredns.AzureDns(folder, zones=[ZONE]) as sim:
        yield sim


def ends(sim, **env):
    return {
        "AZURE_RESOURCE_MANAGER_ENDPOINT": sim.url,
        "AZURE_AUTHORITY_HOST": sim.url,
        "KC_TEST_CA": sim.ca_file,
        "KC_TEST_SUBSCRIPTION": sim.subscription,
        **env,
    }


def application(sim, **env):
    return ends(sim, AZURE_TENANT_ID=sim.tenant, AZURE_CLIENT_ID=sim.client_id, **env)


@pytest.fixture
def client(azure, tmp_path):
    env = application(azure, AZURE_CLIENT_SECRET=azure.client_secret)
    with Lines("azure-client", tmp_path, **env) as lines:
        yield lines


def sent(sim, method, part):
    return [q for q in sim.requests if q.method == method and part in q.path]


def tokens(sim):
    return len(sent(sim, "POST", "/oauth2/v2.0/token"))


def test_secret_reads_a_zone(client, azure):
    assert client("zone", zone=ZONE)["properties"]["nameServers"]
    assert {x["type"].split("/")[-1] for x in client("rrsets", zone=ZONE)} == {"NS", "SOA"}
    assert tokens(azure) == 1
    with pytest.raises(Refused) as e:
        client("zone", zone="example.org")
    assert e.value.code == "not-found"


def test_certificate(azure, tmp_path):
    env = application(azure, AZURE_CLIENT_CERTIFICATE_PATH=azure.certificate)
    with Lines("azure-client", tmp_path, **env) as client:
        client("zone", zone=ZONE)
    os.chmod(azure.certificate, 0o640)
    try:
        e = refusal("azure-client", tmp_path, **env)
    finally:
        os.chmod(azure.certificate, 0o600)
    assert e.code == "refused" and "chmod 600" in e.message


def test_federated_token_is_read_again(azure, tmp_path):
    file = tmp_path / "token"
    file.write_text(azure.federated_token() + "\n")
    env = application(azure, AZURE_FEDERATED_TOKEN_FILE=file)
    with Lines("azure-client", tmp_path, **env) as client:
        client("zone", zone=ZONE)
        azure.expire_tokens()
        file.write_text(azure.federated_token(sub="system:serviceaccount:other"))
        with pytest.raises(Refused) as e:
            client("zone", zone=ZONE)
    assert e.value.code == "refused" and "AADSTS700213" in e.value.message and "subject" in e.value.message


def test_managed_identity_then_az(azure, tmp_path):
    env = ends(azure, AZURE_POD_IDENTITY_AUTHORITY_HOST=azure.imds_url)
    with Lines("azure-client", tmp_path, **env) as client:
        client("zone", zone=ZONE)
        azure.expire_tokens()
        azure.imds.fault("metadata", lambda q: Reply(500, b"{}"), 9)
        with pytest.raises(Refused) as e:
            client("zone", zone=ZONE)
        assert e.value.code == "again"  # and az is no way out
        azure.imds.faults.clear()
        client("zone", zone=ZONE)
    token = azure.entra.issue("https://management.azure.com")
    value = {"accessToken": token, "expires_on": int(time.time()) + 3600}
    az = tmp_path / "az"
    az.write_text(f"#!/bin/sh\necho \"$@\" >{tmp_path}/asked\ncat {tmp_path}/reply\n")
    az.chmod(0o755)
    env = ends(azure, AZURE_POD_IDENTITY_AUTHORITY_HOST="http://127.0.0.1:1")
    env["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    local = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.localtime(time.time() + 3600))
    for reply in value, {"accessToken": token, "expiresOn": local}:
        (tmp_path / "reply").write_text(json.dumps(reply))
        with Lines("azure-client", tmp_path, **env) as client:
            client("zone", zone=ZONE)
            client("zone", zone=ZONE)
    asked = "account get-access-token --output json --resource https://management.azure.com\n"
    assert (tmp_path / "asked").read_text() == asked
    az.write_text("#!/bin/sh\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n")
    with Lines("azure-client", tmp_path, **env) as client, pytest.raises(Refused) as e:
        client("zone", zone=ZONE)
    assert e.value.code == "refused"
    for word in "AZURE_CLIENT_SECRET", "no metadata service answers", "Please run 'az login'":
        assert word in e.value.message


def test_identity_that_is_not_there(azure, tmp_path):
    env = ends(azure, AZURE_POD_IDENTITY_AUTHORITY_HOST=azure.imds_url, AZURE_CLIENT_ID="other")
    env["PATH"] = str(tmp_path)
    with Lines("azure-client", tmp_path, **env) as client, pytest.raises(Refused) as e:
        client("zone", zone=ZONE)
    assert e.value.code == "refused" and "no such identity as other" in e.value.message


@pytest.mark.parametrize(
    "change, words",
    [
        ({"AZURE_TENANT_ID": "wrong.example.com"}, "AADSTS90002|correct AZURE_TENANT_ID"),
        ({"AZURE_CLIENT_ID": "wrong"}, "AADSTS700016|correct AZURE_CLIENT_ID"),
        ({"AZURE_CLIENT_SECRET": "wr+ong/=&"}, "AADSTS7000215|the secret's value"),
        ({"AZURE_RESOURCE_MANAGER_AUDIENCE": "https://other.example.com"}, "AADSTS500011|audience"),
    ],
)
def test_entras_refusals_say_what_to_do(azure, tmp_path, change, words):
    env = application(azure, AZURE_CLIENT_SECRET=azure.client_secret)
    with Lines("azure-client", tmp_path, **env) as client:
        client("zone", zone=ZONE)
    with Lines("azure-client", tmp_path, **{**env, **change}) as client, pytest.raises(Refused) as e:
        client("zone", zone=ZONE)
    assert e.value.code == "refused" and all(w in e.value.message for w in words.split("|"))
    assert "Trace ID" not in e.value.message and "\n" not in e.value.message
    assert "wr+ong" not in e.value.message


@pytest.mark.parametrize(
    "change, words",
    [
        ({"AZURE_TENANT_ID": ""}, "AZURE_TENANT_ID is not"),
        ({"AZURE_CLIENT_ID": ""}, "AZURE_CLIENT_ID is not"),
        ({"AZURE_TENANT_ID": "../x"}, "AZURE_TENANT_ID=../x"),
        ({"AZURE_AUTHORITY_HOST": "http://login.example.com"}, "AZURE_AUTHORITY_HOST"),
        ({"AZURE_RESOURCE_MANAGER_ENDPOINT": "http://arm.example.com"}, "AZURE_RESOURCE_MANAGER_ENDPOINT"),
        ({"AZURE_CLIENT_SECRET": "", "AZURE_CLIENT_CERTIFICATE_PATH": "/nowhere"}, "/nowhere"),
    ],
)
def test_wrong_settings_are_named(azure, tmp_path, change, words):
    env = application(azure, AZURE_CLIENT_SECRET="x")
    assert words in refusal("azure-client", tmp_path, **{**env, **change}).message


def test_certificate_of_another_key(azure, tmp_path):
    file = tmp_path / "client.pem"
    os.makedirs(tmp_path / "other")
    with azuredns.AzureDns(tmp_path / "other") as other:
        mine, theirs = open(azure.certificate).read(), open(other.certificate).read()
    at = theirs.index("-----BEGIN CERTIFICATE")
    env = application(azure, AZURE_CLIENT_CERTIFICATE_PATH=file)
    wrong = {"": "no certificate", mine[:1000]: "no certificate"}
    wrong[mine[: mine.index("-----BEGIN CERTIFICATE")] + theirs[at:]] = "not of this key"
    for text, words in wrong.items():
        file.write_text(text)
        file.chmod(0o600)
        e = refusal("azure-client", tmp_path, **env)
        assert e.code == "invalid" and str(file) in e.message and words in e.message
    file.write_text(theirs)
    with Lines("azure-client", tmp_path, **env) as client, pytest.raises(Refused) as e:
        client("zone", zone=ZONE)
    assert "AADSTS700027" in e.value.message and "register this certificate" in e.value.message


def test_expired_token_is_renewed_once(client, azure):
    client("zone", zone=ZONE)
    azure.expire_tokens()
    client("zone", zone=ZONE, threads=8)
    assert tokens(azure) == 2
    azure.fault("dnsZones", lambda q: Reply(401, b"{}"), 9)
    with pytest.raises(Refused) as e:
        client("zone", zone=ZONE)
    assert e.value.code == "refused" and tokens(azure) == 3


def test_put_is_compare_and_swap(client, azure):
    first = client("put", **WWW, body=A1)
    assert client("get", **WWW)["etag"] == first["etag"]
    second = client("put", **WWW, etag=first["etag"], body=A2)
    for etag in None, first["etag"]:
        with pytest.raises(Refused) as e:
            client("put", **WWW, etag=etag, body=A1)
        assert e.value.code == "conflict"
    with pytest.raises(Refused) as e:
        client("delete", **WWW, etag=first["etag"])
    assert e.value.code == "conflict"
    client("delete", **WWW, etag=second["etag"])
    client("delete", **WWW, etag=second["etag"])
    with pytest.raises(Refused) as e:
        client("get", **WWW)
    assert e.value.code == "not-found"


@pytest.mark.parametrize("how", ["lose", "drop", "html"])
def test_put_with_a_lost_reply_happens_once(client, azure, how):
    azure.fault("PUT", how)
    first = client("put", **WWW, body=A1)
    azure.fault("PUT", how)
    second = client("put", **WWW, etag=first["etag"], body=A2)
    assert len(sent(azure, "PUT", "/A/www")) == (2 if how == "lose" else 4)
    assert second["etag"] == client("get", **WWW)["etag"] != first["etag"]
    azure.fault("DELETE", how)
    client("delete", **WWW, etag=second["etag"])
    assert ("www.example.com.", "A") not in azure.rrsets(ZONE)


def test_conflict_after_a_lost_reply_is_a_conflict(client, azure):
    first = client("put", **WWW, body=A1)

    def another(q):
        azure.zones[ZONE].put("www", "A", A2, {})
        return Reply(502, b"<html>")

    azure.fault("PUT", another)
    third = {"properties": {**A1["properties"], "TTL": 60}}
    with pytest.raises(Refused) as e:
        client("put", **WWW, etag=first["etag"], body=third)
    assert e.value.code == "conflict" and azure.rrsets(ZONE)["www.example.com.", "A"] == (30, ["192.0.2.2"])


def test_throttle_is_waited_out(client, azure):
    azure.throttle("PUT", seconds=2)
    begin = time.monotonic()
    client("put", **WWW, body=A1)
    assert time.monotonic() - begin > 2


def test_denied_action_is_named(client, azure):
    azure.deny.add("Microsoft.Network/dnsZones/A/write")
    with pytest.raises(Refused) as e:
        client("put", **WWW, body=A1)
    assert e.value.code == "refused" and "not allowed: Microsoft.Network/dnsZones/A/write" in e.value.message


def test_pages_stay_on_the_server(client, azure):
    for i in range(5):
        client("put", **{**WWW, "name": f"n{i}"}, body=A1)
    found = client("rrsets", zone=ZONE, suffix="3")
    assert [x["name"] for x in found] == ["n3"]
    page = {"value": [client("get", **{**WWW, "name": "n1"})]}
    path = f"{azure.place}/dnsZones/{ZONE}/recordsets?api-version=2018-05-01"

    def next_link(link, times=1):
        body = json.dumps({**page, "nextLink": link}).encode()
        azure.fault("GET .*recordsets", lambda q: Reply(200, body), times)

    next_link(f"{azure.url}{path}&$skipToken=x")
    azure.fault("skipToken=x", lambda q: Reply(200, json.dumps(page).encode()))
    assert len(client("rrsets", zone=ZONE)) == 2
    for link in f"https://evil.example.com{path}", f"{azure.url}.evil.example.com/", f"{azure.url}@evil/", 3:
        next_link(link)
        with pytest.raises(Refused, match="another server|no text"):
            client("rrsets", zone=ZONE)
    next_link(f"{azure.url}{path}&again", 9)
    with pytest.raises(Refused, match="sends back"):
        client("rrsets", zone=ZONE)


@pytest.mark.parametrize("bad", [b"<html>", b"[]", b'{"name": "www"}', b"", b'{"name":"w","type":"A"}'])
def test_malformed_replies_are_errors(client, azure, bad):
    client("put", **WWW, body=A1)
    azure.fault("GET", lambda q: Reply(200, bad))
    with pytest.raises(Refused) as e:
        client("get", **WWW)
    assert e.value.code != "not-found"


def operation(azure, header, *replies):
    link = f"{azure.url}{azure.place}/operations/1?api-version=1"
    azure.fault("PUT|DELETE", lambda q: Reply(202, b"", {header: link, "Retry-After": "0"}))
    for status, body in replies:
        text = json.dumps(body).encode()
        azure.fault("GET .*operations/1", lambda q, s=status, t=text: Reply(s, t, {"Retry-After": "0"}))


def test_operations_are_followed_to_their_end(client, azure):
    client("put", **WWW, body=A1)
    etag = client("get", **WWW)["etag"]
    going, gone = (200, {"status": "InProgress"}), (200, {"status": "Succeeded"})
    operation(azure, "Azure-AsyncOperation", going, going, gone)
    assert client("put", **WWW, etag=etag, body=A2)["etag"] == etag
    operation(azure, "Location", (202, {}), (200, client("get", **WWW)))
    assert client("put", **WWW, etag=etag, body=A2)["etag"] == etag
    failed = {"status": "Failed", "error": {"code": "QuotaExceeded", "message": "too many"}}
    operation(azure, "Azure-AsyncOperation", (200, failed))
    with pytest.raises(Refused, match="QuotaExceeded: too many"):
        client("put", **WWW, etag=etag, body=A2)
    operation(azure, "Azure-AsyncOperation", (200, {"state": "?"}))
    with pytest.raises(Refused, match='no string "status"'):
        client("put", **WWW, etag=etag, body=A2)
    azure.fault("PUT", lambda q: Reply(202, b"", {"Location": "https://evil.example.com/"}))
    with pytest.raises(Refused, match="another server"):
        client("put", **WWW, etag=etag, body=A2)


def test_profiles_and_endpoints(client, azure):
    client("profile_put", name="kc-www", only_if_absent=True, body=PROFILE)
    assert azure.requests[-1].headers["if-none-match"] == "*"
    azure.fault("PUT", "lose")
    client("endpoint_put", profile="kc-www", kind="ExternalEndpoints", name="fra", body={"properties": PLACE})
    found = client("profile_get", name="kc-www")["properties"]["endpoints"]
    assert [e["name"] for e in found] == ["fra"]
    client("endpoint_delete", profile="kc-www", kind="ExternalEndpoints", name="fra")
    azure.fault("DELETE", "lose")
    client("profile_delete", name="kc-www")
    with pytest.raises(Refused) as e:
        client("profile_get", name="kc-www")
    assert e.value.code == "not-found" and azure.profiles == {}


def test_other_certificate_authority_is_refused(azure, tmp_path):
    env = application(azure, AZURE_CLIENT_SECRET=azure.client_secret)
    del env["KC_TEST_CA"]
    with Lines("azure-client", tmp_path, **env) as client, pytest.raises(Refused) as e:
        client("zone", zone=ZONE)
    assert e.value.code == "refused" and azure.client_secret not in e.value.message
