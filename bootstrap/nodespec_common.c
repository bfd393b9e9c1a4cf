/* What every node runs: containerd, the API balancer, kubelet, kube-proxy. */
#include <string.h>

#include "bootstrap/nodespec_priv.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

/* Undone last when a host is given back: what the programs themselves left behind. */
static void teardown(struct spec *s)
{
	add(s, "teardown", "teardown",
	    kc_pack("{s:[s, s], s:[s, s, s, s, s], s:[s, s, s, s, s, s, s, s]}", "links",
		    "flannel.1", "flannel-v6.1", "nft", "ip kube-proxy", "ip6 kube-proxy",
		    "ip flannel-ipv4", "ip6 flannel-ipv6", "inet cni_hostport", "paths",
		    "/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni", "/run/flannel",
		    "/run/containerd", "/var/log/pods", "/var/log/containers", "/opt/kubecdn"),
	    NULL);
}

/* A component's files, and the names that its multi-call programs go by. */
void add_component(struct spec *s, const json_t *component)
{
	const json_t *blob, *target;
	const char *link;
	size_t i;

	json_array_foreach(json_object_get(component, "blobs"), i, blob) {
		const char *name = kc_json_get_str(blob, "path", "");
		bool cni = kc_startswith(name, "cni/");
		_cleanup_free_ char *id = xasprintf("blob/%s", name),
				    *path = xasprintf("%s/%s", cni ? "/opt/kubecdn" : BIN, name);
		json_t *want = json_deep_copy(blob);

		json_object_set_new(want, "path", json_string(path));
		add(s, id, "blob", want, kc_pack("[s]", cni ? "dir/opt/kubecdn/cni" : "dir" BIN));
	}
	json_object_foreach(json_object_get(component, "links"), link, target) {
		_cleanup_free_ char *id = xasprintf("link/%s", link),
				    *path = xasprintf(BIN "/%s", link);

		add_link(s, id, path, json_string_value(target));
	}
}

static void programs(struct spec *s)
{
	const json_t *component;
	json_t *agent = json_deep_copy(s->env->agent), *after = kc_pack("[s]", "dir" BIN);
	size_t i;

	add_dir(s, "/opt/kubecdn", "0755");
	add_dir(s, BIN, "0755");
	add_dir(s, "/opt/kubecdn/cni", "0755");
	json_object_set_new(agent, "path", json_string(BIN "/kubecdn-node"));
	add(s, "blob/kubecdn-node", "blob", agent, after);
	json_array_foreach(json_object_get(s->env->bundle, "components"), i, component)
		if (!streq(kc_json_get_str(component, "name", ""), "etcd"))
			add_component(s, component);
}

