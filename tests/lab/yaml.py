"""Write manifests: enough YAML for dicts, lists and scalars, in block style."""

import json


def dumps(value, indent=0):
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(
            f"{pad}{json.dumps(k) if needs_quotes(k) else k}:{_tail(v, indent)}"
            for k, v in value.items()
        )
    if isinstance(value, list) and value:
        return "".join(f"{pad}-{_item(v, indent)}" for v in value)
    return f"{pad}{_scalar(value)}\n"


def needs_quotes(s):
    return not s or not all(c.isalnum() or c in "-_/." for c in s) or s[0].isdigit()


def _scalar(v):
    return json.dumps(v)  # JSON scalars, {} and [] are YAML


def _tail(v, indent):
    if isinstance(v, (dict, list)) and v:
        return "\n" + dumps(v, indent + 1)
    return f" {_scalar(v)}\n"


def _item(v, indent):
    if isinstance(v, (dict, list)) and v:
        return " " + dumps(v, indent + 1).lstrip(" ")
    return f" {_scalar(v)}\n"


def cluster(name, hosts, **spec):
    """An on-prem Cluster manifest; hosts: list of spec.hosts entries."""
    return dumps(
        {
            "apiVersion": "kubecdn.io/v1alpha1",
            "kind": "Cluster",
            "metadata": {"name": name},
            "spec": {"cloud": "onprem", "region": "lab", **spec, "hosts": hosts},
        }
    )


def host_entry(host, role, **changes):
    """The spec.hosts entry of a hosts.Host."""
    entry = {
        "name": host.name,
        "addresses": [host.address],
        "role": role,
        "ssh": host.ssh_spec(),
    }
    entry.update(changes)
    return entry
