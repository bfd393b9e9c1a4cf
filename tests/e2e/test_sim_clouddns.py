"""The simulated Google Cloud DNS as others see it: Google's own clients, octoDNS, and dnspython. What they
do not offer is sent by hand, with a token of google-auth."""

import json
import os
import subprocess
import sys
import time

import google.auth.jwt
import google.oauth2.credentials
import pytest
import requests
from google.api_core.exceptions import GoogleAPICallError
from google.auth.crypt import RSASigner
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import dns as clouddns
from google.oauth2 import service_account
from googleapiclient.errors import HttpError
from lab.google import AUTH, ZONE, Google, ask, plain, refusal
from octodns.record import Record
from octodns.zone import Zone
from octodns_googlecloud import GoogleCloudProvider
from sim.clouddns import EXHAUSTED, LIMITED, UNAVAILABLE, CloudDns

WWW = plain("www.example.com.", "A", "192.0.2.1")


@pytest.fixture
def sim():
    with CloudDns(zones={"z": "example.com", "signed": "signed.test"}, signed=["signed"]) as sim:
        yield sim


@pytest.fixture
def g(sim, tmp_path):
    with Google(sim, tmp_path / "key.json") as g:
        yield g


def refused_by(reply):
    error = reply.json()["error"]
    return reply.status_code, error["errors"][0]["reason"], error.get("status")


# --- tokens ---------------------------------------------------------------------------------------


