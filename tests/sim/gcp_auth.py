"""Google's way in: the OAuth 2 token endpoint (signed JWT of a service account, refresh token of a user),
the metadata server of a machine, and the check of the bearer token of a call.

Sources: developers.google.com/identity/protocols/oauth2/service-account (claims, at most one hour),
RFC 6749 and RFC 7523 (grants and error codes), cloud.google.com/compute/docs/metadata (headers and
paths). The words of refusals are those in googleapis/google-api-php-client#1429 and #2479."""

import base64
import json
import os
import secrets
import time
from functools import cache
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sim.gcp_schema import JSON, Refusal
from sim.server import Reply

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# What google-auth for Python signs for, whatever token_uri says; others sign for token_uri.
GOOGLES = "https://oauth2.googleapis.com/token"
LIFETIME = 3600
SKEW = 300  # seconds that a clock may be ahead; that there is some is documented, how much is not
AUTH = "https://www.googleapis.com/auth/"
KNOWN_SCOPES = {
    AUTH + x
    for x in (
        "cloud-platform",
        "cloud-platform.read-only",
        "ndev.clouddns.readwrite",
        "ndev.clouddns.readonly",
        "compute",
        "compute.readonly",
    )
}
SHORT_LIVED = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)
CREDENTIAL = "Expected OAuth 2 access token, login cookie or other valid authentication credential."


class TokenError(Exception):
    """code, error, description"""