static void kernel(struct spec *s)
{
	static const char *const modules[] = { "overlay", "vxlan", "nf_tables" };
	static const struct {
		const char *key, *value;
		bool at_least; /* a limit: more is fine, and its owner's business */
	} settings[] = {
		{ "net.ipv4.ip_forward", "1", false },
		{ "fs.inotify.max_user_instances", "8192", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		_cleanup_free_ char *id = xasprintf("module/%s", modules[i]);

		add(s, id, "module", kc_pack("{s:s}", "name", modules[i]),
		    kc_pack("[s]", "teardown"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		_cleanup_free_ char *id = xasprintf("sysctl/%s", settings[i].key);

		add(s, id, "sysctl",
		    kc_pack("{s:s, s:s, s:b}", "key", settings[i].key, "value", settings[i].value,
			    "orMore", settings[i].at_least),
		    kc_pack("[s]", "teardown"));
	}
	add_file(s, "file/sysctl.d", "/etc/sysctl.d/99-kubecdn.conf", "0644",
		 json_string("net.ipv4.ip_forward = 1\n"));
	/* Early, so that whoever sets more in a file of his own has the last word. */
	add_file(s, "file/sysctl.d-limits", "/etc/sysctl.d/10-kubecdn.conf", "0644",
		 json_string("fs.inotify.max_user_instances = 8192\n"));
	add_file(s, "file/modules-load.d", "/etc/modules-load.d/kubecdn.conf", "0644",
		 json_string("overlay\nvxlan\nnf_tables\n"));
}

/*
 * containerd fills the template with the pod CIDR that the kubelet hands over, and
 * keeps it in a folder of our own: what others have in /etc/cni would win.
 * flanneld masquerades, so ptp does not.
 */
static const char cni_template[] =
	"{\"cniVersion\": \"1.0.0\", \"name\": \"kubecdn\", \"plugins\": [\n"
	" {\"type\": \"ptp\", \"ipMasq\": false, \"mtu\": MTU,\n"
	"  \"ipam\": {\"type\": \"host-local\", \"dataDir\": \"/var/lib/cni/networks\",\n"
	"   \"ranges\": [{{range $i, $r := .PodCIDRRanges}}{{if $i}}, {{end}}[{\"subnet\": "
	"\"{{$r}}\"}]{{end}}],\n"
	"   \"routes\": [{{range $i, $r := .Routes}}{{if $i}}, {{end}}{\"dst\": "
	"\"{{$r}}\"}{{end}}]}},\n"
	" {\"type\": \"portmap\", \"backend\": \"nftables\", \"capabilities\": {\"portMappings\": "
	"true}}\n"
	"]}\n";

static json_t *cni_content(const struct spec *s)
{
	const char *split = strstr(cni_template, "MTU");
	json_int_t mtu = json_integer_value(kc_json_at(s->env->cluster, "spec.networking.mtu"));

	return kc_pack("{s:[o, o, s]}", "$cat",
		       json_stringn(cni_template, (size_t)(split - cni_template)),
		       mtu ? json_integer(mtu) : fact("podMTU"), split + strlen("MTU"));
}

static void containerd(struct spec *s)
{
	const json_t *pause = kc_json_at(s->env->bundle, "images.pause");
	json_t *config = kc_pack(
		"{s:[s, o, s, o, s, o, s]}", "$cat",
		"version = 3\n\n"
		"[plugins.\"io.containerd.cri.v1.runtime\"]\n"
		"  restrict_oom_score_adj = ",
		kc_pack("{s:o}", "$json", fact("restrictOomScoreAdj")),
		"\n\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc]\n"
		"  runtime_type = \"io.containerd.runc.v2\"\n"
		"  [plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc.options]\n"
		"    BinaryName = \"" BIN "/runc\"\n"
		"    SystemdCgroup = ",
		kc_pack("{s:o}", "$json", fact("systemdCgroup")),
		"\n\n[plugins.\"io.containerd.cri.v1.runtime\".cni]\n"
		"  bin_dirs = [\"/opt/kubecdn/cni\"]\n"
		"  conf_dir = \"/var/lib/cni/net.d\"\n"
		"  conf_template = \"" CONF "/cni.template\"\n\n"
		"[plugins.\"io.containerd.cri.v1.images\".pinned_images]\n"
		"  sandbox = \"",
		json_string(kc_json_get_str(pause, "ref", "")), "\"\n");

	add_file(s, "file/containerd.toml", CONF "/containerd.toml", "0644", config);
	add_file(s, "file/cni.template", CONF "/cni.template", "0600", cni_content(s));
	add_unit(s,
		 &(struct unit){
			 .name = "containerd",
			 .description = "containerd container runtime",
			 .type = "notify",
			 .extra = "Environment=PATH=" BIN
				  ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
				  "Delegate=yes\nKillMode=process\nLimitNOFILE=1048576\n"
				  "TasksMax=infinity\n",
			 .program = BIN "/containerd",
			 .flags = kc_pack("[s]", "--config=" CONF "/containerd.toml"),
			 .inputs = kc_pack("[s, s, s, s, s]", "file/containerd.toml",
					   "file/cni.template", "blob/containerd",
					   "blob/containerd-shim-runc-v2", "blob/runc"),
			 .after = kc_pack("[s]", "module/overlay"),
			 .probe = kc_pack("{s:s}", "unix", "/run/containerd/containerd.sock"),
		 });
}

static void images(struct spec *s)
{
	const char *name;
	const json_t *image;

	json_object_foreach(json_object_get(s->env->bundle, "images"), name, image) {
		_cleanup_free_ char *id = xasprintf("image/%s", name);

		add(s, id, "image", json_deep_copy(image),
		    kc_pack("[s, s]", "unit/containerd", "blob/ctr"));
	}
}

static void balance(struct spec *s)
{
	add_file(s, "file/balance.json", CONF "/balance.json", "0644",
		 kc_pack("{s:{s:[s, s], s:o, s:o}}", "$json", "listen", "127.0.0.1:7445",
			 "[::1]:7445", "backends", fact("apiBackends"), "local", fact("apiLocal")));
	add_unit(s, &(struct unit){
			    .name = "kubecdn-balance",
			    .description = "Balancer over the cluster's API servers",
			    .type = "simple",
			    .extra = "LimitNOFILE=65536\n", /* two a connection */
			    .program = BIN "/kubecdn-node balance",
			    .flags = kc_pack("[s]", "--config=" CONF "/balance.json"),
			    .inputs = kc_pack("[s, s]", "file/balance.json", "blob/kubecdn-node"),
		    });
}

static json_t *kubelet_config(const struct spec *s, const char *dns)
{
	json_t *c = kc_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:b}", "apiVersion",
			    "kubelet.config.k8s.io/v1beta1", "kind", "KubeletConfiguration",
			    "containerRuntimeEndpoint", "unix:///run/containerd/containerd.sock",
			    "tlsCertFile", "/var/lib/kubelet/pki/kubelet.crt", "tlsPrivateKeyFile",
			    "/var/lib/kubelet/pki/kubelet.key", "readOnlyPort", 0,
			    "rotateCertificates", 1, "failSwapOn", 1, "serializeImagePulls", 0);

	json_object_update_new(c, kc_pack("{s:{s:{s:b}, s:{s:b}, s:{s:s}}, s:{s:s}}",
					  "authentication", "anonymous", "enabled", 0, "webhook",
					  "enabled", 1, "x509", "clientCAFile", PKI "/ca.crt",
					  "authorization", "mode", "Webhook"));
	json_object_update_new(c, kc_pack("{s:[s], s:s, s:o, s:o, s:o, s:o}", "clusterDNS", dns,
					  "clusterDomain", KC_CLUSTER_DOMAIN, "cgroupDriver",
					  fact("cgroupDriver"), "failCgroupV1",
					  fact("failCgroupV1"), "resolvConf", fact("resolvConf"),
					  "registerWithTaints", fact("taints")));
	/*
	 * No iptables rules: kube-proxy's nftables mode needs none of the kubelet's chains, and
	 * they would outlive the cluster. Plugins below its own folder: /usr may be read-only.
	 */
	json_object_update_new(c, kc_pack("{s:b, s:s}", "makeIPTablesUtilChains", 0,
					  "volumePluginDir", "/var/lib/kubelet/volumeplugins"));
	/* Against a fork bomb in one pod, and system calls that no container needs. */
	json_object_update_new(c, kc_pack("{s:i, s:b}", "podPidsLimit", 4096, "seccompDefault", 1));
	json_object_update_new(c, kc_pack("{s:s, s:o}", "tlsMinVersion", "VersionTLS12",
					  "tlsCipherSuites", cipher_suites()));
	return c;
}

static void kubelet_certs(struct spec *s)
{
	add_dir(s, "/var/lib/kubelet", "0700");
	add_dir(s, "/var/lib/kubelet/pki", "0700");
	add_cert(s, &(struct cert){
			    .id = "cert/kubelet-client",
			    .path = "/var/lib/kubelet/pki/kubelet-client-initial.pem",
			    .combined = true,
			    .ca = "ca",
			    .cn = kc_pack("{s:[s, o]}", "$cat", "system:node:", fact("name")),
			    .orgs = kc_pack("[s]", "system:nodes"),
			    .use = "client",
		    });
	/* The kubelet renews its client certificate and then moves this link itself. Was it away
	 * for longer than that one lasts, it starts again with ours. */
	add(s, "link/kubelet-client", "link",
	    kc_pack("{s:s, s:s, s:b, s:b}", "path",
		    "/var/lib/kubelet/pki/kubelet-client-current.pem", "target",
		    "kubelet-client-initial.pem", "initial", 1, "certificate", 1),
	    kc_pack("[s, s]", "dir/var/lib/kubelet/pki", "cert/kubelet-client"));
	add_cert(s, &(struct cert){
			    .id = "cert/kubelet",
			    .path = "/var/lib/kubelet/pki/kubelet",
			    .ca = "ca",
			    .cn = kc_pack("{s:[s, o]}", "$cat", "system:node:", fact("name")),
			    .orgs = kc_pack("[s]", "system:nodes"),
			    .sans = fact("nodeSANs"),
			    .use = "server",
		    });
	add_kubeconfig(s, "kubelet", KC_BALANCER, "/var/lib/kubelet/pki/kubelet-client-current.pem",
		       "/var/lib/kubelet/pki/kubelet-client-current.pem");
}

/*
 * Pods' addresses must come from the block that the Node has. containerd writes the network of the
 * kubelet's first message and keeps that, and flannel says once who has which block; but a Node
 * that was deleted comes back with another one, and then no other node finds its pods. Where the
 * API does not answer, what was right stays right.
 */
static const char pod_cidr_script[] =
	"\n# kubelet.service runs this first. If the Node is gone, or has another block of\n"
	"# addresses than containerd made the network of, network and pods are made anew.\n"
	"conf=$(ls /var/lib/cni/net.d/*.conflist 2>/dev/null) || exit 0\n"
	"if said=$(" BIN "/kubectl --kubeconfig=/etc/kubernetes/kubelet.kubeconfig "
	"--request-timeout=3s get --raw \"/api/v1/nodes/$node\" 2>&1); then\n"
	"\tcidr=$(printf %s \"$said\" | sed -n 's/.*\"podCIDR\":\"\\([^\"]*\\)\".*/\\1/p')\n"
	"\t[ -z \"$cidr\" ] || ! grep -qF \"\\\"$cidr\\\"\" \"$conf\" || exit 0\n"
	"else\n"
	"\tcase $said in *'(NotFound)'*) ;; *) exit 0 ;; esac\n"
	"fi\n"
	"# The network last: killed in between, the next start sees it and does all of it again.\n"
	"pods='labels.\"io.cri-containerd.kind\"==sandbox'\n"
	"for id in $(" BIN "/ctr -n k8s.io containers list -q \"$pods\"); do\n"
	"\t" BIN "/ctr -n k8s.io tasks kill -s KILL \"$id\" || true\n"
	"done\n"
	"rm -f \"$conf\"\n";

static void kubelet(struct spec *s, const char *dns)
{
	json_t *flags = kc_pack("[s, s, o, o]", "--config=" CONF "/kubelet.json",
				"--kubeconfig=/etc/kubernetes/kubelet.kubeconfig",
				kc_pack("{s:[s, o]}", "$cat", "--hostname-override=", fact("name")),
				kc_pack("{s:[s, o]}", "$cat", "--node-ip=", fact("address")));

	kubelet_certs(s);
	add_file(s, "file/kubelet.json", CONF "/kubelet.json", "0600",
		 kc_pack("{s:o}", "$json", kubelet_config(s, dns)));
	add_file(s, "file/pod-cidr.sh", CONF "/pod-cidr.sh", "0644",
		 kc_pack("{s:[s, o, s]}", "$cat", "node=", fact("name"), pod_cidr_script));
	extra_flags(flags, kc_json_at(s->env->cluster, "spec.kubelet.extraArgs"));
	add_unit(s,
		 &(struct unit){
			 .name = "kubelet",
			 .description = "Kubernetes node agent",
			 .type = "simple",
			 .extra = "Environment=PATH=" BIN
				  ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
				  "KillMode=process\n"
				  "ExecStartPre=-/bin/sh " CONF "/pod-cidr.sh\n",
			 .program = BIN "/kubelet",
			 .flags = flags,
			 .inputs = kc_pack("[s, s, s, s, s, s]", "file/kubelet.json",
					   "file/kubelet.kubeconfig", "file/ca.crt", "cert/kubelet",
					   "blob/kube", "link/kubelet"),
			 .after = kc_pack("[s, s, s, s, s, s, s]", "unit/containerd",
					  "unit/kubecdn-balance", "link/kubelet-client",
					  "link/kubelet", "link/kubectl", "file/pod-cidr.sh",
					  "sysctl/net.ipv4.ip_forward"),
		 });
}

static json_t *proxy_config(const struct spec *s)
{
	const json_t *pods = kc_json_at(s->env->cluster, "spec.networking.podCIDRs");

	/* Not a second between two syncs: nftables mode only writes what changed. */
	return kc_pack("{s:s, s:s, s:s, s:{s:s}, s:{s:s}, s:O, s:s, s:s, s:o}", "apiVersion",
		       "kubeproxy.config.k8s.io/v1alpha1", "kind", "KubeProxyConfiguration", "mode",
		       "nftables", "nftables", "minSyncPeriod", "100ms", "clientConnection",
		       "kubeconfig", "/etc/kubernetes/kube-proxy.kubeconfig", "clusterCIDR",
		       json_array_get(pods, 0), "healthzBindAddress", "0.0.0.0:10256",
		       "metricsBindAddress", "127.0.0.1:10249", "conntrack", fact("conntrack"));
}

static void kube_proxy(struct spec *s)
{
	add_cert(s, &(struct cert){
			    .id = "cert/kube-proxy",
			    .path = PKI "/kube-proxy",
			    .ca = "ca",
			    .cn = json_string("system:kube-proxy"),
			    .use = "client",
		    });
	add_kubeconfig(s, "kube-proxy", KC_BALANCER, PKI "/kube-proxy.crt", PKI "/kube-proxy.key");
	add_file(s, "file/kube-proxy.json", CONF "/kube-proxy.json", "0644",
		 kc_pack("{s:o}", "$json", proxy_config(s)));
	add_unit(s, &(struct unit){
			    .name = "kube-proxy",
			    .description = "Kubernetes service proxy",
			    .type = "simple",
			    /* Started over its predecessor's tables, 1.37.2 sometimes left the map
			     * of service addresses empty, until its next full sync in an hour. */
			    .extra = "ExecStartPre=-nft delete table ip kube-proxy\n"
				     "ExecStartPre=-nft delete table ip6 kube-proxy\n",
			    .program = BIN "/kube-proxy",
			    .flags = kc_pack("[s, o]", "--config=" CONF "/kube-proxy.json",
					     kc_pack("{s:[s, o]}", "$cat",
						     "--hostname-override=", fact("name"))),
			    .inputs = kc_pack("[s, s, s, s, s, s]", "file/kube-proxy.json",
					      "file/kube-proxy.kubeconfig", "file/ca.crt",
					      "cert/kube-proxy", "blob/kube", "link/kube-proxy"),
			    .after = kc_pack("[s, s, s]", "unit/kubecdn-balance", "link/kube-proxy",
					     "module/nf_tables"),
		    });
}

void every_node(struct spec *s)
{
	char dns[46];

	kc_service_address(s->env->cluster, 10, dns, NULL);
	teardown(s);
	programs(s);
	kernel(s);
	add_dir(s, CONF, "0755");
	add_dir(s, "/etc/kubernetes", "0755");
	add_dir(s, PKI, "0755");
	add_file(s, "file/ca.crt", PKI "/ca.crt", "0644", secret("pki/ca.crt"));
	containerd(s);
	images(s);
	balance(s);
	kubelet(s, dns);
	kube_proxy(s);
}
