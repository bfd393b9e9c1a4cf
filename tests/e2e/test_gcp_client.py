"""clouds/gcp against servers that are as bad as Google's can be; tokens are verified by `cryptography`."""

import base64
import json
import os
import time
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lab.lines import Lines, Refused, refusal
from sim import clouddns
from sim.server import Api, Reply

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ZONE = {"kind": "dns#managedZone", "name": "z", "dnsName": "example.com.", "nameServers": ["ns1.test."]}
A1 = {"name": "www.example.com.", "type": "A", "ttl": 30, "rrdatas": ["192.0.2.1"]}
A2 = {**A1, "rrdatas": ["192.0.2.2"]}


def reply(value, status=200, **headers):
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


def error(status, reason, message="no", **extra):
    return reply(
        {"error": {"code": status, "message": message, "errors": [{"reason": reason}], **extra}}, status
    )


def part(text):
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class Google(Api):
    """Tokens, the metadata server, one zone whose changes are compare-and-swap, health checks."""

    def __init__(self):
        super().__init__()
        self.tokens, self.lifetime, self.asked = set(), 3600, []
        self.rrsets, self.changes, self.checks, self.operations = {}, [], {}, {}

    def token(self, how):
        self.asked.append(how)
        token = f"ya29.{len(self.asked)}"
        self.tokens.add(token)
        return token

    def handle(self, q):
        with self.lock:
            if q.path == "/token":
                return self.oauth({k: v[0] for k, v in parse_qs(q.body.decode()).items()})
            if q.path.startswith("/computeMetadata/"):
                value = {"access_token": self.token("metadata"), "expires_in": self.lifetime}
                return reply(value, **{"Metadata-Flavor": q.headers["metadata-flavor"]})
            if q.path.endswith(":generateAccessToken"):
                assert json.loads(q.body)["scope"] == [SCOPE]
                until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.lifetime))
                return reply({"accessToken": self.token("impersonated"), "expireTime": until})
            if q.path == "/subject":
                assert q.headers["x-who"] == "me"
                return reply({"value": "subject-2"})
            if q.headers.get("authorization", "")[7:] not in self.tokens:
                return error(401, "authError", "Invalid Credentials")
            return self.dns(q) if q.path.startswith("/dns/v1/projects/p") else self.compute(q)

    def oauth(self, form):
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] != "1//r+/=":
                return reply({"error": "invalid_grant", "error_description": "Token revoked."}, 400)
            return reply({"access_token": self.token("user"), "expires_in": self.lifetime})
        if form["grant_type"].endswith("token-exchange"):
            assert form["audience"] == "//iam/pool" and form["scope"] == SCOPE
            return reply({"access_token": self.token(form["subject_token"]), "expires_in": 3600})
        head, claims, signature = form["assertion"].split(".")
        padded = signature + "=" * (-len(signature) % 4)
        try:
            KEY.public_key().verify(
                base64.urlsafe_b64decode(padded),
                f"{head}.{claims}".encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except Exception:
            value = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            return reply(value, 400)
        claims = part(claims)
        assert part(head) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
        assert claims["iss"] == "sa@p.test" and claims["scope"] == SCOPE
        assert claims["aud"] == f"{self.url}/token" and claims["exp"] - claims["iat"] <= 3600
        assert abs(claims["iat"] - time.time()) < 60
        return reply({"access_token": self.token("sa"), "expires_in": self.lifetime})

    def dns(self, q):
        rest = q.parts[4:]
        if not rest:
            return reply({"kind": "dns#project", "quota": {"rrsetAdditionsPerChange": 1000}})
        if rest[1] != "z":
            return error(404, "notFound", f"The 'parameters.managedZone' resource named '{rest[1]}' is not")
        if len(rest) == 2:
            return reply(ZONE)
        if rest[2] == "rrsets":
            return self.list_rrsets(q)
        if q.method == "POST":
            return self.change(json.loads(q.body))
        if len(rest) == 4:
            return reply(next(c for c in self.changes if c["id"] == rest[3]))
        return reply({"kind": "dns#changesListResponse", "changes": self.changes[::-1]})

    def list_rrsets(self, q):
        found = [v for k, v in sorted(self.rrsets.items()) if q.query.get("name", k[0]) == k[0]]
        at = int(q.query.get("pageToken", 0))
        page = {"kind": "dns#rrsetsList", "rrsets": found[at : at + 2]}
        if len(found) > at + 2:
            page["nextPageToken"] = str(at + 2)
        return reply(page)

    def change(self, body):
        new = dict(self.rrsets)
        for i, d in enumerate(body.get("deletions", [])):
            have = new.pop((d["name"], d["type"]), None)
            if not have:
                return error(404, "notFound", f"The 'entity.change.deletions[{i}]' resource does not exist")
            if have != d:
                return error(412, "conditionNotMet")
        for a in body.get("additions", []):
            if (a["name"], a["type"]) in new:
                return error(409, "alreadyExists")
            new[a["name"], a["type"]] = a
        self.rrsets = new
        self.changes.append({"kind": "dns#change", "id": str(len(self.changes)), "status": "done", **body})
        return reply(self.changes[-1])

    def compute(self, q):
        rest = q.parts[5:]
        if rest[0] == "operations":
            self.operations[rest[1]]["status"] = "DONE"
            return reply(self.operations[rest[1]])
        if q.method == "GET" and len(rest) == 1:
            return reply({"kind": "compute#healthCheckList", "items": list(self.checks.values())})
        if q.method == "GET":
            return reply(self.checks[rest[1]]) if rest[1] in self.checks else error(404, "notFound")
        op = next((o for o in self.operations.values() if o["id"] == q.query["requestId"]), None)
        if not op:
            op = {"name": f"op{len(self.operations)}", "id": q.query["requestId"], "status": "RUNNING"}
            self.operations[op["name"]] = op
            if q.method == "DELETE":
                self.checks.pop(rest[1])
            else:
                check = json.loads(q.body)
                self.checks[check["name"]] = {**check, "selfLink": f"{q.path}/{check['name']}"}
        return reply(op)


@pytest.fixture
def google():
    with Google() as g:
        yield g


def write(path, value, mode=0o600):
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    path.chmod(mode)
    return path


def sa(google, **change):
    form = serialization.PrivateFormat.PKCS8
    pem = KEY.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    value = {"type": "service_account", "client_email": "sa@p.test", "private_key": pem}
    return {**value, "private_key_id": "k1", "project_id": "p", "token_uri": f"{google.url}/token", **change}


def ends(google, **env):
    return {
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_DNS": f"{google.url}/dns/v1/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": google.url,
        **env,
    }


@pytest.fixture
def gcp(google, tmp_path):
    key = write(tmp_path / "key.json", sa(google))
    with Lines("gcp-client", tmp_path, **ends(google, GOOGLE_APPLICATION_CREDENTIALS=key)) as lines:
        yield lines


def test_service_account_reads_a_zone(gcp, google):
    assert gcp.opened == "p"
    assert gcp("zone", zone="z") == ZONE
    assert gcp("quota") == {"rrsetAdditionsPerChange": 1000}
    assert google.asked == ["sa"]
    with pytest.raises(Refused) as e:
        gcp("zone", zone="y")
    assert e.value.code == "not-found" and "named 'y'" in e.value.message


def test_pages_end(gcp, google):
    for i in range(5):
        google.rrsets[f"n{i}.example.com.", "A"] = {**A1, "name": f"n{i}.example.com."}
    assert [x["name"] for x in gcp("rrsets", zone="z")] == [f"n{i}.example.com." for i in range(5)]
    assert len(gcp("rrsets", zone="z", name="n1.example.com.", type="A")) == 1
    google.fault("rrsets", lambda q: reply({"kind": "k", "rrsets": [], "nextPageToken": "2"}), 9)
    with pytest.raises(Refused, match="sends back"):
        gcp("rrsets", zone="z")


def test_change_is_compare_and_swap(gcp, google):
    assert gcp("change", zone="z", additions=[A1])["status"] == "done"
    done = gcp("change", zone="z", deletions=[A1], additions=[A2])
    assert gcp("change_get", zone="z", id=done["id"]) == done
    for deletions, additions in ([A1], [A2]), ([], [A1]), ([{**A1, "type": "AAAA"}], []):
        with pytest.raises(Refused) as e:
            gcp("change", zone="z", deletions=deletions, additions=additions)
        assert e.value.code == "conflict"
    with pytest.raises(Refused) as e:
        gcp("change", zone="y", deletions=[A2])
    assert e.value.code == "not-found"


def posts(google):
    return sum(q.method == "POST" and "/changes" in q.path for q in google.requests)


@pytest.mark.parametrize("how", ["lose", "drop", "html"])
def test_change_with_a_lost_reply_happens_once(gcp, google, how):
    gcp("change", zone="z", additions=[A1])
    gcp("change", zone="z", deletions=[A1], additions=[A2])
    gcp("change", zone="z", deletions=[A2], additions=[A1])
    google.fault("POST .*/changes", how)
    done = gcp("change", zone="z", deletions=[A1], additions=[A2])
    assert done["id"] == "3" and len(google.changes) == 4  # and not the older one with the same content
    assert posts(google) == (4 if how == "lose" else 5)


def test_conflict_after_a_lost_reply_is_a_conflict(gcp, google):
    gcp("change", zone="z", additions=[A1])

    def another(q):
        google.change({"deletions": [A1], "additions": [A2]})
        return Reply(502, b"<html>")

    google.fault("POST .*/changes", another)
    with pytest.raises(Refused) as e:
        gcp("change", zone="z", deletions=[A1], additions=[{**A1, "ttl": 60}])
    assert e.value.code == "conflict"


def test_token_is_renewed_before_and_after_its_end(gcp, google):
    google.lifetime = 61
    gcp("zone", zone="z")
    gcp("zone", zone="z")
    assert len(google.asked) == 1
    time.sleep(1.1)
    gcp("zone", zone="z")
    assert len(google.asked) == 2
    google.lifetime = 3600
    time.sleep(1.1)
    gcp("zone", zone="z")
    google.tokens.clear()  # revoked early
    gcp("zone", zone="z")
    assert len(google.asked) == 4
    google.fault("managedZones", lambda q: error(401, "authError", "Invalid Credentials"), 9)
    with pytest.raises(Refused) as e:
        gcp("zone", zone="z")
    assert e.value.code == "refused" and len(google.asked) == 5  # one more try, no more


def test_threads_share_a_token(gcp, google):
    google.fault("POST /token", "slow:0.5")
    gcp("zone", zone="z", threads=16)
    assert google.asked == ["sa"]
    assert sum("managedZones" in q.path for q in google.requests) == 16


@pytest.mark.parametrize(
    "refused", [Reply(429, b"{}", {"Retry-After": "1"}), error(403, "rateLimitExceeded"), Reply(503, b"busy")]
)
def test_busy_is_waited_out(gcp, google, refused):
    google.fault("managedZones", lambda q: refused)
    begin = time.monotonic()
    assert gcp("zone", zone="z") == ZONE
    assert "Retry-After" not in refused.headers or time.monotonic() - begin > 1


def test_busy_token_endpoint_is_waited_out(gcp, google):
    google.fault("POST /token", "html", 2)
    assert gcp("zone", zone="z") == ZONE


def test_refusals_name_the_permission(gcp, google):
    details = [{"reason": "IAM_PERMISSION_DENIED", "metadata": {"permission": "dns.changes.create"}}]
    google.fault("changes", lambda q: error(403, "forbidden", "Forbidden", details=details))
    with pytest.raises(Refused) as e:
        gcp("change", zone="z", additions=[A1])
    assert e.value.code == "refused"
    assert "sa@p.test" in e.value.message and "it lacks dns.changes.create" in e.value.message


@pytest.mark.parametrize(
    "bad", [b"<html>proxy</html>", b"[]", b'{"nameServers": []}', b'{"dnsName": "x.", "nameServers": "n"}']
)
def test_malformed_replies_are_errors(gcp, google, bad):
    google.fault("managedZones", lambda q: Reply(200, bad))
    with pytest.raises(Refused) as e:
        gcp("zone", zone="z")
    assert e.value.code != "not-found"


def test_health_checks_follow_their_operations(gcp, google):
    check = {"name": "kc-a", "type": "TCP", "checkIntervalSec": 30}
    google.fault("POST .*healthChecks", "lose")
    gcp("insert", check=check)
    assert list(google.checks) == ["kc-a"]
    assert len({q.query["requestId"] for q in google.requests if q.method == "POST" and q.query}) == 1
    gcp("update", check={**check, "checkIntervalSec": 40})
    assert gcp("check", name="kc-a")["checkIntervalSec"] == 40
    google.checks["other"] = {"name": "other"}
    assert [x["name"] for x in gcp("checks", prefix="kc-")] == ["kc-a"]
    failed = {"name": "op", "status": "DONE", "operationType": "delete", "httpErrorStatusCode": 400}
    failed["error"] = {"errors": [{"code": "RESOURCE_IN_USE", "message": "used by x"}]}
    google.fault("DELETE", lambda q: reply(failed))
    with pytest.raises(Refused, match="RESOURCE_IN_USE: used by x") as e:
        gcp("delete", name="kc-a")
    assert e.value.code == "invalid"
    gcp("delete", name="kc-a")
    with pytest.raises(Refused) as e:
        gcp("check", name="kc-a")
    assert e.value.code == "not-found"


def user(google, **change):
    value = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//r+/="}
    return {**value, "token_uri": f"{google.url}/token", "quota_project_id": "q", **change}


def test_gcloud_login(google, tmp_path):
    write(tmp_path / "application_default_credentials.json", user(google))
    with Lines("gcp-client", tmp_path, **ends(google, CLOUDSDK_CONFIG=tmp_path)) as gcp:
        assert gcp("zone", zone="z") == ZONE
    assert google.asked == ["user"] and google.requests[-1].headers["x-goog-user-project"] == "q"


def test_ended_login_says_how_to_renew_it(google, tmp_path):
    folder = tmp_path / ".config/gcloud"
    folder.mkdir(parents=True)
    write(folder / "application_default_credentials.json", user(google, refresh_token="old"))
    with Lines("gcp-client", tmp_path, **ends(google)) as gcp, pytest.raises(Refused) as e:
        gcp("zone", zone="z")
    assert e.value.code == "refused"
    for word in "invalid_grant", "Token revoked", str(folder), "gcloud auth application-default login":
        assert word in e.value.message
    assert "old" not in e.value.message.replace(str(folder), "")


def external(google, source, **more):
    value = {"type": "external_account", "audience": "//iam/pool", "token_url": f"{google.url}/token"}
    value["subject_token_type"] = "urn:ietf:params:oauth:token-type:jwt"
    return {**value, "credential_source": source, **more}


def test_external_account(google, tmp_path):
    write(tmp_path / "subject", "subject-1\n", 0o644)
    url = f"{google.url}/sa:generateAccessToken"
    file = external(google, {"file": str(tmp_path / "subject")}, service_account_impersonation_url=url)
    key = write(tmp_path / "key.json", file, 0o644)  # it holds no secret
    with Lines("gcp-client", tmp_path, **ends(google, GOOGLE_APPLICATION_CREDENTIALS=key)) as gcp:
        gcp("zone", zone="z")
    assert google.asked == ["subject-1", "impersonated"]
    source = {"url": f"{google.url}/subject", "headers": {"X-Who": "me"}}
    source["format"] = {"type": "json", "subject_token_field_name": "value"}
    write(key, external(google, source), 0o644)
    with Lines("gcp-client", tmp_path, **ends(google, GOOGLE_APPLICATION_CREDENTIALS=key)) as gcp:
        gcp("zone", zone="z")
    assert google.asked[2:] == ["subject-2"]


def test_metadata_server(google, tmp_path):
    host = google.url.removeprefix("http://")
    with Lines("gcp-client", tmp_path, **ends(google, GCE_METADATA_HOST=host)) as gcp:
        assert gcp("zone", zone="z") == ZONE
        google.tokens.clear()
        google.fault("computeMetadata", lambda q: reply({"access_token": "x", "expires_in": 9}))
        with pytest.raises(Refused, match="Metadata-Flavor"):
            gcp("zone", zone="z")
    assert google.asked == ["metadata"]


def test_nobody_says_what_was_tried(google, tmp_path):
    env = ends(google, GCE_METADATA_HOST="127.0.0.1:1")
    with Lines("gcp-client", tmp_path, **env) as gcp, pytest.raises(Refused) as e:
        gcp("zone", zone="z")
    for word in "GOOGLE_APPLICATION_CREDENTIALS is not set", "application_default_credentials.json", "gcloud":
        assert word in e.value.message
    assert refusal("gcp-client", tmp_path, **ends(google, NO_GCE_CHECK="true")).code == "refused"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}, "private_key"),
        ({"private_key": 3}, "private_key"),
        ({"client_email": ""}, "client_email"),
        ({"type": "impersonated"}, "external_account"),
        ({"token_uri": "http://oauth2.example.com/token"}, "https://"),
        ({"token_uri": "http://127.0.0.1@example.com/"}, "https://"),
        ({"token_uri": "http://127.0.0.1.example.com/"}, "https://"),
        ({"type": None, "installed": {}}, "OAuth client"),
    ],
)
def test_wrong_key_file(google, tmp_path, change, words):
    key = write(tmp_path / "key.json", sa(google, **change))
    e = refusal("gcp-client", tmp_path, GOOGLE_APPLICATION_CREDENTIALS=key)
    assert e.code == "invalid" and str(key) in e.message and words in e.message
    assert "AAAA" not in e.message and "\n" not in e.message


