"""`make bench`: our bootstrap and kubeadm's on the same hosts in one run. See README.md."""
