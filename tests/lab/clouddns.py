"""Google Cloud DNS for tests of the program: the simulated one, by hand, and dnspython as the client."""

import json
import urllib.request

from sim.clouddns import CloudDns

from .route53 import answers

ZONE = "example-com"


class Zone(CloudDns):
    """example.com in the project "p", and what a policy says of it."""

    def __init__(self, **kw):
        super().__init__(zones={ZONE: "example.com"}, **kw)

    def entry(self, **changed):
        servers = [{"address": "127.0.0.1", "port": self.names.port}]
        entry = {"provider": "clouddns", "project": "p", "managedZone": ZONE, "endpoint": self.url}
        return {**entry, "servers": servers, **changed}

    def keys(self, folder):
        """Environment of a caller who may do everything."""
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(self.service_account(folder / "key.json"))}

    def ask(self, name, subnet=None, kind="A"):
        return answers(self.names.port, name, kind, subnet)

    def below(self, name):
        """{(name, type): rrset} of all at and below a name."""
        return {k: v for k, v in self.rrsets(ZONE).items() if k[0].endswith(f"{name}.")}

    def state(self):
        return self.rrsets(ZONE)

    def manual(self, method, path, body=None):
        """As somebody would with Google's own tools."""
        token = self.identity.issue({"https://www.googleapis.com/auth/cloud-platform"})["access_token"]
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def by_hand(self, *additions):
        self.manual("POST", f"/dns/v1/projects/p/managedZones/{ZONE}/changes", {"additions": additions})

    def check_by_hand(self, name, **changed):
        """A health check for external endpoints, and its URL."""
        check = {"name": name, "type": "TCP", "tcpHealthCheck": {"port": 80}, "checkIntervalSec": 60}
        check |= {"sourceRegions": ["us-east1", "us-west1", "europe-west1"], **changed}
        self.manual("POST", "/compute/v1/projects/p/global/healthChecks", check)
        return self.health_checks[name]["selfLink"]


def record(name, *data, kind="A", **more):
    return {"name": f"{name}.", "type": kind, "ttl": 60, **({"rrdatas": data} if data else {}), **more}