def grant(sim, tmp_path, **claims):
    """Asks for a token with a JWT that google-auth signed; claims changed."""
    info = json.loads(open(sim.service_account(tmp_path / "key.json")).read())
    now = int(time.time())
    payload = {"iss": info["client_email"], "aud": info["token_uri"], "iat": now, "exp": now + 3600}
    payload |= {"scope": AUTH + "ndev.clouddns.readwrite"} | claims
    signer = RSASigner.from_service_account_info(info)
    assertion = google.auth.jwt.encode(signer, payload).decode()
    return post_token(sim, "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=assertion)


def post_token(sim, kind, **form):
    reply = requests.post(f"{sim.url}/token", {"grant_type": kind, **form}, timeout=10)
    value = reply.json()
    return reply.status_code, value.get("error"), value.get("error_description", value.get("token_type"))


def test_tokens_are_earned(sim, tmp_path):
    now = int(time.time())
    assert grant(sim, tmp_path) == (200, None, "Bearer")
    assert os.stat(tmp_path / "key.json").st_mode & 0o777 == 0o600
    for claims in (
        {"exp": now + 7200},
        {"iat": now + 4000, "exp": now + 7000},
        {"iat": now - 7200, "exp": now - 10},
    ):
        status, error, text = grant(sim, tmp_path, **claims)
        assert (status, error) == (400, "invalid_grant") and "short-lived token (60 minutes)" in text
    assert grant(sim, tmp_path, aud="https://example.com/token")[1] == "invalid_grant"
    assert grant(sim, tmp_path, iss="other@p.iam.gserviceaccount.com")[1] == "invalid_grant"
    assert grant(sim, tmp_path, scope=AUTH + "nothing")[:2] == (400, "invalid_scope")
    assert post_token(sim, "password")[:2] == (400, "unsupported_grant_type")

    info = json.loads(open(sim.service_account(tmp_path / "key.json")).read())
    with CloudDns({"z": "example.com"}, project="other") as other:  # the key of another account
        theirs = json.loads(open(other.service_account(tmp_path / "other.json")).read())
    info["private_key"] = theirs["private_key"]
    forged = service_account.Credentials.from_service_account_info(info, scopes=[AUTH + "cloud-platform"])
    with pytest.raises(RefreshError, match="Invalid JWT Signature"):
        forged.refresh(Request())


def test_a_users_refresh_token(sim, tmp_path):
    """google-auth sends what such a file has to Google, whatever the file says; so its parts are given."""
    info = json.loads(open(sim.authorized_user(tmp_path / "user.json")).read())
    assert info.pop("type") == "authorized_user"
    user = google.oauth2.credentials.Credentials(None, **info)
    with AuthorizedSession(user) as session:
        assert session.get(f"{sim.url}/dns/v1/projects/p").json()["id"] == "p"
    wrong = info | {"client_secret": "x"}
    with pytest.raises(RefreshError, match="invalid_client"):
        google.oauth2.credentials.Credentials(None, **wrong).refresh(Request())
    with pytest.raises(RefreshError, match="invalid_grant"):
        google.oauth2.credentials.Credentials(None, **info | {"refresh_token": "x"}).refresh(Request())


def test_a_machines_token(sim, tmp_path):
    """google-auth reads where the metadata server is when it is loaded: hence the process of its own."""
    at = f"127.0.0.1:{sim.port}"
    code = (
        "import google.auth, google.auth.transport.requests as t\n"
        "c, project = google.auth.default(scopes=['https://www.googleapis.com/auth/ndev.clouddns.readonly'])\n"
        f"r = t.AuthorizedSession(c).get('{sim.url}/dns/v1/projects/p/managedZones/z')\n"
        "print(project, c.service_account_email, r.json()['dnsName'])"
    )
    env = {"HOME": str(tmp_path), "GCE_METADATA_HOST": at, "GCE_METADATA_IP": at, "PATH": os.environ["PATH"]}
    r = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert r.stdout.split() == ["p", "vm@p.iam.gserviceaccount.com", "example.com."], r.stderr
    token = f"{sim.url}/computeMetadata/v1/instance/service-accounts/default/token"
    assert requests.get(token, timeout=5).status_code == 403
    through = {"Metadata-Flavor": "Google", "X-Forwarded-For": "192.0.2.1"}
    assert requests.get(token, headers=through, timeout=5).status_code == 403


def test_an_expired_token_is_renewed(sim, g):
    g.dns.projects().get(project="p").execute()
    first, sent = g.credentials.token, len(sim.requests)
    sim.expire_tokens()
    assert g.dns.projects().get(project="p").execute()["quota"]["resourceRecordsPerRrset"] == 100
    assert g.credentials.token != first
    assert [x.path for x in sim.requests[sent:]] == ["/dns/v1/projects/p", "/token", "/dns/v1/projects/p"]


def test_who_may_not(sim, g):
    url = f"{sim.url}/dns/v1/projects/p"
    reply = requests.get(url, timeout=5)
    assert refused_by(reply) == (401, "required", "UNAUTHENTICATED")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer realm=")
    reply = requests.get(url, headers={"Authorization": "Bearer ya29.no"}, timeout=5)
    assert refused_by(reply) == (401, "authError", "UNAUTHENTICATED")
    reader = AuthorizedSession(g.with_scopes("ndev.clouddns.readonly"))
    assert reader.get(url).status_code == 200
    reply = reader.post(f"{url}/managedZones/z/changes", json={"additions": [WWW]})
    assert refused_by(reply) == (403, "insufficientPermissions", "PERMISSION_DENIED")
    assert reader.get(f"{sim.url}/compute/v1/projects/p/global/healthChecks").status_code == 403

    sim.deny = {"dns.changes.create", "compute.healthChecks.create"}
    assert refusal(lambda: g.change([WWW])) == (403, "forbidden", "Forbidden")
    found = refusal(g.compute.healthChecks().insert(project="p", body={"name": "c"}).execute)
    assert found == (403, "forbidden", "Required 'compute.healthChecks.create' permission for 'projects/p'")
    sim.deny = {"dns.resourceRecordSets.delete"}
    g.change([WWW])
    assert refusal(lambda: g.change([], [WWW]))[:2] == (403, "forbidden")
    assert refusal(g.dns.projects().get(project="another").execute)[:2] == (403, "forbidden")


# --- form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method,path,body,status,text",
    [
        ("POST", "/changes", {"additions": [WWW | {"x": 1}]}, 400, "Unknown name \"x\" at 'additions[0]'"),
        (
            "POST",
            "/changes",
            {"additions": [WWW | {"ttl": "soon"}]},
            400,
            "'additions[0].ttl' (int32), \"soon\"",
        ),
        ("POST", "/changes", {"additions": [WWW | {"ttl": 2**31}]}, 400, "(int32), 2147483648"),
        ("POST", "/changes", {"additions": WWW}, 400, "'additions' (list)"),
        ("POST", "/changes", {"status": "soon"}, 400, "'status' (string), \"soon\""),
        ("POST", "/changes", {"additions": [WWW | {"rrdatas": [1]}]}, 400, "'additions[0].rrdatas[0]'"),
        ("POST", "/changes", "[", 400, "Invalid JSON payload received."),
        ("POST", "/changes?operation=1", {"additions": [WWW]}, 400, 'Unknown name "operation"'),
        ("GET", "/rrsets?maxResults=many", None, 400, "Invalid value at 'maxResults'"),
        ("GET", "/records", None, 404, "Not Found"),
        ("PUT", "/changes", {}, 404, "Not Found"),
    ],
)
def test_form(sim, g, method, path, body, status, text):
    data = body if isinstance(body, str) else body and json.dumps(body)
    url = f"{sim.url}/dns/v1/projects/p/managedZones/z{path}"
    reply = g.session.request(method, url, data=data, headers={"Content-Type": "application/json"})
    message = reply.json()["error"]["message"] if status == 400 else reply.text
    assert (reply.status_code, text in message) == (status, True), message


