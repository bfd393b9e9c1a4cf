"""Route 53 for tests of the program: the simulated one, and dnspython as the client."""

import dns.edns
import dns.message
import dns.query
from sim.route53 import Route53

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}


def answers(port, name, kind="A", subnet=None):
    """Sorted data of an answer, as a resolver with that client subnet gets it."""
    query = dns.message.make_query(f"{name}.", kind)
    if subnet:
        address, bits = subnet.split("/")
        query.use_edns(0, options=[dns.edns.ECSOption(address, int(bits))])
    reply = dns.query.tcp(query, "127.0.0.1", port=port, timeout=10)
    asked = query.question[0].name
    return sorted(d.to_text() for rrset in reply.answer if rrset.name == asked for d in rrset)


class Zone(Route53):
    """example.com, and what a policy says of it."""

    def __init__(self, **kw):
        super().__init__(zones=["example.com"], **kw)

    def entry(self, **changed):
        servers = [{"address": "127.0.0.1", "port": self.names.port}]
        return {"provider": "route53", "endpoint": self.url, "servers": servers, **changed}

    def ask(self, name, subnet=None, kind="A"):
        return answers(self.names.port, name, kind, subnet)

    def items(self, name):
        """Record sets below a name, without the apex' own."""
        return [r for r in self.rrsets("example.com") if r["Name"].endswith(f"{name}.")]
