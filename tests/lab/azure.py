"""Azure for tests of the program: the simulated one, and what a policy says of it."""

from pathlib import Path

from azure.core.pipeline.policies import HeadersPolicy
from azure.mgmt.dns import DnsManagementClient
from azure.mgmt.trafficmanager import TrafficManagerManagementClient
from lab.dns import ABROAD
from lab.route53 import answers
from sim import azure_clients
from sim.azuredns import AzureDns


EVERYBODY = [e["addresses"][0] for e in ABROAD]
NEAR = {"id": "near", "at": "gcp/europe-west3", "addresses": ["192.0.2.5", "2001:db8::5"]}


class Zone(AzureDns):
    """example.com. Over plain HTTP: the program trusts the system's CAs, and no others."""

    def __init__(self, folder, **kw):
        Path(folder).mkdir()
        super().__init__(folder, zones=["example.com"], tls=False, **kw)

    def env(self):
        return {
            "AZURE_AUTHORITY_HOST": self.url,
            "AZURE_TENANT_ID": self.tenant,
            "AZURE_CLIENT_ID": self.client_id,
            "AZURE_CLIENT_SECRET": self.client_secret,
        }

    def entry(self, **changed):
        servers = [{"address": "127.0.0.1", "port": self.names.port}]
        entry = {"provider": "azure", "subscription": self.subscription, "resourceGroup": self.group}
        return {**entry, "endpoint": self.url, "servers": servers, **changed}

    def sdk(self, kind):
        """Microsoft's own client, as somebody else would use it. By itself it sends no token over HTTP."""
        token = self.entra.issue("https://management.azure.com")
        headers = HeadersPolicy({"Authorization": f"Bearer {token}"})
        return azure_clients.client(kind, self, credential=object(), authentication_policy=headers)

    @property
    def sets(self):
        return self.sdk(DnsManagementClient).record_sets

    @property
    def traffic_manager(self):
        return self.sdk(TrafficManagerManagementClient)

    def ask(self, name, subnet=None, kind="A"):
        return answers(self.names.port, name, kind, subnet)

    def records(self):
        """Record sets without the apex' own."""
        return {k: v for k, v in self.rrsets("example.com").items() if k[1] not in ("NS", "SOA")}

    def written(self, since=0):
        """Methods and paths of what was sent to Azure but reads and tokens."""
        sent = [(r.method, r.path) for r in self.requests[since:]]
        return [(m, p.split("Microsoft.Network/")[1]) for m, p in sent if m != "GET" and "Network" in p]
