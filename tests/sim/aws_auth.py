"""Who may call a simulated AWS API: Signature Version 4 is computed again with botocore's own signer, and
requests are counted against token buckets."""

import calendar
import hmac
import re
import time
from urllib.parse import urlsplit

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET = "AKIDEXAMPLE", "secret"
FORM = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,]+)/(?P<day>\d{8})/(?P<region>[^/,]+)/(?P<service>[^/,]+)"
    r"/aws4_request, ?SignedHeaders=(?P<signed>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


class Refused(Exception):
    """An API's error: code, HTTP status, message; `messages` where one reply has several."""

    def __init__(self, code, message, status=400, messages=None):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.messages = code, message, status, messages


def stamp(seconds):
    return time.strftime(SIGV4_TIMESTAMP, time.gmtime(seconds))


def check_time(sent, now, skew):
    try:
        at = calendar.timegm(time.strptime(sent, SIGV4_TIMESTAMP))
    except ValueError:
        text = f"Date must be in ISO-8601 'basic format'. Got '{sent}'."
        raise Refused("IncompleteSignature", text, 403) from None
    minutes = f"{skew // 60} min."
    if at < now - skew:
        text = f"Signature expired: {sent} is now earlier than {stamp(now - skew)} ({stamp(now)} - {minutes})"
        raise Refused("SignatureDoesNotMatch", text, 403)
    if at > now + skew:
        text = f"Signature not yet current: {sent} is still later than {stamp(now + skew)}"
        raise Refused("SignatureDoesNotMatch", f"{text} ({stamp(now)} + {minutes})", 403)


def signature_of(request, found, sent):
    """As the signer of botocore computes it from what arrived, over the headers that the client says it
    signed. The path is signed as it stands in the request."""
    signer = SigV4Auth(Credentials(KEY, SECRET), found["service"], found["region"])
    headers = {h: request.headers.get(h, "") for h in found["signed"].split(";")}
    parts = urlsplit(f"//{request.headers.get('host', '')}{request.path}?{request.raw_query}")
    copy = AWSRequest(request.method, f"http:{parts.geturl()}", headers, request.body)
    copy.context["timestamp"] = sent
    return signer.signature(signer.string_to_sign(copy, signer.canonical_request(copy)), copy)


def verify(request, service, region, now, skew):
    """Raises Refused as AWS does. The host and the date must be among the signed headers."""
    header = request.headers.get("authorization")
    if not header:
        raise Refused("MissingAuthenticationToken", "Missing Authentication Token", 403)
    found = FORM.fullmatch(header)
    sent = request.headers.get("x-amz-date", "")
    if not found or not sent or not {"host", "x-amz-date"} <= set(found["signed"].split(";")):
        text = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        raise Refused("IncompleteSignature", text, 403)
    if found["key"] != KEY:
        raise Refused("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
    if (found["service"], found["region"], found["day"]) != (service, region, sent[:8]):
        text = f"Credential should be scoped to a valid region, not '{found['region']}'."
        raise Refused("SignatureDoesNotMatch", text, 403)
    check_time(sent, now, skew)
    if not hmac.compare_digest(signature_of(request, found, sent), found["signature"]):
        text = (
            "The request signature we calculated does not match the signature you provided. Check your AWS "
            "Secret Access Key and signing method. Consult the service documentation for details."
        )
        raise Refused("SignatureDoesNotMatch", text, 403)


class Buckets:
    """Tokens by name; take() is all or nothing over the buckets that it names."""

    def __init__(self):
        self.held = {}

    def take(self, now, wanted):
        """wanted: {name: (capacity, a second)}. False if one of them is empty."""
        levels = {}
        for name, (capacity, rate) in wanted.items():
            tokens, at = self.held.get(name, (capacity, now))
            levels[name] = min(capacity, tokens + (now - at) * rate)
        enough = all(level >= 1 for level in levels.values())
        for name, level in levels.items():
            self.held[name] = (level - 1 if enough else level, now)
        return enough
