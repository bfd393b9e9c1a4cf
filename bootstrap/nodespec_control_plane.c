/* What a control plane runs beside that: etcd, API server, controller manager, scheduler. */
#include <string.h>

#include "bootstrap/nodespec_priv.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

static json_t *flag(const char *name, json_t *value)
{
	return kc_pack("{s:[s, o]}", "$cat", name, value);
}

static json_t *first_cidr(const struct spec *s, const char *path)
{
	return json_incref(json_array_get(kc_json_at(s->env->cluster, path), 0));
}

static void etcd_certs(struct spec *s)
{
	static const struct {
		const char *id, *path, *cn, *use, *use2;
	} certs[] = {
		{ "cert/etcd-server", PKI "/etcd/server", NULL, "server", "client" },
		{ "cert/etcd-peer", PKI "/etcd/peer", NULL, "server", "client" },
		{ "cert/apiserver-etcd-client", PKI "/apiserver-etcd-client",
		  "kube-apiserver-etcd-client", "client", NULL },
	};

	add_file(s, "file/etcd-ca.crt", PKI "/etcd/ca.crt", "0644", secret("pki/etcd-ca.crt"));
	for (size_t i = 0; i < ARRAY_SIZE(certs); i++)
		add_cert(s, &(struct cert){
				    .id = certs[i].id,
				    .path = certs[i].path,
				    .ca = "etcd-ca",
				    .cn = certs[i].cn ? json_string(certs[i].cn) : fact("name"),
				    .sans = certs[i].cn ? NULL : fact("etcdSANs"),
				    .use = certs[i].use,
				    .use2 = certs[i].use2,
			    });
}

/* Whatever else there is to do waits for these two, the first start above all: a cluster answers
 * names a second sooner so. Each thread counts three of a kubelet's, which still gets its turns. */
#define BEFORE_OTHERS "Nice=-5\n"

/*
 * Whoever starts it, also systemd after a reboot: a member that once ran and finds its directory
 * empty must not begin anew, which would look like a healthy cluster that never had anything.
 */
#define ETCD_RAN "/var/lib/kubecdn/etcd-member"
static const char etcd_guard[] = BEFORE_OTHERS
	"LimitNOFILE=65536\nTimeoutStartSec=infinity\n"
	"ExecStartPre=/bin/sh -c \"test ! -e " ETCD_RAN " || test -d " ETCD_DATA
	" || { echo '" ETCD_DATA " is gone: put it back, or delete the cluster' >&2; exit 1; }\"\n"
	"ExecStartPost=/bin/sh -c \": >" ETCD_RAN "\"\n";

static void etcd(struct spec *s)
{
	json_t *flags =
		kc_pack("[o, s, s, o, o, s, o, s, s, s, s, s, s, s, s]",
			flag("--name=", fact("name")), "--data-dir=/var/lib/etcd/member0",
			"--listen-metrics-urls=http://127.0.0.1:2381",
			kc_pack("{s:[s, o, s]}", "$cat",
				"--listen-client-urls=https://127.0.0.1:2379,https://",
				fact("address"), ":2379"),
			kc_pack("{s:[s, o, s]}", "$cat", "--advertise-client-urls=https://",
				fact("address"), ":2379"),
			"--client-cert-auth=true",
			kc_pack("{s:[s, o, s]}", "$cat", "--listen-peer-urls=https://",
				fact("address"), ":2380"),
			"--cert-file=" PKI "/etcd/server.crt", "--key-file=" PKI "/etcd/server.key",
			"--trusted-ca-file=" PKI "/etcd/ca.crt", "--peer-client-cert-auth=true",
			"--peer-cert-file=" PKI "/etcd/peer.crt",
			"--peer-key-file=" PKI "/etcd/peer.key",
			"--peer-trusted-ca-file=" PKI "/etcd/ca.crt", "--snapshot-count=10000");

	json_array_append_new(flags, kc_pack("{s:[s, o, s]}", "$cat",
					     "--initial-advertise-peer-urls=https://",
					     fact("address"), ":2380"));
	json_array_append_new(flags,
			      flag("--initial-cluster=", joined(",", fact("etcdInitialCluster"))));
	add_dir(s, "/var/lib/etcd", "0700");
	add_unit(s, &(struct unit){
			    .name = "etcd",
			    .description = "etcd key-value store",
			    .type = "notify",
			    .extra = etcd_guard,
			    .program = BIN "/etcd",
			    .flags = flags,
			    .inputs = kc_pack("[s, s, s, s]", "blob/etcd", "file/etcd-ca.crt",
					      "cert/etcd-server", "cert/etcd-peer"),
			    .after = kc_pack("[s]", "dir/var/lib/etcd"),
			    /* cheaper than asking systemd again and again; so below */
			    .probe = kc_pack("{s:s}", "tcp", "127.0.0.1:2381"),
		    });
}

