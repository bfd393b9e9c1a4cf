#!/bin/sh
# pin.sh: write go.mod and go.sum anew for the newest Kubernetes of components.yaml, with the versions that
# the bundle's own programs are built from (needs Go, network).
set -eu
cd "$(dirname "$0")"
export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0

bundle=../../../bootstrap/bundle
version=$(sed -n 's/^  - version: *//p' "$bundle/components.yaml" | head -1)
pinned=$bundle/gomod/kubernetes-${version%.*}/go.mod
rm -f go.mod go.sum
{
	printf 'module kubecdn.io/k8s-conformance\n\n%s\n\n' "$(grep '^go ' "$pinned")"
	printf 'require k8s.io/kubernetes v%s\n\n' "$version"
	sed -n '/^replace (/,/^)/p' "$pinned"
} >go.mod
# The ginkgo that Kubernetes itself asks for: its two halves must be of one version.
ginkgo=$(go list -m -f '{{.Version}}' github.com/onsi/ginkgo/v2)
images=k8s.io/kubernetes/test/images
go get -tool "$images/agnhost" "$images/nonewprivs" k8s.io/sample-apiserver "github.com/onsi/ginkgo/v2/ginkgo@$ginkgo"
go mod tidy