def test_other_wrong_files(google, tmp_path):
    path = tmp_path / "key.json"
    env = {"GOOGLE_APPLICATION_CREDENTIALS": path}
    assert str(path) in refusal("gcp-client", tmp_path, **env).message
    for text in "", "{", "[]", '{"type": "service_account", "type": "x"}':
        write(path, text)
        assert str(path) in refusal("gcp-client", tmp_path, **env).message
    write(path, sa(google), 0o640)
    e = refusal("gcp-client", tmp_path, **env)
    assert e.code == "refused" and "chmod 600" in e.message
    for source in {}, {"environment_id": "aws1", "url": "https://x"}, {"file": "a", "url": "https://x"}:
        write(path, external(google, source))
        assert "credential_source" in refusal("gcp-client", tmp_path, **env).message
    os.remove(path)
    env = {"CLOUDSDK_API_ENDPOINT_OVERRIDES_DNS": "http://dns.example.com/"}
    assert "OVERRIDES_DNS" in refusal("gcp-client", tmp_path, **env).message


def test_key_of_another_is_told(google, tmp_path):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = other.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    key = write(tmp_path / "key.json", sa(google, private_key=pem))
    env = ends(google, GOOGLE_APPLICATION_CREDENTIALS=key)
    with Lines("gcp-client", tmp_path, **env) as gcp, pytest.raises(Refused) as e:
        gcp("zone", zone="z")
    assert e.value.code == "refused" and "Invalid JWT Signature" in e.value.message
    assert str(key) in e.value.message


