"""clouds/aws against small servers: where credentials come from, and what comes of bad replies."""

import datetime
import json
import os
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from lab.cli import REPO
from sim.server import Api, Reply

CLIENT = Path(os.environ.get("KC_BUILD", REPO / "build" / "release")) / "tests" / "aws-client"
XMLNS = 'xmlns="https://route53.amazonaws.com/doc/2013-04-01/"'
SECRET = "s3cret/that+nobody=sees"


@pytest.fixture(scope="module", autouse=True)
def client_built():
    if not CLIENT.exists():
        pytest.skip(f"{CLIENT} is not built")


class Client:
    """The driver with an environment of its own."""

    def __init__(self, home, **env):
        self.home = home
        self.env = {"HOME": str(home), "PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true"}
        self.env |= env

    def run(self, *questions, profile=None):
        text = "".join(json.dumps(q) + "\n" for q in questions)
        argv = [CLIENT] + ([profile] if profile else [])
        done = subprocess.run(argv, input=text, capture_output=True, text=True, env=self.env, timeout=100)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def one(self, do, **q):
        return self.run({"do": do} | q)[0]

    def keys(self, profile=None):
        return self.run({"do": "keys"}, profile=profile)[0]

    def files(self, config="", credentials=""):
        (self.home / ".aws").mkdir(exist_ok=True)
        (self.home / ".aws/config").write_text(config)
        (self.home / ".aws/credentials").write_text(credentials)


class Script(Api):
    """Answers with what a test says: a function of the request, or a list of replies in turn."""

    def __init__(self, answer, cert=None):
        super().__init__(cert)
        self.answer = answer

    def handle(self, request):
        return self.answer(request) if callable(self.answer) else self.answer.pop(0)


def xml(text, status=200, **headers):
    return Reply(status, text.encode(), {"Content-Type": "text/xml"} | headers)


def refusal(status, code, text="no", **headers):
    return xml(
        f"<ErrorResponse {XMLNS}><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>{text}</Message></Error><RequestId>r</RequestId></ErrorResponse>",
        status,
        **headers,
    )


def page(names, following=""):
    sets = "".join(
        f"<ResourceRecordSet><Name>{n}</Name><Type>A</Type><TTL>30</TTL><ResourceRecords><ResourceRecord>"
        "<Value>192.0.2.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>"
        for n in names
    )
    return xml(
        f"<ListResourceRecordSetsResponse {XMLNS}><ResourceRecordSets>{sets}</ResourceRecordSets>"
        f"<IsTruncated>{'true' if following else 'false'}</IsTruncated>{following}<MaxItems>300</MaxItems>"
        "</ListResourceRecordSetsResponse>"
    )


EMPTY = {"ok": []}


@pytest.fixture
def service(tmp_path):
    """Starts a server of Route 53's and gives (server, client)."""
    started = []

    def start(answer, **env):
        api = Script(answer).__enter__()
        started.append(api)
        keys = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": SECRET}
        return api, Client(tmp_path, AWS_ENDPOINT_URL_ROUTE_53=api.url, **(keys | env))

    yield start
    for api in started:
        api.__exit__()


# Calls


def test_list_pages(service):
    following = (
        "<NextRecordName>\\052.b.</NextRecordName><NextRecordType>A</NextRecordType>"
        "<NextRecordIdentifier>kc/eu &amp;</NextRecordIdentifier>"
    )
    api, client = service([page(["a.", "B.EXAMPLE."], following), page(["\\052.b."])])
    got = client.one("rrsets", zone="/hostedzone/Z1")
    assert [s["name"] for s in got["ok"]] == ["a.", "b.example.", "*.b."]
    assert got["ok"][0] == {"name": "a.", "type": "A", "ttl": 30, "data": ["192.0.2.1"]}
    assert [r.path for r in api.requests] == ["/2013-04-01/hostedzone/Z1/rrset"] * 2
    assert api.requests[1].query == {
        "maxitems": "300",
        "name": "\\052.b.",
        "type": "A",
        "identifier": "kc/eu &",
    }
    assert "/us-east-1/route53/aws4_request" in api.requests[0].headers["authorization"]