@cache
def key(_email):
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(private):
    form = serialization.PrivateFormat.PKCS8
    return private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def write_private(path, value):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        json.dump(value, f)
    return path


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Identity:
    """Who may come in. `lifetime` is that of new tokens, in seconds."""

    def __init__(self, url, project):
        self.url, self.project, self.lifetime = url, project, LIFETIME
        self.accounts, self.users, self.tokens = {}, {}, {}

    def service_account(self, path):
        email = f"kubecdn@{self.project}.iam.gserviceaccount.com"
        self.accounts[email] = key(email), "kid-1"
        info = {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": "kid-1",
            "private_key": pem(key(email)),
            "client_email": email,
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": f"{self.url}/token",
            "universe_domain": "googleapis.com",
        }
        return write_private(path, info)

    def authorized_user(self, path):
        """As `gcloud auth application-default login` writes it; token_uri is where this one is found."""
        refresh, user = "1//" + secrets.token_urlsafe(24), ("client.apps.googleusercontent.com", "a-secret")
        self.users[refresh] = user
        info = {"type": "authorized_user", "client_id": user[0], "client_secret": user[1]}
        info |= {"refresh_token": refresh, "token_uri": f"{self.url}/token"}
        return write_private(path, info)

    def issue(self, scopes):
        token = "ya29." + secrets.token_urlsafe(32)
        self.tokens[token] = time.time() + self.lifetime, frozenset(scopes)
        return {"access_token": token, "expires_in": int(self.lifetime), "token_type": "Bearer"}

    def expire(self):
        self.tokens = {k: (0, scopes) for k, (_, scopes) in self.tokens.items()}

    def token(self, request):
        """POST /token"""
        form = dict(parse_qsl(request.body.decode(errors="replace")))
        grants = {JWT_BEARER: self.by_jwt, "refresh_token": self.by_refresh}
        try:
            if request.method != "POST":
                raise TokenError(405, "invalid_request", "Only POST")
            grant = grants.get(form.get("grant_type"))
            if not grant:
                text = f"Invalid grant_type: {form.get('grant_type', '')}"
                raise TokenError(400, "unsupported_grant_type", text)
            return Reply(200, json.dumps(grant(form)).encode(), JSON)
        except TokenError as e:
            code, error, text = e.args
            return Reply(code, json.dumps({"error": error, "error_description": text}).encode(), JSON)

    def by_jwt(self, form):
        claims = self.verified(form.get("assertion", ""))
        now, iat, exp = time.time(), claims.get("iat"), claims.get("exp")
        if not isinstance(iat, int) or not isinstance(exp, int):
            raise TokenError(400, "invalid_grant", SHORT_LIVED)
        if exp - iat > LIFETIME or iat > now + SKEW or exp < now:
            raise TokenError(400, "invalid_grant", SHORT_LIVED)
        if claims.get("aud") not in (GOOGLES, f"{self.url}/token"):
            raise TokenError(400, "invalid_grant", "Invalid JWT: Failed audience check.")
        return self.issue(self.scopes_of(claims.get("scope")))

    def scopes_of(self, text):
        scopes = set(text.split()) if isinstance(text, str) else set()
        if not scopes or not scopes <= KNOWN_SCOPES:
            raise TokenError(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return scopes

    def verified(self, jwt):
        """The claims of a JWT that a known account signed."""
        try:
            head, body, signature = jwt.split(".")
            header, claims, raw = json.loads(decoded(head)), json.loads(decoded(body)), decoded(signature)
        except ValueError:
            raise TokenError(400, "invalid_grant", "Invalid JWT") from None
        if header.get("alg") != "RS256" or header.get("typ", "JWT") != "JWT":
            raise TokenError(400, "invalid_grant", "Invalid JWT: unsupported algorithm.")
        account = self.accounts.get(claims.get("iss"))
        if not account:
            raise TokenError(400, "invalid_grant", "Invalid grant: account not found")
        try:
            if header.get("kid", account[1]) != account[1]:
                raise InvalidSignature
            signed = f"{head}.{body}".encode()
            account[0].public_key().verify(raw, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise TokenError(400, "invalid_grant", "Invalid JWT Signature.") from None
        return claims

    def by_refresh(self, form):
        user = self.users.get(form.get("refresh_token"))
        if not user:
            raise TokenError(400, "invalid_grant", "Bad Request")
        if (form.get("client_id"), form.get("client_secret")) != user:
            raise TokenError(401, "invalid_client", "Unauthorized")
        scopes = self.scopes_of(form.get("scope", AUTH + "cloud-platform"))
        return self.issue(scopes) | {"scope": " ".join(sorted(scopes))}

    def metadata(self, request):
        """GET /computeMetadata/v1/..., and / to find out whether there is such a server."""
        flavor = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
        right = request.headers.get("metadata-flavor") == "Google"
        if not right or "x-forwarded-for" in request.headers:
            if request.path != "/":
                return Reply(403, b"Missing Metadata-Flavor:Google header.\n", flavor)
        email = f"vm@{self.project}.iam.gserviceaccount.com"
        scopes = (request.query.get("scopes") or AUTH + "cloud-platform").split(",")
        account = "/computeMetadata/v1/instance/service-accounts"
        texts = {
            "/": "computeMetadata/\n",
            "/computeMetadata/v1/project/project-id": self.project,
            "/computeMetadata/v1/universe/universe-domain": "googleapis.com",
            f"{account}/default/email": email,
            f"{account}/default/scopes": "\n".join(scopes) + "\n",
        }
        values = {}
        if request.path.rstrip("/") in (f"{account}/default", f"{account}/{email}"):
            values[request.path] = {"aliases": ["default"], "email": email, "scopes": scopes}
        elif request.path in (f"{account}/default/token", f"{account}/{email}/token"):
            values[request.path] = self.issue(scopes)
        if request.path in texts:
            return Reply(200, texts[request.path].encode(), flavor | {"Content-Type": "application/text"})
        if request.path in values:
            kind = {"Content-Type": "application/json"}
            return Reply(200, json.dumps(values[request.path]).encode(), flavor | kind)
        return Reply(404, b"Not Found\n", flavor)

    def check(self, request, allowed):
        """Refuses a call without a live token of one of these scopes."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        realm = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}
        if kind.lower() != "bearer" or not token:
            text = f"Request is missing required authentication credential. {CREDENTIAL}"
            raise Refusal(401, ("required", text), status="UNAUTHENTICATED", headers=realm)
        expiry, scopes = self.tokens.get(token, (0, frozenset()))
        if expiry <= time.time():
            realm["WWW-Authenticate"] += ', error="invalid_token"'
            text = f"Request had invalid authentication credentials. {CREDENTIAL}"
            raise Refusal(401, ("authError", text), status="UNAUTHENTICATED", headers=realm)
        if not scopes & set(allowed):
            realm["WWW-Authenticate"] += ', error="insufficient_scope"'
            text = "Request had insufficient authentication scopes."
            error = ("insufficientPermissions", text)
            raise Refusal(403, error, status="PERMISSION_DENIED", headers=realm)