def test_against_the_simulator(tmp_path):
    """Every request and reply is checked against Google's discovery documents there."""
    regions = ["us-central1", "europe-west3", "asia-southeast1"]
    check = {"name": "kc-a", "type": "TCP", "checkIntervalSec": 30, "tcpHealthCheck": {"port": 443}}
    check["sourceRegions"] = regions
    with clouddns.CloudDns(zones={"z": "example.com"}) as sim:
        key = tmp_path / "key.json"
        sim.service_account(key)
        env = ends(sim, GOOGLE_APPLICATION_CREDENTIALS=key)
        with Lines("gcp-client", tmp_path, **env) as gcp:
            assert gcp("zone", zone="z")["dnsName"] == "example.com."
            assert gcp("quota")["rrsetAdditionsPerChange"] > 0
            gcp("change", zone="z", additions=[A1])
            sim.fault("POST .*changes", "lose")
            done = gcp("change", zone="z", deletions=[A1], additions=[A2])
            assert gcp("change_get", zone="z", id=done["id"])["status"] == "done"
            found = gcp("rrsets", zone="z", name=A1["name"], type="A")
            assert [x["rrdatas"] for x in found] == [["192.0.2.2"]]
            for deletions in [A1], [{**A1, "name": "other.example.com."}]:
                with pytest.raises(Refused) as e:
                    gcp("change", zone="z", deletions=deletions)
                assert e.value.code == "conflict"
            sim.expire_tokens()
            sim.pending = 0.5
            gcp("insert", check=check)
            gcp("update", check={**check, "checkIntervalSec": 40})
            assert [x["checkIntervalSec"] for x in gcp("checks", prefix="kc-")] == [40]
            gcp("delete", name="kc-a")
            assert gcp("checks", prefix="kc-") == []
            sim.deny.add("dns.changes.create")
            with pytest.raises(Refused) as e:
                gcp("change", zone="z", deletions=[A2])
            assert e.value.code == "refused" and "roles/dns.admin" in e.value.message