/* Metadata of everything but reads of the control plane's own; bodies of nothing (secrets). */
static json_t *audit_policy(void)
{
	json_t *rules =
		kc_pack("[{s:s, s:[s, s, s], s:[s, s, s, s]}, {s:s, s:[s, s, s], s:[s, s]}]",
			"level", "None", "verbs", "get", "list", "watch", "users",
			"system:kube-controller-manager", "system:kube-scheduler",
			"system:kube-proxy", "system:apiserver", "level", "None", "verbs", "get",
			"list", "watch", "userGroups", "system:nodes",
			"system:serviceaccounts:kube-system");

	json_array_append_new(rules,
			      kc_pack("{s:s, s:[{s:s, s:[s]}]}", "level", "None", "resources",
				      "group", "coordination.k8s.io", "resources", "leases"));
	json_array_append_new(rules,
			      kc_pack("{s:s, s:[s]}", "level", "None", "nonResourceURLs", "/*"));
	json_array_append_new(rules, kc_pack("{s:s}", "level", "Metadata"));
	return kc_pack("{s:s, s:s, s:[s], s:o}", "apiVersion", "audit.k8s.io/v1", "kind", "Policy",
		       "omitStages", "RequestReceived", "rules", rules);
}

/* Anonymous requests are for health checks only: balancers have no certificate. */
static json_t *authentication(void)
{
	return kc_pack("{s:s, s:s, s:{s:b, s:[{s:s}, {s:s}, {s:s}]}}", "apiVersion",
		       "apiserver.config.k8s.io/v1", "kind", "AuthenticationConfiguration",
		       "anonymous", "enabled", 1, "conditions", "path", "/livez", "path", "/readyz",
		       "path", "/healthz");
}

static void apiserver_files(struct spec *s)
{
	static const struct {
		const char *id, *path, *ca, *cn, *use;
	} certs[] = {
		{ "cert/apiserver", PKI "/apiserver", "ca", "kube-apiserver", "server" },
		{ "cert/apiserver-kubelet-client", PKI "/apiserver-kubelet-client", "ca",
		  "kube-apiserver-kubelet-client", "client" },
		{ "cert/front-proxy-client", PKI "/front-proxy-client", "front-proxy-ca",
		  "front-proxy-client", "client" },
	};
	static const char *const secrets[][3] = {
		{ "file/sa.key", PKI "/sa.key", "0600" },
		{ "file/sa.pub", PKI "/sa.pub", "0644" },
		{ "file/front-proxy-ca.crt", PKI "/front-proxy-ca.crt", "0644" },
	};
	static const char *const names[] = { "pki/sa.key", "pki/sa.pub", "pki/front-proxy-ca.crt" };

	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
		add_file(s, secrets[i][0], secrets[i][1], secrets[i][2], secret(names[i]));
	for (size_t i = 0; i < ARRAY_SIZE(certs); i++)
		add_cert(s, &(struct cert){
				    .id = certs[i].id,
				    .path = certs[i].path,
				    .ca = certs[i].ca,
				    .cn = json_string(certs[i].cn),
				    .sans = i == 0 ? fact("apiSANs") : NULL,
				    .use = certs[i].use,
			    });
	add_file(s, "file/encryption.json", "/etc/kubernetes/encryption.json", "0600",
		 secret("secrets/encryption.json"));
	add_file(s, "file/audit-policy.json", "/etc/kubernetes/audit-policy.json", "0644",
		 kc_pack("{s:o}", "$json", audit_policy()));
	add_file(s, "file/authentication.json", "/etc/kubernetes/authentication.json", "0644",
		 kc_pack("{s:o}", "$json", authentication()));
	add_dir(s, "/var/log/kubernetes", "0700");
}