def test_a_wrong_reply_fails_the_test(tmp_path):
    with pytest.raises(AssertionError, match="resourceRecordSets.list"):
        with CloudDns({"z": "example.com"}) as sim, Google(sim, tmp_path / "key.json") as g:
            sim.zones["z"].rrsets["example.com.", "NS"]["ttl"] = "long"
            assert refusal(g.dns.resourceRecordSets().list(**ZONE).execute)[:2] == (500, "internalError")


# --- changes --------------------------------------------------------------------------------------


def test_a_zone_as_google_cloud_dns_sees_it(sim, tmp_path):
    path = sim.service_account(tmp_path / "key.json")
    at = {"api_endpoint": sim.url}
    client = clouddns.Client.from_service_account_json(path, project="p", client_options=at)
    assert client.quotas()["rrsetAdditionsPerChange"] == 1000
    zone = client.zone("z")
    zone.reload()
    assert zone.dns_name == "example.com." and zone.name_servers[0] == "ns-cloud-a1.googledomains.test."
    assert {x.dns_name for x in client.list_zones()} == {"example.com.", "signed.test."}
    assert not client.zone("none").exists()

    changes = zone.changes()
    changes.add_record_set(zone.resource_record_set("t.example.com.", "TXT", 60, ['"a b" "c"', "plain"]))
    changes.create()
    found = {(x.name, x.record_type): x for x in zone.list_resource_record_sets()}
    assert found["t.example.com.", "TXT"].rrdatas == ['"a b" "c"', '"plain"']
    assert sorted(x.name for x in zone.list_changes()) == ["0", "1"]
    with pytest.raises(GoogleAPICallError) as e:
        changes.create()
    assert (e.value.code, e.value.errors[0]["reason"]) == (409, "alreadyExists")
    assert ask(sim, "t.example.com.", "TXT")[1] == {'"a b" "c"', '"plain"'}


def test_swap_is_all_or_nothing(sim, g):
    g.change([WWW])
    new = WWW | {"rrdatas": ["192.0.2.9"]}
    before, other = (
        sim.rrsets("z"),
        {"name": "b.example.com.", "type": "A", "ttl": 5, "rrdatas": ["192.0.2.7"]},
    )
    for old in (
        WWW | {"ttl": 31},
        WWW | {"rrdatas": ["192.0.2.2"]},
        WWW | {"rrdatas": ["192.0.2.1", "192.0.2.2"]},
    ):
        where = "entity.change.deletions[www.example.com.][A]"
        expected = (412, "conditionNotMet", f"Precondition not met for '{where}'")
        assert refusal(lambda old=old: g.change([other, new], [old])) == expected
    assert sim.rrsets("z") == before
    done = g.change([other, new], [WWW])
    assert [x["rrdatas"] for x in done["deletions"]] == [["192.0.2.1"]] and len(done["additions"]) == 2
    assert ask(sim, WWW["name"]) == ("NOERROR", {"192.0.2.9"}, 30)
    # The same once more, as after a reply that was lost: not applied twice, and told apart.
    assert refusal(lambda: g.change([other, new], [WWW]))[:2] == (412, "conditionNotMet")


SOA = "ns-cloud-a1.googledomains.test. cloud-dns-hostmaster.google.com. 1 21600 3600 259200 300"
NS = [f"ns-cloud-a{i}.googledomains.test." for i in range(1, 5)]
APEX_NS, APEX_SOA = plain("example.com.", "NS", *NS, ttl=21600), plain("example.com.", "SOA", SOA, ttl=21600)


