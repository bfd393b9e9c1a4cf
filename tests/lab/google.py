"""Google's own clients, and a DNS client, at a simulated Cloud DNS (tests/sim/clouddns.py)."""

import json
from functools import cached_property

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import service_account
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

AUTH = "https://www.googleapis.com/auth/"
ZONE = {"project": "p", "managedZone": "z"}


class Google:
    """The clients of one sim, as the service account whose key file is written to the path."""

    def __init__(self, sim, path):
        self.sim, self.path = sim, sim.service_account(path)
        self.credentials = self.with_scopes("cloud-platform")
        self.session = AuthorizedSession(self.credentials)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.session.close()
        for x in ("dns", "compute"):
            if x in self.__dict__:
                getattr(self, x).close()

    @cached_property
    def dns(self):
        at = {"api_endpoint": f"{self.sim.url}/"}
        return build("dns", "v1", credentials=self.credentials, client_options=at)

    @cached_property
    def compute(self):
        at = {"api_endpoint": f"{self.sim.url}/compute/v1/"}
        return build("compute", "v1", credentials=self.credentials, client_options=at)

    def with_scopes(self, *scopes):
        scopes = [AUTH + x for x in scopes]
        return service_account.Credentials.from_service_account_file(self.path, scopes=scopes)

    def change(self, additions=(), deletions=(), zone="z", **query):
        body = {"additions": list(additions), "deletions": list(deletions)}
        return self.dns.changes().create(project="p", managedZone=zone, body=body, **query).execute()


def plain(name, kind, *texts, ttl=30):
    return {"name": name, "type": kind, "ttl": ttl, "rrdatas": list(texts)}


def refusal(call):
    """(status, reason, message) of what Google's client raises."""
    with pytest.raises(HttpError) as e:
        call()
    error = json.loads(e.value.content)["error"]
    assert error["code"] == e.value.status_code and error["message"] == error["errors"][0]["message"]
    return error["code"], error["errors"][0]["reason"], error["message"]


def ask(sim, name, kind="A", client=None, over=dns.query.udp):
    """rcode, {text of each rdata}, TTL of the answer, or of the SOA that says there is none."""
    options = [dns.edns.ECSOption(client, 24)] if client else []
    query = dns.message.make_query(name, kind, use_edns=0, options=options)
    reply = over(query, "127.0.0.1", port=sim.names.port, timeout=5)
    found = {r.to_text() for rrset in reply.answer for r in rrset}
    sets = reply.answer or reply.authority
    return dns.rcode.to_text(reply.rcode()), found, sets[0].ttl if sets else None
