// Command kube holds every Kubernetes program of a machine and behaves as the one whose name it is
// called by, through links kube-apiserver, kubelet, kubectl and so on. They share nearly all of
// their code: one binary is a third of the six separate ones, on the wire and in the page cache.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// Upstream's six main functions; each builds its command only when asked, because building one
// registers flags and metrics that another's would clash with.
var programs = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-proxy":              proxy.NewProxyCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubectl":                 cmd.NewDefaultKubectlCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
}

func main() {
	name := filepath.Base(os.Args[0])
	build := programs[name]
	switch {
	case build == nil:
		fmt.Fprintf(os.Stderr, "kube: called as %q: call it through a link named kubelet, kubectl, "+
			"kube-apiserver, kube-controller-manager, kube-scheduler or kube-proxy\n", name)
		os.Exit(2)
	case name == "kubectl": // its errors are texts for people and have exit codes of their own
		if err := cli.RunNoErrOutput(build()); err != nil {
			util.CheckErr(err)
		}
	default:
		os.Exit(cli.Run(build()))
	}
}