static json_t *apiserver_flags(const struct spec *s)
{
	static const char *const fixed[] = {
		"--allow-privileged=true",
		"--authentication-config=/etc/kubernetes/authentication.json",
		"--authorization-mode=Node,RBAC",
		"--audit-log-path=/var/log/kubernetes/audit.log",
		"--audit-policy-file=/etc/kubernetes/audit-policy.json",
		"--client-ca-file=" PKI "/ca.crt",
		"--enable-admission-plugins=NodeRestriction,DenyServiceExternalIPs",
		"--encryption-provider-config=/etc/kubernetes/encryption.json",
		"--etcd-servers=https://127.0.0.1:2379",
		"--etcd-cafile=" PKI "/etcd/ca.crt",
		"--etcd-certfile=" PKI "/apiserver-etcd-client.crt",
		"--etcd-keyfile=" PKI "/apiserver-etcd-client.key",
		"--kubelet-certificate-authority=" PKI "/ca.crt",
		"--kubelet-client-certificate=" PKI "/apiserver-kubelet-client.crt",
		"--kubelet-client-key=" PKI "/apiserver-kubelet-client.key",
		"--kubelet-preferred-address-types=InternalIP,Hostname",
		"--profiling=false",
		"--proxy-client-cert-file=" PKI "/front-proxy-client.crt",
		"--proxy-client-key-file=" PKI "/front-proxy-client.key",
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-client-ca-file=" PKI "/front-proxy-ca.crt",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--secure-port=6443",
		"--service-account-extend-token-expiration=false",
		"--service-account-issuer=https://kubernetes.default.svc." KC_CLUSTER_DOMAIN,
		"--service-account-key-file=" PKI "/sa.pub",
		"--service-account-signing-key-file=" PKI "/sa.key",
		"--tls-cert-file=" PKI "/apiserver.crt",
		"--tls-private-key-file=" PKI "/apiserver.key",
		"--tls-min-version=VersionTLS12",
	};
	static const char *const defaults[][2] = { { "audit-log-maxage", "30" },
						   { "audit-log-maxbackup", "10" },
						   { "audit-log-maxsize", "100" } };
	const json_t *extra = kc_json_at(s->env->cluster, "spec.apiServer.extraArgs");
	json_t *flags = json_array();

	json_array_append_new(flags, flag("--advertise-address=", fact("address")));
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		json_array_append_new(flags, json_string(fixed[i]));
	json_array_append_new(flags, flag("--tls-cipher-suites=", joined(",", cipher_suites())));
	json_array_append_new(flags, flag("--service-cluster-ip-range=",
					  first_cidr(s, "spec.networking.serviceCIDRs")));
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		if (!json_object_get(extra, defaults[i][0]))
			json_array_append_new(flags, json_sprintf("--%s=%s", defaults[i][0],
								  defaults[i][1]));
	extra_flags(flags, extra);
	return flags;
}

static void apiserver(struct spec *s)
{
	apiserver_files(s);
	add_unit(s,
		 &(struct unit){
			 .name = "kube-apiserver",
			 .description = "Kubernetes API server",
			 .type = "notify",
			 /* Left alone it waits a minute for watches to end by themselves; their
			  * clients come back anyway. */
			 .extra = BEFORE_OTHERS "LimitNOFILE=65536\nTimeoutStartSec=infinity\n"
						"TimeoutStopSec=3\n",
			 .program = BIN "/kube-apiserver",
			 .flags = apiserver_flags(s),
			 .inputs = kc_pack("[s, s, s, s, s, s, s, s, s, s, s, s, s, s]",
					   "blob/kube", "link/kube-apiserver", "file/ca.crt",
					   "file/sa.key", "file/sa.pub", "file/front-proxy-ca.crt",
					   "file/etcd-ca.crt", "file/encryption.json",
					   "file/audit-policy.json", "file/authentication.json",
					   "cert/apiserver", "cert/apiserver-kubelet-client",
					   "cert/front-proxy-client", "cert/apiserver-etcd-client"),
			 .after = kc_pack("[s, s, s]", "unit/etcd", "link/kube-apiserver",
					  "dir/var/log/kubernetes"),
			 .probe = kc_pack("{s:s}", "tcp", "127.0.0.1:6443"),
		 });
}

