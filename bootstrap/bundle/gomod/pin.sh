#!/bin/sh
# pin.sh: write go.mod and go.sum anew for the versions in ../components.yaml (needs Go, network).
# Run it after a version was changed there; then read the diff and put the h1: sums it prints into
# components.yaml. Transitive versions are what each release's own go.mod asks for.
set -eu
cd "$(dirname "$0")"
export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0

version() { # the version of a component or image in components.yaml
	sed -n "/^  $1:/,/^  [a-z]/s/^    version: *//p" ../components.yaml | head -1
}

# module DIR PACKAGE@VERSION...: only what these main packages need
module() {
	dir=$1
	shift
	(cd "$dir" && rm -f go.mod go.sum && go mod init "kubecdn.io/$dir" && go get -tool "$@" &&
		go mod edit -go=1.26.0)
}

# Kubernetes replaces its staging modules by folders, which a module that depends on it cannot
# use: each is replaced by the published one, v0.X.Y for Kubernetes 1.X.Y.
kubernetes() {
	minor=${1#1.}
	cd "kubernetes-1.${minor%.*}"
	rm -f go.mod go.sum
	go mod init kubecdn.io/kube
	mod=$(go mod download -json "k8s.io/kubernetes@v$1" | sed -n 's/^\t"GoMod": "\(.*\)",*$/\1/p')
	go mod edit -require "k8s.io/kubernetes@v$1" "-go=$(sed -n 's/^go //p' "$mod")"
	{
		printf '\nreplace (\n'
		sed -n "s/^\t\(k8s.io\/[a-z-]*\) => .\/staging.*/\t\1 => \1 v0.$minor/p" "$mod"
		printf ')\n'
	} >> go.mod
	go mod tidy
	cd ..
}

etcd() {
	cd etcd
	rm -f go.mod go.sum
	go mod init kubecdn.io/etcd
	for m in server etcdctl etcdutl pkg; do go mod edit -require "go.etcd.io/etcd/$m/v3@v$1"; done
	go mod tidy
	go mod edit -go=1.26.0
	cd ..
}

# flanneld is built from its main.go with two imports dropped: the requirements are its go.mod's
# without those, and tidied beside that main.go.
flannel() {
	tmp=$(mktemp -d)
	dir=$(go mod download -json "github.com/flannel-io/flannel@v$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
	sed '/pkg\/backend\/\(tencentvpc\|udp\)"/d' "$dir/main.go" > "$tmp/main.go"
	sed -e 's,^module .*,module kubecdn.io/flannel,' -e '/tencentcloud/d' -e '/^\/\//,+1d' \
		"$dir/go.mod" > "$tmp/go.mod"
	(cd "$tmp" && go mod edit -require "github.com/flannel-io/flannel@v$1" && go mod tidy)
	cp "$tmp/go.mod" "$tmp/go.sum" flannel/
	rm -rf "$tmp"
}

sed -n 's/^  - version: *//p' ../components.yaml | while read -r v; do kubernetes "$v"; done
etcd "$(version etcd)"
v=$(version containerd) p=github.com/containerd/containerd/v2/cmd
module containerd "$p/containerd@v$v" "$p/containerd-shim-runc-v2@v$v" "$p/ctr@v$v"
v=$(version cni) p=github.com/containernetworking/plugins/plugins
module cni "$p/main/loopback@v$v" "$p/main/ptp@v$v" "$p/ipam/host-local@v$v" "$p/meta/portmap@v$v"
module coredns "github.com/coredns/coredns@v$(version coredns)"
(export CGO_ENABLED=1 && module runc "github.com/opencontainers/runc@v$(version runc)")
flannel "$(version flannel)"
sed -n 's/^    module: *//p' ../components.yaml | while read -r m; do
	grep -h "^$m v[^/]* h1:" ./*/go.sum | sort -u # several where another part needs an older one
done
