"""Microsoft Entra's token endpoint for client credentials (secret, certificate, federated token) and the
managed identity of a virtual machine (IMDS). Assertions are verified, tokens are opaque and have an end."""

import base64
import datetime
import hashlib
import secrets
import time
import uuid
from urllib.parse import parse_qsl

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sim.azure_errors import Refused, answer, entra_refused
from sim.azure_limits import IMDS_API, limit

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "api://AzureADTokenExchange"  # the audience of federated tokens
MANAGEMENT = "https://management.azure.com", "https://management.core.windows.net"


class No(Exception):
    """A refusal of Entra's: status, error, number, text."""


def thumbprint(pem):
    certificate = x509.load_pem_x509_certificate(pem)
    der = certificate.public_bytes(serialization.Encoding.DER)
    sha1, sha256 = hashlib.sha1(der).digest(), hashlib.sha256(der).digest()
    return certificate, *(base64.urlsafe_b64encode(x).decode().rstrip("=") for x in (sha1, sha256))


def certificate_file(path):
    """A self-signed certificate with its key, in one PEM file, as an application registers it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubecdn")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(pem))
    path.chmod(0o600)


class Entra:
    """One tenant with one application: a secret, a certificate, one federated identity, one managed one."""

    def __init__(self, folder, url):
        self.url = url
        self.tenant, self.client_id = str(uuid.uuid4()), str(uuid.uuid4())
        self.client_secret = secrets.token_urlsafe(30)
        self.certificate = folder / "application.pem"
        certificate_file(self.certificate)
        self.registered = thumbprint(self.certificate.read_bytes())
        self.issuer = "https://oidc.example.com/cluster"
        self.subject = "system:serviceaccount:kubecdn:dns"
        self.issuer_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.identity = str(uuid.uuid4())  # client id of the managed identity
        self.seconds = limit("seconds of a token")
        self.audiences = [*MANAGEMENT, url]
        self.tokens = {}  # token: (resource, end)

    def federated_token(self, **claims):
        """What a cluster's service account would present."""
        now = int(time.time())
        usual = {"iss": self.issuer, "sub": self.subject, "aud": EXCHANGE, "iat": now, "exp": now + 600}
        return jwt.encode({**usual, **claims}, self.issuer_key, "RS256", headers={"kid": "1"})

    def issue(self, resource):
        token = secrets.token_urlsafe(limit("characters of a token"))[: limit("characters of a token")]
        self.tokens[token] = (resource, time.time() + self.seconds)
        return token

    def expire(self):
        self.tokens = {t: (r, time.time() - 1) for t, (r, _) in self.tokens.items()}

    def authorize(self, headers):
        """Raises unless the request bears a live token for Azure Resource Manager."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not token or scheme.lower() != "bearer":
            raise unauthorized(
                "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        if token not in self.tokens:
            raise unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
        resource, end = self.tokens[token]
        if end <= time.time():
            was = time.strftime("%m/%d/%Y %H:%M:%S", time.gmtime(end))
            raise unauthorized(
                "ExpiredAuthenticationToken",
                f"The access token expiry UTC time '{was}' is earlier than current UTC time.",
            )
        if resource.rstrip("/") not in self.audiences:
            raise unauthorized(
                "InvalidAuthenticationTokenAudience",
                f"The access token has been obtained for wrong audience or resource '{resource}'.",
            )

    def handle(self, request):
        """Requests below /{tenant}/."""
        tenant, *rest = request.parts
        try:
            if tenant not in (self.tenant, "organizations", "common"):
                raise No(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
            if request.method == "GET" and rest[-2:] == [".well-known", "openid-configuration"]:
                return answer(200, self.configuration())
            if request.method != "POST" or rest != ["oauth2", "v2.0", "token"]:
                return answer(404)
            return self.token(dict(parse_qsl(request.body.decode("utf-8", "replace"))))
        except No as e:
            return entra_refused(*e.args)

    def configuration(self):
        base = f"{self.url}/{self.tenant}"
        return {
            "issuer": f"{base}/v2.0",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        }

    def token(self, form):
        if form.get("grant_type") != "client_credentials":
            raise No(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        if form.get("client_id") != self.client_id:
            raise No(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{form.get('client_id')}' was not found in the directory"
                f" '{self.tenant}'.",
            )
        if "client_assertion" in form:
            self.check_assertion(form)
        elif "client_secret" in form:
            self.check_secret(form["client_secret"])
        else:
            raise No(
                401,
                "invalid_client",
                7000216,
                "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials'"
                " grant type.",
            )
        resource = self.resource_of(form.get("scope", ""))
        return answer(
            200,
            {
                "token_type": "Bearer",
                "expires_in": self.seconds,
                "ext_expires_in": self.seconds,
                "access_token": self.issue(resource),
            },
        )

    def resource_of(self, scope):
        scopes = [s for s in scope.split() if s not in ("openid", "profile", "offline_access")]
        if len(scopes) != 1 or not scopes[0].endswith("/.default"):
            raise No(
                400,
                "invalid_scope",
                1002012,
                f"The provided value for scope {scope} is not valid. Client credential flows must have a"
                " scope value with /.default suffixed to the resource identifier (application ID URI).",
            )
        resource = scopes[0].removesuffix("/.default")
        known = [*self.audiences, "https://storage.azure.com", "https://vault.azure.net"]
        if resource.rstrip("/") not in known:
            raise No(
                400, "invalid_resource", 500011, f"The resource principal named {resource} was not found."
            )
        return resource

    def check_secret(self, secret):
        if not secrets.compare_digest(secret.encode(), self.client_secret.encode()):
            raise No(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client"
                f" secret value, not the client secret ID, for a secret added to app '{self.client_id}'.",
            )

    def check_assertion(self, form):
        if form.get("client_assertion_type") != JWT_BEARER:
            raise No(400, "invalid_request", 50027, "The client_assertion_type is not the JWT bearer's.")
        assertion = form["client_assertion"]
        try:
            header = jwt.get_unverified_header(assertion)
            issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
        except jwt.InvalidTokenError:
            raise No(400, "invalid_request", 50027, "JWT token is invalid or malformed.") from None
        if issuer == self.client_id:
            self.check_own(assertion, header)
        else:
            self.check_federated(assertion, issuer)

    def check_own(self, assertion, header):
        """The application's own signature, by the certificate that it names."""
        certificate, sha1, sha256 = self.registered
        named = {h: str(header[h]).rstrip("=") for h in ("x5t", "x5t#S256") if h in header}  # MSAL pads
        if not named or {"x5t": sha1, "x5t#S256": sha256} | named != {"x5t": sha1, "x5t#S256": sha256}:
            raise No(
                401,
                "invalid_client",
                700027,
                "The certificate with identifier used to sign the client assertion is not registered on"
                " application.",
            )
        base = f"{self.url}/{self.tenant}"
        audience = [f"{base}/oauth2/v2.0/token", f"{base}/v2.0", f"{base}/oauth2/token"]
        claims = self.verify(assertion, certificate.public_key(), ["PS256", "RS256"], audience)
        if claims.get("sub") != self.client_id or not claims.get("jti"):
            raise No(401, "invalid_client", 700021, "Client assertion 'sub' or 'jti' is not as it must be.")

    def check_federated(self, assertion, issuer):
        if issuer != self.issuer:
            raise No(
                401,
                "invalid_client",
                700211,
                f"No matching federated identity record found for presented assertion issuer '{issuer}'.",
            )
        claims = self.verify(assertion, self.issuer_key.public_key(), ["RS256"], EXCHANGE)
        if claims.get("sub") != self.subject:
            raise No(
                401,
                "invalid_client",
                700213,
                "No matching federated identity record found for presented assertion subject"
                f" '{claims.get('sub')}'.",
            )

    def verify(self, assertion, key, algorithms, audience):
        try:
            return jwt.decode(
                assertion, key, algorithms, audience=audience, options={"require": ["exp", "aud", "sub"]}
            )
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
            number, text = 700024, "Client assertion is not within its valid time range."
        except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
            number, text = 700023, "Client assertion audience claim does not match Realm issuer."
        except jwt.InvalidTokenError:
            number, text = 700027, "Client assertion failed signature validation."
        raise No(401, "invalid_client", number, text)

    def managed(self, request):
        """GET /metadata/identity/oauth2/token; numbers in it are strings."""

        def no(text):
            return answer(400, {"error": "invalid_request", "error_description": text})

        if request.headers.get("metadata", "").lower() != "true" or "x-forwarded-for" in request.headers:
            return no("Required metadata header not specified")
        if request.query.get("api-version") != IMDS_API:
            return no("Required query variable 'api-version' is missing or not supported")
        if not request.query.get("resource"):
            return no("Required query variable 'resource' is missing")
        if request.query.get("client_id", self.identity) != self.identity:
            return no("Identity not found")
        resource, now = request.query["resource"], int(time.time())
        return answer(
            200,
            {
                "access_token": self.issue(resource),
                "client_id": self.identity,
                "expires_in": str(self.seconds),
                "expires_on": str(now + self.seconds),
                "ext_expires_in": str(self.seconds),
                "not_before": str(now - 5),
                "resource": resource,
                "token_type": "Bearer",
            },
        )


def unauthorized(code, message):
    challenge = (
        'Bearer authorization_uri="https://login.windows.net/", error="invalid_token",'
        f' error_description="{message}"'
    )
    return Refused(401, code, message, {"WWW-Authenticate": challenge})