def test_cursor_that_stays(service):
    following = "<NextRecordName>a.</NextRecordName><NextRecordType>A</NextRecordType>"
    api, client = service(lambda _: page(["a."], following))
    got = client.one("rrsets", zone="Z1")
    assert got["error"] == "failed" and "sends back to" in got["text"]
    assert len(api.requests) == 2


def test_lost_replies(service):
    """A read is repeated; a change is not, and says so."""
    api, client = service(lambda _: page([]))
    api.fault("GET", "lose", 2)
    assert client.one("rrsets", zone="Z1") == EMPTY
    assert len(api.requests) == 3
    api.fault("POST", "lose")
    got = client.one("change", zone="Z1", changes=[])
    assert got["error"] == "again" and "it may have happened" in got["text"]
    assert sum(r.method == "POST" for r in api.requests) == 1


def test_change_after_a_kept_connection(service):
    """libcurl repeats what a kept connection lost: not a change."""
    api, client = service(lambda _: page([]))
    api.fault("POST", "lose")
    listed, changed = client.run({"do": "rrsets", "zone": "Z"}, {"do": "change", "zone": "Z", "changes": []})
    assert listed == EMPTY and "it may have happened" in changed["text"]
    assert [r.method for r in api.requests] == ["GET", "POST"]


@pytest.mark.parametrize(
    "reply",
    [
        refusal(400, "Throttling", "Rate exceeded"),
        refusal(400, "PriorRequestNotComplete"),
        Reply(429, b"slow"),
    ],
)
def test_throttled(service, reply):
    api, client = service([reply, page([])])
    assert client.one("rrsets", zone="Z1") == EMPTY
    assert len(api.requests) == 2


def test_throttled_change_is_repeated(service):
    done = (
        f"<ChangeResourceRecordSetsResponse {XMLNS}><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status>"
        "</ChangeInfo></ChangeResourceRecordSetsResponse>"
    )
    api, client = service([refusal(400, "Throttling"), xml(done)])
    assert client.one("change", zone="Z1", changes=[]) == {"ok": "C1"}


def test_html_500(service):
    """Repeated for a read, and in the end told by its first bytes."""
    api, client = service(lambda _: page([]))
    api.fault("", "html", 2)
    assert client.one("rrsets", zone="Z1") == EMPTY
    api.fault("", "html")
    got = client.one("change", zone="Z1", changes=[])
    assert got["error"] == "again"
    assert "it may have happened: HTTP 500: <html><body>Internal Server Error" in got["text"]


@pytest.mark.parametrize(
    ("body", "want"),
    [
        ("<html><p>maintenance</html>", "mismatched tag: HTTP 200: <html><p>maintenance"),
        ("<Other/>", "the reply is no <ListResourceRecordSetsResponse>: HTTP 200: <Other/>"),
        ("<ListResourceRecordSetsResponse/>", 'no list "ResourceRecordSets"'),
        (
            "<ListResourceRecordSetsResponse><ResourceRecordSets/></ListResourceRecordSetsResponse>",
            'no boolean "IsTruncated"',
        ),
    ],
)
def test_malformed_is_not_absence(service, body, want):
    _, client = service([xml(body)])
    got = client.one("rrsets", zone="Z1")
    assert got["error"] in ("failed", "invalid") and want in got["text"]


