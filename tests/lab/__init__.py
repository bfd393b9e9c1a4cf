"""What the end-to-end tests observe and stand on, without any of kubecdn's own code.

hosts     real Debian hosts (systemd-nspawn), not made by our cloud `local`
snapshot  everything a host is, by the host's own tools; and what differs between two
cli       running the program under test
yaml      writing manifests (the standard library has no YAML)
"""