@pytest.mark.parametrize(
    "additions,deletions,status,reason,text",
    [
        ([], [], 400, "required", "entity.change"),
        (
            [WWW],
            [],
            409,
            "alreadyExists",
            "[www.example.com.][A]' named 'www.example.com. (A)' already exists",
        ),
        ([plain("WWW.example.com.", "A", "192.0.2.2")], [], 409, "alreadyExists", "already exists"),
        (
            [],
            [plain("no.example.com.", "A", "192.0.2.1")],
            404,
            "notFound",
            "'no.example.com. (A)' does not exist.",
        ),
        ([plain("a.example.com", "A", "192.0.2.1")], [], 400, "invalid", ".name': 'a.example.com'"),
        ([plain("a.example.org.", "A", "192.0.2.1")], [], 400, "invalid", "[a.example.org.][A].name'"),
        ([plain("aexample.com.", "A", "192.0.2.1")], [], 400, "invalid", ".name'"),
        ([plain("a..example.com.", "A", "192.0.2.1")], [], 400, "invalid", ".name'"),
        ([plain("a.*.example.com.", "A", "192.0.2.1")], [], 400, "invalid", ".name'"),
        ([plain("a.example.com.", "B", "192.0.2.1")], [], 400, "invalid", ".type': 'B'"),
        ([plain("a.example.com.", "A", "192.0.2.1", ttl=-1)], [], 400, "invalid", ".ttl': '-1'"),
        ([plain("a.example.com.", "A")], [], 400, "invalid", ".rrdata': '<empty>'"),
        ([plain("a.example.com.", "A", "2001:db8::1")], [], 400, "invalid", ".rrdata[0]': '2001:db8::1'"),
        ([plain("a.example.com.", "A", "192.0.2.1", "192.0.2.1")], [], 400, "invalid", ".rrdata[1]'"),
        ([plain("a.example.com.", "CNAME", "b")], [], 400, "invalid", ".rrdata[0]': 'b'"),
        ([plain("a.example.com.", "TXT", '"' + "x" * 256 + '"')], [], 400, "invalid", ".rrdata[0]'"),
        (
            [plain("a.example.com.", "CNAME", "b.test.", "c.test.")],
            [],
            400,
            "invalidRecordCount",
            "only permitted",
        ),
        (
            [plain("www.example.com.", "CNAME", "b.test.")],
            [],
            400,
            "cnameResourceRecordSetConflict",
            "one CNAME",
        ),
        ([plain("example.com.", "CNAME", "b.test.")], [], 400, "recordTypeDisallowedAtZoneApex", "apex"),
        ([], [APEX_NS], 400, "invalidZoneApex", "exactly one resource record set of type 'NS'"),
        ([], [APEX_SOA], 400, "invalidZoneApex", "type 'SOA'"),
        ([plain("a.example.com.", "SOA", SOA)], [], 400, "invalidZoneApex", "type 'SOA'"),
        ([plain("*.example.com.", "NS", "ns.test.")], [], 400, "wildcardNotAllowed", "wildcard"),
    ],
)
def test_refusals(sim, g, additions, deletions, status, reason, text):
    g.change([WWW])
    before = sim.rrsets("z")
    code, why, message = refusal(lambda: g.change(additions, deletions))
    assert (code, why, text in message) == (status, reason, True), message
    assert sim.rrsets("z") == before


def test_every_fault_of_a_change_is_named(g):
    gone = [plain(f"{x}.example.com.", "A", "192.0.2.1") for x in "abc"]
    with pytest.raises(HttpError) as e:
        g.change([], gone)
    errors = json.loads(e.value.content)["error"]["errors"]
    assert [(x["reason"], x["domain"]) for x in errors] == [("notFound", "global")] * 3


def test_the_apex_may_change(sim, g):
    soa = APEX_SOA | {"rrdatas": [SOA.replace(" 300", " 60")]}
    ns = APEX_NS | {"ttl": 300, "rrdatas": NS[:2] + ["ns1.example.net."]}
    g.change([soa, ns], [APEX_SOA, APEX_NS])
    assert ask(sim, "example.com.", "NS") == ("NOERROR", set(ns["rrdatas"]), 300)
    assert ask(sim, "no.example.com.") == ("NXDOMAIN", set(), 60)


def numbered(prefix, begin, end):
    return [plain(f"{prefix}{i}.example.com.", "A", "192.0.2.1") for i in range(begin, end)]