@pytest.mark.parametrize(
    ("status", "code", "want"),
    [
        (403, "AccessDenied", "refused"),
        (403, "InvalidClientTokenId", "refused"),
        (404, "NoSuchHostedZone", "not-found"),
        (400, "InvalidChangeBatch", "conflict"),
        (409, "HealthCheckAlreadyExists", "conflict"),
        (400, "InvalidInput", "invalid"),
    ],
)
def test_codes(service, status, code, want):
    api, client = service([refusal(status, code, "because")])
    got = client.one("change", zone="Z1", changes=[])
    assert got == {
        "error": want,
        "text": f"route53: ChangeResourceRecordSets: {code}: because",
        "aws": code,
    }
    assert SECRET not in json.dumps(got)


def test_404_of_a_proxy_is_not_absence(service):
    _, client = service([Reply(404, b"<html>no such page</html>")])
    assert client.one("zone", zone="Z1")["error"] == "failed"


def test_invalid_change_batch(service):
    """As Route 53 words it: messages without an ErrorResponse around them."""
    body = (
        f'<?xml version="1.0"?><InvalidChangeBatch {XMLNS}><Messages><Message>Tried to create www, but it '
        "already exists</Message><Message>se&#10;cond</Message></Messages></InvalidChangeBatch>"
    )
    _, client = service([xml(body, 400)])
    got = client.one("change", zone="Z1", changes=[])
    assert (got["error"], got["aws"]) == ("conflict", "InvalidChangeBatch")
    assert got["text"].endswith("InvalidChangeBatch: Tried to create www, but it already exists; se cond")


def http_date(offset):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
    return at.strftime("%a, %d %b %Y %H:%M:%S GMT")


class Skewed(Script):
    """A service whose clock is an hour ahead."""

    def handle(self, request):
        stamp = datetime.datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        ahead = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(
            hours=1
        )
        if abs((ahead - stamp).total_seconds()) > 300:
            return refusal(403, "SignatureDoesNotMatch", "Signature expired", Date=http_date(3600))
        return page([])


def test_skewed_clock(tmp_path):
    with Skewed(None) as api:
        client = Client(
            tmp_path,
            AWS_ENDPOINT_URL=api.url,
            AWS_ACCESS_KEY_ID="AKID",
            AWS_SECRET_ACCESS_KEY=SECRET,
        )
        question = {"do": "rrsets", "zone": "Z1"}
        assert client.run(question, question) == [EMPTY, EMPTY]
        assert len(api.requests) == 3  # the correction is kept


def test_wrong_secret(service):
    api, client = service(lambda _: refusal(403, "SignatureDoesNotMatch", Date=http_date(0)))
    assert client.one("rrsets", zone="Z1")["error"] == "refused"
    assert len(api.requests) == 1


