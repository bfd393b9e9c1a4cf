"""Our signatures beside botocore's, byte by byte, over random requests. The seed is printed; KC_SEED repeats
a run."""

import datetime
import json
import os
import random
import subprocess
from pathlib import Path
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lab.cli import REPO

SIGN = Path(os.environ.get("KC_BUILD", REPO / "build" / "release")) / "tests" / "aws-sign"
WORDS = [
    "a",
    "A",
    "a-",
    "a=b",
    "",
    "ä",
    "名",
    "%41",
    "a b",
    "+",
    "~",
    ".",
    "..",
    "x/y",
    "&",
    "*",
    "a%2Fb",
    "'()",
]
HEADERS = [
    "Content-Type",
    "X-Amz-Target",
    "x-amz-meta-a",
    "X-Amz-Meta-A",
    "X-Custom",
    "User-Agent",
    "Expect",
    "Accept",
    "Connection",
    "Content-MD5",
    "Range",
]
VALUES = [
    "a",
    "  two   words ",
    "",
    "\ttab\t and  more",
    "a,b",
    '"q  q"',
    "text/xml; charset=utf-8",
    "=",
    "ä",
]


@pytest.fixture(scope="module", autouse=True)
def sign_built():
    if not SIGN.exists():
        pytest.skip(f"{SIGN} is not built")


@pytest.fixture(scope="module")
def rng():
    seed = int(os.environ.get("KC_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed}")
    return random.Random(seed)


def raw_query(rng):
    """As it may stand in a URL: in no order, with what repeats, lacks a value, or is odd but allowed."""
    parts = []
    for _ in range(rng.randrange(6)):
        key, value = (quote(rng.choice(WORDS), safe=rng.choice(["", "+/'()*~", "%+"])) for _ in "kv")
        parts.append(
            rng.choice([f"{key}={value}", key, f"{key}=", f"{key}={value}={value}", f"{key}={value}"])
        )
    return "&".join(parts)


def raw_path(rng, s3):
    parts = [rng.choice(WORDS + ["2013-04-01", "hostedzone", "Z1"]) for _ in range(rng.randrange(5))]
    safe = "/" if s3 else rng.choice(["/", "", "/+*'()"])
    return "/" + rng.choice(["/", "//"]).join(quote(p, safe=safe) for p in parts)


def random_request(rng):
    s3 = rng.random() < 0.3
    url = rng.choice(["https://", "http://"])
    url += rng.choice(["route53.amazonaws.com", "Host.Example.COM", "127.0.0.1", "[::1]", "u@h.example"])
    url += rng.choice(["", "", ":443", ":80", ":8443"]) + raw_path(rng, s3)
    query = raw_query(rng)
    return {
        "id": "AKIDEXAMPLE",
        "secret": rng.choice(["wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "short", "ключ"]),
        **({"token": rng.choice(["IQoJb3JpZ2luX2Vj//+==", "t"])} if rng.random() < 0.4 else {}),
        "region": rng.choice(["us-east-1", "eu-central-1", "aws-global"]),
        "service": "s3" if s3 else rng.choice(["route53", "iam", "sts", "ec2"]),
        "now": rng.randrange(2**31),
        "s3": s3,
        "method": rng.choice(["GET", "POST", "PUT", "DELETE", "HEAD"]),
        "url": url + (f"?{query}" if query or rng.random() < 0.1 else ""),
        "headers": [f"{rng.choice(HEADERS)}:{rng.choice(VALUES)}" for _ in range(rng.randrange(6))],
        "body": "".join(rng.choice(["", "a", "<x/>\n", "ü", "\u0000"]) for _ in range(rng.randrange(8))),
    }


def theirs(monkeypatch, o):
    now = datetime.datetime.fromtimestamp(o["now"], datetime.timezone.utc)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    request = AWSRequest(o["method"], o["url"], data=o["body"].encode())
    for line in o["headers"]:
        name, value = line.split(":", 1)
        request.headers.add_header(name, value)
    keys = Credentials(o["id"], o["secret"], o.get("token"))
    kinds = (
        (botocore.auth.S3SigV4QueryAuth, botocore.auth.SigV4QueryAuth)
        if "expires" in o
        else (botocore.auth.S3SigV4Auth, botocore.auth.SigV4Auth)
    )
    extra = {"expires": o["expires"]} if "expires" in o else {}
    kinds[not o["s3"]](keys, o["service"], o["region"], **extra).add_auth(request)
    if "expires" in o:
        return request.url
    names = ["x-amz-date"] + ["x-amz-security-token"] * ("token" in o) + ["x-amz-content-sha256"] * o["s3"]
    return [f"{name}: {request.headers[name]}" for name in [*names, "authorization"]]


def ours(requests):
    text = "".join(json.dumps(o) + "\n" for o in requests)
    out = subprocess.run([SIGN], input=text, capture_output=True, text=True, check=True, timeout=200)
    return [json.loads(line) for line in out.stdout.splitlines()]


def compare(monkeypatch, requests):
    answers = ours(requests)
    assert len(answers) == len(requests)
    for o, mine in zip(requests, answers, strict=True):
        assert mine == theirs(monkeypatch, o), json.dumps(o)


def test_signatures(rng, monkeypatch):
    compare(monkeypatch, [random_request(rng) for _ in range(12000)])


def test_presigned(rng, monkeypatch):
    """botocore writes the query anew, so only queries that it leaves as they are."""
    requests = []
    for i in range(2000):
        o = random_request(rng)
        query = "&".join(f"k{k}={quote(rng.choice(WORDS), safe='-._~')}" for k in range(i % 3))
        o |= {"body": "", "expires": rng.randrange(1, 604800)}
        o["url"] = o["url"].split("?")[0] + (f"?{query}" if query else "")
        requests.append(o)
    compare(monkeypatch, requests)


@pytest.mark.parametrize("url", ["route53.amazonaws.com/", "https:///x", "https://?a"])
def test_no_host(url):
    o = random_request(random.Random(1)) | {"url": url}
    assert ours([o]) == [f'"{url}" is no URL with a host']