def strings(prefix, *more):
    """Records of 98,000 bytes, and some more in each."""
    texts = [f'"{n:02}{"x" * 241}"' for n in range(80)]
    return [plain(f"{prefix}{i}.example.com.", "TXT", *texts, *more) for i in range(5)]


def test_limits(sim, g):
    """Each limit just held, then one more."""
    addresses, servers = [f"192.0.2.{i}" for i in range(101)], [f"ns{i}.test." for i in range(9)]
    cases = [
        (numbered("n", 0, 1000), numbered("o", 0, 1001), "additions per change."),
        (
            [plain("r.example.com.", "A", *addresses[:100])],
            [plain("s.example.com.", "A", *addresses)],
            "resource records per record set.",
        ),
        (
            [plain("d.example.com.", "NS", *servers[:8])],
            [plain("e.example.com.", "NS", *servers)],
            "name servers per delegation.",
        ),
        (strings("t"), strings("u", f'"{"y" * 249}"', f'"{"z" * 249}"'), "total rrdata size per change."),
    ]
    text = "The change would exceed quota for "
    for fits, over, what in cases:
        assert refusal(lambda over=over: g.change(over)) == (403, "quotaExceeded", text + what)
        g.change(fits)
    for begin in range(1000, 9000, 1000):
        g.change(numbered("n", begin, begin + 1000))
    last = numbered("l", 0, 10001 - len(sim.rrsets("z")))
    assert refusal(lambda: g.change(last)) == (403, "quotaExceeded", text + "record sets per managed zone.")
    g.change(last[:-1])
    assert refusal(lambda: g.change([], numbered("n", 0, 1001)))[2] == text + "deletions per change."


# --- lists ----------------------------------------------------------------------------------------


def test_pages(sim, g):
    g.change(numbered("n", 0, 230))
    seen, rrsets, request = (
        [],
        g.dns.resourceRecordSets(),
        g.dns.resourceRecordSets().list(**ZONE, maxResults=50),
    )
    while request:
        reply = request.execute()
        seen.append([x["name"] for x in reply["rrsets"]])
        request = rrsets.list_next(request, reply)
    assert [len(x) for x in seen] == [50, 50, 50, 50, 32] and len({n for x in seen for n in x}) == 231
    assert seen[0][:2] == ["example.com."] * 2
    assert len(rrsets.list(**ZONE).execute()["rrsets"]) == 100
    for query, text in (
        ({"maxResults": 0}, "parameters.maxResults"),
        ({"pageToken": "x"}, "parameters.pageToken"),
        ({"name": "n1.example.com"}, "parameters.name"),
        ({"type": "A"}, "parameters.name"),
        ({"name": "n1.example.com.", "type": "B"}, "parameters.type"),
    ):
        assert text in refusal(rrsets.list(**ZONE, **query).execute)[2]
    one = rrsets.list(**ZONE, name="n1.example.com.", type="A").execute()
    assert [x["name"] for x in one["rrsets"]] == ["n1.example.com."] and "nextPageToken" not in one
    assert rrsets.list(**ZONE, name="none.example.com.").execute()["rrsets"] == []
    assert rrsets.get(**ZONE, name="n1.example.com.", type="A").execute()["ttl"] == 30
    assert refusal(rrsets.get(**ZONE, name="n1.example.com.", type="TXT").execute)[:2] == (404, "notFound")


def test_changes_and_zones(sim, g):
    g.change([WWW])
    changes, zones = g.dns.changes(), g.dns.managedZones()
    assert changes.get(**ZONE, changeId="1").execute()["additions"][0]["name"] == "www.example.com."
    assert refusal(changes.get(**ZONE, changeId="2").execute)[:2] == (404, "notFound")
    assert [x["id"] for x in changes.list(**ZONE, sortOrder="descending").execute()["changes"]] == ["1", "0"]
    signed = zones.get(project="p", managedZone="signed").execute()
    assert signed["dnssecConfig"]["state"] == "on"
    assert zones.get(project="p", managedZone=signed["id"]).execute() == signed
    assert "dnssecConfig" not in zones.get(**ZONE).execute()
    found = zones.list(project="p", dnsName="example.com.").execute()["managedZones"]
    assert [x["name"] for x in found] == ["z"]
    text = "The 'parameters.managedZone' resource named 'none' does not exist."
    assert refusal(zones.get(project="p", managedZone="none").execute) == (404, "notFound", text)