def test_tls(tmp_path):
    """Verified by AWS_CA_BUNDLE, and not without."""
    key, cert, both = (tmp_path / n for n in ("k.pem", "c.pem", "both.pem"))
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=sim -days 2"
    argv = [*make.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(argv, check=True, capture_output=True)
    both.write_text(key.read_text() + cert.read_text())
    keys = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": SECRET}
    with Script(lambda _: page([]), cert=both) as api:
        client = Client(tmp_path, AWS_ENDPOINT_URL=api.url, AWS_CA_BUNDLE=str(cert), **keys)
        assert client.one("rrsets", zone="Z1") == EMPTY
        del client.env["AWS_CA_BUNDLE"]
        assert client.one("rrsets", zone="Z1")["error"] == "refused"
        assert len(api.requests) == 1


# Credentials


def test_env_goes_first(tmp_path):
    client = Client(tmp_path, AWS_ACCESS_KEY_ID="A", AWS_SECRET_ACCESS_KEY="B", AWS_SESSION_TOKEN="C")
    client.files(credentials="[default]\naws_access_key_id = X\naws_secret_access_key = Y\n")
    assert client.keys() == {"ok": {"id": "A", "secret": "B", "token": "C", "expires": 0}}
    assert client.keys("default")["ok"]["id"] == "X"  # asked for by name
    del client.env["AWS_SECRET_ACCESS_KEY"]
    got = client.keys()
    assert got["error"] == "invalid"
    assert got["text"] == "AWS credentials: AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY"


CONFIG = """\
# a comment
[default]
region = eu-central-1
s3 =
  addressing_style = path
[profile prod]
aws_access_key_id = CONFIG
aws_secret_access_key = CONFIGSECRET
[profile "two words"]
aws_access_key_id: not this way
aws_access_key_id = TWO
aws_secret_access_key = a=b#c ;d
"""


def test_profiles(tmp_path):
    client = Client(tmp_path)
    client.files(CONFIG.replace("aws_access_key_id: not this way\n", ""))
    assert client.keys("prod")["ok"]["id"] == "CONFIG"
    assert client.keys("two words")["ok"] == {
        "id": "TWO",
        "secret": "a=b#c ;d",
        "token": None,
        "expires": 0,
    }
    client.env["AWS_PROFILE"] = "prod"
    (tmp_path / ".aws/credentials").write_text(
        "[prod]\naws_access_key_id=CREDS\naws_secret_access_key=s\naws_session_token=t\n"
    )
    assert client.keys()["ok"] == {"id": "CREDS", "secret": "s", "token": "t", "expires": 0}
    client.env["AWS_PROFILE"] = "typo"
    got = client.keys()
    assert got["error"] == "invalid" and 'no AWS profile "typo"' in got["text"]


@pytest.mark.parametrize(
    ("config", "want"),
    [
        (
            "[default]\naws_access_key_id = A\n",
            "~/.aws/config:2: aws_access_key_id without aws_secret_access_key",
        ),
        (
            "[default]\nrole_arn = r\n",
            "~/.aws/config:2: role_arn needs either source_profile or credential_source",
        ),
        (
            "[default]\nrole_arn = r\nsource_profile = gone\n",
            '~/.aws/config:3: there is no profile "gone"',
        ),
        (
            "[default]\nrole_arn=r\nsource_profile=b\n[profile b]\nrole_arn=r\nsource_profile=default\n",
            "profiles name each other in a circle",
        ),
        ("[default]\nrole_arn=r\ncredential_source=Moon\n", "~/.aws/config:3: credential_source is none of"),
        (
            "[default]\nrole_arn=r\nsource_profile=default\nmfa_serial=m\n",
            "~/.aws/config:4: roles that ask for",
        ),
        ("[default]\nsso_session = corp\n", '~/.aws/config:2: profile "default" uses IAM Identity Center'),
        ("[default]\ncredential_process = false\n", "~/.aws/config:2: credential_process: false"),
        (
            "[default]\ncredential_process = echo 'x\n",
            "~/.aws/config:2: credential_process: no command, or an open",
        ),
        ("[default]\ncredential_process = echo {}\n", 'credential_process: its output has no "Version": 1'),
        ("", "none in the environment (AWS_ACCESS_KEY_ID) or the profile; instance metadata is disabled"),
    ],
)
def test_mistakes(tmp_path, config, want):
    client = Client(tmp_path, AWS_ENDPOINT_URL_ROUTE_53="http://127.0.0.1:1")
    client.files(config)
    got = client.keys()
    assert want in got["text"]
    assert "\n" not in got["text"]


def test_broken_file(tmp_path):
    client = Client(tmp_path)
    client.files("[default\n")
    done = subprocess.run([CLIENT], input="", capture_output=True, text=True, env=client.env)
    assert done.stderr == '~/.aws/config:1: "[" without "]"\n'
    client.files(f"[default]\n{SECRET.replace('=', '')}\n")
    done = subprocess.run([CLIENT], input="", capture_output=True, text=True, env=client.env)
    assert done.stderr == "~/.aws/config:2: neither [section] nor key = value\n"


def test_process(tmp_path):
    script = tmp_path / "get keys"
    keys = {"Version": 1, "AccessKeyId": "P", "SecretAccessKey": SECRET, "SessionToken": "T"}
    keys["Expiration"] = "2099-01-02T03:04:05Z"
    script.write_text(
        f"#!/bin/sh\n[ \"$1\" = 'a b' ] && [ \"$2\" = 'c\"' ] && cat <<'E'\n{json.dumps(keys)}\nE\n"
    )
    script.chmod(0o755)
    client = Client(tmp_path)
    client.files(f'[default]\ncredential_process = \'{script}\' "a b" c\\"\n')
    got = client.keys()["ok"]
    assert (got["id"], got["secret"], got["token"]) == ("P", SECRET, "T")
    assert got["expires"] == 4071006245000


ROLE = """\
[default]
role_arn = arn:aws:iam::1:role/dns
source_profile = base
external_id = x/1
role_session_name = me
region = eu-central-1
[profile base]
aws_access_key_id = BASE
aws_secret_access_key = base-secret
"""


def assumed(action, id_="ASIA", expires=None):
    at = expires or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    return xml(
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>'
        f"<AccessKeyId>{id_}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>"
        f"<SessionToken>tok</SessionToken><Expiration>{at}</Expiration></Credentials></{action}Result>"
        f"</{action}Response>"
    )


def form(request):
    return dict(parse_qsl(request.body.decode()))


def test_assumed_role(tmp_path):
    with Script(lambda _: assumed("AssumeRole")) as sts:
        client = Client(tmp_path, AWS_ENDPOINT_URL_STS=sts.url)
        client.files(ROLE)
        got = client.run({"do": "keys"}, {"do": "keys"})
        assert [x["ok"]["id"] for x in got] == ["ASIA", "ASIA"]
        assert len(sts.requests) == 1  # kept until shortly before it expires
        assert form(sts.requests[0]) == {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": "arn:aws:iam::1:role/dns",
            "RoleSessionName": "me",
            "ExternalId": "x/1",
        }
        assert "Credential=BASE/" in sts.requests[0].headers["authorization"]
        assert "/eu-central-1/sts/" in sts.requests[0].headers["authorization"]


def test_role_is_renewed(tmp_path):
    """Credentials that expire within five minutes are looked up again."""
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    with Script([assumed("AssumeRole", "ONE", soon), assumed("AssumeRole", "TWO"), refusal(403, "X")]) as sts:
        client = Client(tmp_path, AWS_ENDPOINT_URL_STS=sts.url)
        client.files(ROLE)
        got = client.run({"do": "keys"}, {"do": "keys"}, {"do": "keys"})
        assert [x["ok"]["id"] for x in got] == ["ONE", "TWO", "TWO"]


def test_expired_token_is_renewed(tmp_path):
    names = iter(["ONE", "TWO"])

    def answer(request):
        if b"AssumeRole" in request.body:
            return assumed("AssumeRole", next(names))
        if "Credential=ONE/" in request.headers["authorization"]:
            return refusal(403, "ExpiredToken")
        return page([])

    with Script(answer) as api:
        client = Client(tmp_path, AWS_ENDPOINT_URL=api.url)
        client.files(ROLE)
        assert client.one("rrsets", zone="Z1") == EMPTY
        assert api.requests[-1].headers["x-amz-security-token"] == "tok"


def test_refused_role(tmp_path):
    with Script([refusal(403, "AccessDenied", "not yours")]) as sts:
        client = Client(tmp_path, AWS_ENDPOINT_URL_STS=sts.url)
        client.files(ROLE)
        got = client.keys()
        assert got["error"] == "refused"
        assert got["text"] == (
            "AWS credentials: AssumeRole of arn:aws:iam::1:role/dns: sts: AssumeRole: AccessDenied: not yours"
        )


def test_malformed_role_reply_shows_no_keys(tmp_path):
    body = f"<Odd><SecretAccessKey>{SECRET}</SecretAccessKey></Odd>"
    with Script([xml(body)]) as sts:
        client = Client(tmp_path, AWS_ENDPOINT_URL_STS=sts.url)
        client.files(ROLE)
        got = client.keys()
        assert got["error"] == "failed" and SECRET not in got["text"]


def test_web_identity(tmp_path):
    (tmp_path / "token").write_text("jwt.of.pod\n")
    with Script(lambda _: assumed("AssumeRoleWithWebIdentity")) as sts:
        client = Client(
            tmp_path,
            AWS_ENDPOINT_URL_STS=sts.url,
            AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"),
            AWS_ROLE_ARN="arn:aws:iam::1:role/pod",
        )
        assert client.keys()["ok"]["id"] == "ASIA"
        assert form(sts.requests[0])["WebIdentityToken"] == "jwt.of.pod"
        assert "authorization" not in sts.requests[0].headers
        del client.env["AWS_ROLE_ARN"]
        assert "needs AWS_ROLE_ARN or role_arn" in client.keys()["text"]


class Instance(Api):
    """IMDSv2: nothing without a token."""

    role = "dns-role"

    def handle(self, request):
        if request.path == "/latest/api/token":
            if request.method == "PUT" and request.headers.get("x-aws-ec2-metadata-token-ttl-seconds"):
                return Reply(200, b"imds-token")
            return Reply(400)
        if request.headers.get("x-aws-ec2-metadata-token") != "imds-token":
            return Reply(401)
        base = "/latest/meta-data/iam/security-credentials/"
        if request.path == base and self.role:
            return Reply(200, self.role.encode() + b"\n")
        if request.path == base + self.role and self.role:
            keys = {"Code": "Success", "AccessKeyId": "I", "SecretAccessKey": SECRET, "Token": "T"}
            return Reply(200, json.dumps(keys | {"Expiration": "2099-01-01T00:00:00Z"}).encode())
        return Reply(404)


def test_instance(tmp_path):
    with Instance() as imds:
        client = Client(
            tmp_path,
            AWS_EC2_METADATA_SERVICE_ENDPOINT=imds.url + "/",
            AWS_EC2_METADATA_DISABLED="false",
            http_proxy="http://127.0.0.1:1",
        )
        assert client.keys()["ok"] == {"id": "I", "secret": SECRET, "token": "T", "expires": 4070908800000}
        imds.role = ""
        assert client.keys()["text"] == "AWS credentials: instance metadata: the instance has no role"
        imds.role = "../../x"
        assert "is no name of a role" in client.keys()["text"]


def test_no_instance(tmp_path):
    client = Client(
        tmp_path,
        AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:1",
        AWS_EC2_METADATA_DISABLED="false",
    )
    got = client.keys()
    assert got["error"] == "refused"
    assert "none in the environment (AWS_ACCESS_KEY_ID), the profile or a container" in got["text"]


def test_container(tmp_path):
    keys = {"AccessKeyId": "C", "SecretAccessKey": SECRET, "Token": "T", "Expiration": "2099-01-01T00:00:00Z"}
    with Script(lambda _: Reply(200, json.dumps(keys).encode())) as api:
        client = Client(
            tmp_path,
            AWS_CONTAINER_CREDENTIALS_FULL_URI=api.url + "/v1?x=1",
            AWS_CONTAINER_AUTHORIZATION_TOKEN="Basic abc",
        )
        assert client.keys()["ok"]["id"] == "C"
        assert api.requests[0].headers["authorization"] == "Basic abc"
        for url in "http://192.0.2.1/", "http://127.0.0.1@evil/", "http://127.evil/", "ftp://localhost/":
            client.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url
            assert "neither https:// nor of this host" in client.keys()["text"]


def test_endpoint_of_the_profile(tmp_path, service):
    api, client = service(lambda _: page([]))
    del client.env["AWS_ENDPOINT_URL_ROUTE_53"]
    client.files(f"[default]\nservices = lab\n[services lab]\nroute_53 =\n  endpoint_url = {api.url}\n")
    assert client.one("rrsets", zone="Z1") == EMPTY