/* A program that talks to the local API server with its own certificate. */
static void client_of_api(struct spec *s, const char *name)
{
	_cleanup_free_ char *id = xasprintf("cert/%s", name), *path = xasprintf(PKI "/%s", name),
			    *crt = xasprintf("%s.crt", path), *key = xasprintf("%s.key", path);

	add_cert(s, &(struct cert){
			    .id = id,
			    .path = path,
			    .ca = "ca",
			    .cn = json_sprintf("system:%s", name),
			    .use = "client",
		    });
	add_kubeconfig(s, name, "https://127.0.0.1:6443", crt, key);
}

static json_t *common_flags(const struct spec *s, const char *name)
{
	json_t *flags = json_array();
	static const char *const kubeconfigs[] = { "--kubeconfig", "--authentication-kubeconfig",
						   "--authorization-kubeconfig" };

	for (size_t i = 0; i < ARRAY_SIZE(kubeconfigs); i++)
		json_array_append_new(flags, json_sprintf("%s=/etc/kubernetes/%s.kubeconfig",
							  kubeconfigs[i], name));
	json_array_append_new(flags, json_string("--bind-address=127.0.0.1"));
	json_array_append_new(flags, json_string("--profiling=false"));
	/* One replica has nobody to elect against, and its first lease request costs 2.4 s. */
	json_array_append_new(flags, json_sprintf("--leader-elect=%s",
						  s->env->control_planes > 1 ? "true" : "false"));
	return flags;
}

static void controller_manager(struct spec *s)
{
	static const char *const fixed[] = {
		"--allocate-node-cidrs=true",
		"--client-ca-file=" PKI "/ca.crt",
		"--requestheader-client-ca-file=" PKI "/front-proxy-ca.crt",
		"--cluster-signing-cert-file=" PKI "/ca.crt",
		"--cluster-signing-key-file=" PKI "/ca.key",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--root-ca-file=" PKI "/ca.crt",
		"--service-account-private-key-file=" PKI "/sa.key",
		"--use-service-account-credentials=true",
	};
	json_t *flags = common_flags(s, "kube-controller-manager");

	client_of_api(s, "kube-controller-manager");
	add_file(s, "file/ca.key", PKI "/ca.key", "0600", secret("pki/ca.key"));
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		json_array_append_new(flags, json_string(fixed[i]));
	json_array_append_new(flags,
			      flag("--cluster-cidr=", first_cidr(s, "spec.networking.podCIDRs")));
	json_array_append_new(flags, flag("--service-cluster-ip-range=",
					  first_cidr(s, "spec.networking.serviceCIDRs")));
	add_unit(s,
		 &(struct unit){
			 .name = "kube-controller-manager",
			 .description = "Kubernetes controller manager",
			 .type = "simple",
			 .program = BIN "/kube-controller-manager",
			 .flags = flags,
			 .inputs = kc_pack("[s, s, s, s, s, s, s, s]", "blob/kube",
					   "link/kube-controller-manager", "file/ca.crt",
					   "file/ca.key", "file/sa.key", "file/front-proxy-ca.crt",
					   "file/kube-controller-manager.kubeconfig",
					   "cert/kube-controller-manager"),
			 .after = kc_pack("[s, s]", "unit/kube-apiserver",
					  "link/kube-controller-manager"),
		 });
}

static void scheduler(struct spec *s)
{
	client_of_api(s, "kube-scheduler");
	add_unit(s,
		 &(struct unit){
			 .name = "kube-scheduler",
			 .description = "Kubernetes scheduler",
			 .type = "simple",
			 .program = BIN "/kube-scheduler",
			 .flags = common_flags(s, "kube-scheduler"),
			 .inputs = kc_pack("[s, s, s, s, s]", "blob/kube", "link/kube-scheduler",
					   "file/ca.crt", "file/kube-scheduler.kubeconfig",
					   "cert/kube-scheduler"),
			 .after = kc_pack("[s, s]", "unit/kube-apiserver", "link/kube-scheduler"),
		 });
}

void control_plane(struct spec *s)
{
	const json_t *component;
	size_t i;

	json_array_foreach(json_object_get(s->env->bundle, "components"), i, component)
		if (streq(kc_json_get_str(component, "name", ""), "etcd"))
			add_component(s, component);
	add_dir(s, PKI "/etcd", "0755");
	etcd_certs(s);
	etcd(s);
	apiserver(s);
	controller_manager(s);
	scheduler(s);
}
