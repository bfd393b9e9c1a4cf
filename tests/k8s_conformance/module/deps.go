//go:build deps

// Package deps names what go.mod must cover beside its tools: the end-to-end tests of Kubernetes.
package deps

import _ "k8s.io/kubernetes/test/e2e"