# --- when something goes wrong --------------------------------------------------------------------


def test_lost_and_dropped(sim, g):
    url, body = f"{sim.url}/dns/v1/projects/p/managedZones/z/changes", {"additions": [WWW]}
    sim.fault(r"POST /dns/.*/changes", "drop")
    with pytest.raises(OSError):
        g.session.post(url, json=body)
    assert ("www.example.com.", "A") not in sim.rrsets("z")
    sim.fault(r"POST /dns/.*/changes", "lose")
    with pytest.raises(OSError):
        g.session.post(f"{url}?clientOperationId=op-1", json=body)
    assert ask(sim, "www.example.com.")[1] == {"192.0.2.1"}
    for query in ("?clientOperationId=op-1", ""):
        assert refused_by(g.session.post(url + query, json=body))[:2] == (409, "alreadyExists")

    # httplib2, under Google's other client, sends what got no reply once more by itself.
    sim.fault(r"POST /dns/.*/changes", "lose")
    new = WWW | {"ttl": 60}
    assert refusal(lambda: g.change([new], [WWW]))[:2] == (412, "conditionNotMet")
    assert ask(sim, "www.example.com.")[2] == 60


def test_pending_then_done(sim, g):
    sim.pending = 0.3
    made = g.change([WWW])
    assert made["status"] == "pending"
    status, deadline = "pending", time.monotonic() + 10
    while status == "pending" and time.monotonic() < deadline:
        status = g.dns.changes().get(**ZONE, changeId=made["id"]).execute()["status"]
    assert status == "done"
    sim.pending = sim.lag = float("inf")
    made = g.change(numbered("n", 0, 1))
    assert g.dns.changes().get(**ZONE, changeId=made["id"]).execute()["status"] == "pending"
    assert ("n0.example.com.", "A") in sim.rrsets("z") and ask(sim, "n0.example.com.")[0] == "NXDOMAIN"


def test_throttled(sim, g):
    for reply, status, reason in (
        (EXHAUSTED, 429, "rateLimitExceeded"),
        (LIMITED, 403, "rateLimitExceeded"),
        (UNAVAILABLE, 503, "backendError"),
    ):
        sim.fault(r"POST /dns/.*/changes", reply)
        assert refusal(lambda: g.change([WWW]))[:2] == (status, reason)
    sim.fault(r"POST /dns/.*/changes", EXHAUSTED, times=2)
    body = {"additions": [WWW]}
    g.dns.changes().create(**ZONE, body=body).execute(num_retries=3)  # Google's client waits and tries again
    sim.per_minute = len(sim.calls)
    assert refusal(lambda: g.change(numbered("n", 0, 1)))[:2] == (429, "rateLimitExceeded")


# --- octoDNS --------------------------------------------------------------------------------------


def test_octodns_has_nothing_left_to_do(sim, tmp_path):
    """Its provider has no setting for the address of the API: set in the client that it made."""

    def provider():
        found = GoogleCloudProvider("gcp", project="p", credentials_file=str(path))
        found.gcloud_client._connection.API_BASE_URL = sim.url
        return found

    path, wanted = sim.service_account(tmp_path / "key.json"), Zone("example.com.", [])
    records = {
        "": {"type": "NS", "ttl": 300, "values": NS},
        "www": {"type": "A", "ttl": 30, "values": ["192.0.2.1", "192.0.2.2"]},
        "six": {"type": "AAAA", "ttl": 30, "values": ["2001:db8::1"]},
        "alias": {"type": "CNAME", "ttl": 30, "value": "www.example.com."},
        "mail": {"type": "MX", "ttl": 30, "values": [{"preference": 10, "exchange": "mx.example.com."}]},
        "text": {"type": "TXT", "ttl": 30, "values": ["v=1 o=fleet", "x" * 300]},
        "*.wild": {"type": "A", "ttl": 30, "values": ["192.0.2.3"]},
    }
    for name, data in records.items():
        wanted.add_record(Record.new(wanted, name, data))
    target = provider()
    plan = target.plan(wanted)
    assert len(plan.changes) == len(records)
    target.apply(plan)
    assert provider().plan(wanted) is None
    assert ask(sim, "text.example.com.", "TXT")[1] == {'"v=1 o=fleet"', f'"{"x" * 255}" "{"x" * 45}"'}
    assert ask(sim, "a.wild.example.com.")[1] == {"192.0.2.3"}
