#include "bootstrap/schema.h"

#include "bootstrap/schema_priv.h"
#include "dns/policy.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"

static const char *const api_versions[] = { KC_API_VERSION, NULL };
static const char *const kind_names[] = { "Cluster", NULL };
/* Providers are data here; what each one needs is checked in its own folder. */
static const char *const clouds[] = { "aws", "gcp", "azure", "onprem", "local", NULL };
static const char *const roles[] = { "control-plane", "worker", NULL };
static const char *const cnis[] = { "flannel", NULL };
static const char *const arches[] = { "amd64", "arm64", NULL };
static const char *const transports[] = { "libssh2", "openssh", NULL };

static const struct kc_field taint = { .type = KC_FIELD_STRING,
				       .check = kc_check_taint,
				       .example = "dedicated=video:NoSchedule",
				       .pattern = KC_PATTERN_TAINT };
static const struct kc_field cidr = { .type = KC_FIELD_STRING,
				      .check = kc_check_cidr,
				      .example = "10.244.0.0/16" };
static const struct kc_field san = { .type = KC_FIELD_STRING,
				     .check = kc_check_san,
				     .example = "api.example.com" };
static const struct kc_field address = { .type = KC_FIELD_STRING,
					 .check = kc_check_address,
					 .example = "192.0.2.11" };
static const struct kc_field zone = { .type = KC_FIELD_STRING,
				      .check = kc_check_word,
				      .example = "us-east-1a" };
static const struct kc_field mirror = { .type = KC_FIELD_STRING,
					.check = kc_check_url,
					.example = "https://mirror.example.com" };
static const struct kc_field exception = { .type = KC_FIELD_STRING,
					   .check = kc_check_no_proxy,
					   .example = ".example.com" };
static const struct kc_field ca = { .type = KC_FIELD_STRING,
				    .check = kc_check_ca,
				    .multiline = true };
static const struct kc_field addon = { .type = KC_FIELD_STRING,
				       .check = kc_check_name,
				       .example = "coredns",
				       .pattern = KC_PATTERN_NAME };

#define LABELS(text)                                                                               \
	{                                                                                          \
		.name = "labels", .type = KC_FIELD_MAP, .def = "{}",                               \
		.check = kc_check_label_value, .check_key = kc_check_label_key, .doc = text        \
	}
#define TAINTS                                                                                     \
	{                                                                                          \
		.name = "taints", .type = KC_FIELD_LIST, .item = &taint,                           \
		.doc = "Taints of the nodes, key=value:Effect or key:Effect. Control planes get "  \
		       "node-role.kubernetes.io/control-plane:NoSchedule unless this is given; "   \
		       "[] lets ordinary pods run there."                                          \
	}
#define ROLE                                                                                       \
	{                                                                                          \
		.name = "role", .type = KC_FIELD_STRING, .values = roles, .required = true,        \
		.doc = "What the machine does: control-plane runs etcd and the API server, "       \
		       "worker "                                                                   \
		       "runs pods."                                                                \
	}

static const struct kc_field metadata_fields[] = {
	{ .name = "name",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .immutable = true,
	  .check = kc_check_name,
	  .pattern = KC_PATTERN_NAME,
	  .doc = "The cluster's name; a DNS label, unique in the state store." },
	LABELS("Labels of the cluster, for you and for policies that select clusters."),
	{ 0 }
};

static const struct kc_field location_fields[] = {
	{ .name = "lat",
	  .type = KC_FIELD_NUMBER,
	  .required = true,
	  .min = -90,
	  .max = 90,
	  .doc = "Latitude in degrees, north positive." },
	{ .name = "lon",
	  .type = KC_FIELD_NUMBER,
	  .required = true,
	  .min = -180,
	  .max = 180,
	  .doc = "Longitude in degrees, east positive." },
	{ 0 }
};

static const struct kc_field networking_fields[] = {
	{ .name = "podCIDRs",
	  .type = KC_FIELD_LIST,
	  .item = &cidr,
	  .min = 1,
	  .max = 2,
	  .immutable = true,
	  .def = "[\"10.244.0.0/16\"]",
	  .doc = "Block that pods get their addresses from, a /24 a node. IPv4 only as yet." },
	{ .name = "serviceCIDRs",
	  .type = KC_FIELD_LIST,
	  .item = &cidr,
	  .min = 1,
	  .max = 2,
	  .immutable = true,
	  .def = "[\"10.96.0.0/12\"]",
	  .doc = "Block that Services get their addresses from. No node may stand inside it. IPv4 "
		 "only as yet." },
	{ .name = "cni",
	  .type = KC_FIELD_STRING,
	  .values = cnis,
	  .immutable = true,
	  .def = "\"flannel\"",
	  .doc = "How pods reach each other across nodes: flannel is VXLAN by flannel." },
	{ .name = "mtu",
	  .type = KC_FIELD_INT,
	  .min = 0,
	  .max = 9216,
	  .immutable = true, /* pods and nodes keep theirs: it would change bit by bit */
	  .def = "0",
	  .doc = "MTU of the pods' network in bytes, 1280 or more; 0 takes it from the node's "
		 "interface." },
	{ 0 }
};

static const struct kc_field api_fields[] = {
	{ .name = "endpoint",
	  .type = KC_FIELD_STRING,
	  .example = "api.example.com:6443",
	  .def = "\"\"",
	  .check = kc_check_endpoint,
	  .doc = "Name or address (with :PORT if not 6443) that clients reach the API server by. "
		 "Empty: the first control plane's address; nodes always use the local balancer." },
	{ .name = "sans",
	  .type = KC_FIELD_LIST,
	  .item = &san,
	  .max = 32,
	  .def = "[]",
	  .doc = "Further DNS names and addresses in the API server's certificate." },
	{ .name = "access",
	  .type = KC_FIELD_LIST,
	  .item = &cidr,
	  .max = 64,
	  .def = "[\"0.0.0.0/0\"]",
	  .doc = "Blocks that may reach the API server, where the cloud has a firewall." },
	{ 0 }
};

static const struct kc_field ssh_fields[] = {
	{ .name = "host",
	  .type = KC_FIELD_STRING,
	  .def = "\"\"",
	  .check = kc_check_ssh_host,
	  .doc = "Name or address to connect to. Empty: the host's first address." },
	{ .name = "user",
	  .type = KC_FIELD_STRING,
	  .def = "\"root\"",
	  .check = kc_check_ssh_user,
	  .doc = "User to log in as; one that is not root needs sudo without a password." },
	{ .name = "port",
	  .type = KC_FIELD_INT,
	  .min = 1,
	  .max = 65535,
	  .def = "22",
	  .doc = "TCP port of the SSH server." },
	{ .name = "identityFile",
	  .type = KC_FIELD_STRING,
	  .example = "~/.ssh/id_ed25519",
	  .def = "\"\"",
	  .check = kc_check_ssh_path,
	  .doc = "Private key file, absolute or below ~/. Empty: the agent, then the usual "
		 "files." },
	{ .name = "hostKey",
	  .type = KC_FIELD_STRING,
	  .example = "ssh-ed25519 "
		     "AAAAC3NzaC1lZDI1NTE5AAAAIMDTVgUFfZy2t0w4A2vPALFsjCY/JBAzeKOucYp/6pIX",
	  .def = "\"\"",
	  .check = kc_check_host_key,
	  .doc = "The host's public key, \"TYPE BASE64\". Empty: looked up in known_hosts." },
	{ .name = "bastion",
	  .type = KC_FIELD_STRING,
	  .example = "root@203.0.113.5:22",
	  .def = "\"\"",
	  .check = kc_check_bastion,
	  .doc = "USER@HOST:PORT to go through, by the same identityFile; known_hosts must have "
		 "its key. Empty: straight to the host." },
	{ .name = "transport",
	  .type = KC_FIELD_STRING,
	  .def = "\"libssh2\"",
	  .values = transports,
	  .doc = "Who speaks SSH: libssh2, which is built in, or openssh: the program ssh, with "
		 "all "
		 "that ssh_config says for the host." },
	{ 0 }
};

static const struct kc_field host_fields[] = {
	{ .name = "name",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .check = kc_check_name,
	  .pattern = KC_PATTERN_NAME,
	  .doc = "The node's name in the cluster. The host's own name is left alone." },
	{ .name = "addresses",
	  .type = KC_FIELD_LIST,
	  .item = &address,
	  .required = true,
	  .min = 1,
	  .max = 2,
	  .doc = "Addresses that the other nodes reach this host by." },
	{ .name = "externalAddress",
	  .type = KC_FIELD_STRING,
	  .example = "203.0.113.11",
	  .check = kc_check_address,
	  .doc = "Address that clients outside reach this host by, if it is another one." },
	{ .name = "interface",
	  .type = KC_FIELD_STRING,
	  .example = "eth1",
	  .check = kc_check_interface,
	  .doc = "Network interface of the addresses, if flannel cannot tell by itself." },
	ROLE,
	LABELS("Labels of the node."),
	TAINTS,
	{ .name = "ssh",
	  .type = KC_FIELD_OBJECT,
	  .fields = ssh_fields,
	  .def = "{}",
	  .doc = "How to log in to the host." },
	{ 0 }
};

static const struct kc_field group_fields[] = {
	{ .name = "name",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .check = kc_check_name,
	  .pattern = KC_PATTERN_NAME,
	  .doc = "Name of the group; its machines are named after it." },
	ROLE,
	{ .name = "machineType",
	  .type = KC_FIELD_STRING,
	  .example = "t3.medium",
	  .check = kc_check_word,
	  .doc = "The cloud's name for the size of a machine, such as t3.medium." },
	{ .name = "arch",
	  .type = KC_FIELD_STRING,
	  .values = arches,
	  .def = "\"amd64\"",
	  .doc = "Processor of the machine type." },
	{ .name = "image",
	  .type = KC_FIELD_STRING,
	  .check = kc_check_word,
	  .def = "\"\"",
	  .doc = "The cloud's name for the disk image. Empty: its current Debian." },
	{ .name = "minSize",
	  .type = KC_FIELD_INT,
	  .min = 0,
	  .max = 1000,
	  .def = "1",
	  .doc = "How many machines there are at least; a new group starts with these." },
	{ .name = "maxSize",
	  .type = KC_FIELD_INT,
	  .min = 0,
	  .max = 1000,
	  .doc = "How many machines there are at most. Absent: minSize." },
	{ .name = "zones",
	  .type = KC_FIELD_LIST,
	  .item = &zone,
	  .max = 16,
	  .def = "[]",
	  .doc = "Zones of the region to spread machines over. Empty: the cloud's choice." },
	{ .name = "spot",
	  .type = KC_FIELD_BOOL,
	  .def = "false",
	  .doc = "Use machines that the cloud may take back at short notice." },
	{ .name = "rootDisk",
	  .type = KC_FIELD_STRING,
	  .example = "50Gi",
	  .check = kc_check_disk,
	  .pattern = KC_PATTERN_DISK,
	  .doc = "Size of the root disk, such as 50Gi. Absent: the image's." },
	LABELS("Labels of the nodes."),
	TAINTS,
	{ 0 }
};

static const struct kc_field access_fields[] = {
	{ .name = "ssh",
	  .type = KC_FIELD_LIST,
	  .item = &cidr,
	  .max = 64,
	  .def = "[]",
	  .doc = "Blocks that may reach port 22 of the machines; nobody by default." },
	{ 0 }
};

static const struct kc_field registry_fields[] = {
	{ .name = "host",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .check = kc_check_registry,
	  .doc = "The registry that images name, such as docker.io." },
	{ .name = "mirrors",
	  .type = KC_FIELD_LIST,
	  .item = &mirror,
	  .max = 8,
	  .def = "[]",
	  .doc = "URLs asked before the registry itself, in this order." },
	{ .name = "ca",
	  .type = KC_FIELD_STRING,
	  .check = kc_check_ca,
	  .multiline = true,
	  .doc = "PEM certificate that the registry and its mirrors are signed by." },
	{ .name = "credentialsFile",
	  .type = KC_FIELD_STRING,
	  .example = "~/.config/registry",
	  .check = kc_check_ssh_path,
	  .doc = "File on this machine that holds USER:PASSWORD; never part of the manifest." },
	{ 0 }
};
static const struct kc_field registry = { .type = KC_FIELD_OBJECT, .fields = registry_fields };

static const struct kc_field proxy_fields[] = {
	{ .name = "http",
	  .type = KC_FIELD_STRING,
	  .example = "http://proxy.example.com:3128",
	  .check = kc_check_proxy,
	  .def = "\"\"",
	  .doc = "Proxy for http:// URLs, http://host:port." },
	{ .name = "https",
	  .type = KC_FIELD_STRING,
	  .example = "http://proxy.example.com:3128",
	  .check = kc_check_proxy,
	  .def = "\"\"",
	  .doc = "Proxy for https:// URLs, http://host:port." },
	{ .name = "noProxy",
	  .type = KC_FIELD_LIST,
	  .item = &exception,
	  .max = 64,
	  .def = "[]",
	  .doc = "What is reached directly; nodes, pods and Services always are." },
	{ 0 }
};

static const struct kc_field extra_args_fields[] = {
	{ .name = "extraArgs",
	  .type = KC_FIELD_MAP,
	  .check_key = kc_check_arg_name,
	  .def = "{}",
	  .doc = "Further arguments, name: \"value\" without dashes. Only some are allowed, "
		 "because "
		 "the others would undo what this program relies on; an error lists them." },
	{ 0 }
};

static const struct kc_field host = { .type = KC_FIELD_OBJECT, .fields = host_fields };
static const struct kc_field group = { .type = KC_FIELD_OBJECT, .fields = group_fields };

static const struct kc_field spec_fields[] = {
	{ .name = "cloud",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .immutable = true,
	  .values = clouds,
	  .doc = "Where the machines come from: a cloud, your own hosts over SSH (onprem), or "
		 "containers on this machine (local)." },
	{ .name = "region",
	  .type = KC_FIELD_STRING,
	  .example = "fra",
	  .check = kc_check_word,
	  .immutable = true,
	  .def = "\"\"",
	  .doc = "The cloud's region; on-prem a name of your own for the place." },
	{ .name = "location",
	  .type = KC_FIELD_OBJECT,
	  .fields = location_fields,
	  .doc = "Where on earth the region is. Absent: looked up for the clouds' regions." },
	{ .name = "kubernetesVersion",
	  .type = KC_FIELD_STRING,
	  .example = "1.37.2",
	  .check = kc_check_version,
	  .pattern = KC_PATTERN_VERSION,
	  .doc = "Version of Kubernetes, such as 1.37.2. Absent: the one this program prefers." },
	{ .name = "networking",
	  .type = KC_FIELD_OBJECT,
	  .fields = networking_fields,
	  .def = "{}",
	  .doc = "Address blocks of pods and Services, and the network between nodes." },
	{ .name = "api",
	  .type = KC_FIELD_OBJECT,
	  .fields = api_fields,
	  .def = "{}",
	  .doc = "How clients reach the API server." },
	{ .name = "hosts",
	  .type = KC_FIELD_LIST,
	  .item = &host,
	  .max = 500,
	  .def = "[]",
	  .doc = "The machines of an onprem cluster. Clouds have instanceGroups instead." },
	{ .name = "instanceGroups",
	  .type = KC_FIELD_LIST,
	  .item = &group,
	  .max = 100,
	  .def = "[]",
	  .doc = "Groups of equal machines that a cloud makes. Onprem has hosts instead." },
	{ .name = "access",
	  .type = KC_FIELD_OBJECT,
	  .fields = access_fields,
	  .def = "{}",
	  .doc = "Who may reach the machines of a cloud." },
	{ .name = "registries",
	  .type = KC_FIELD_LIST,
	  .item = &registry,
	  .max = 32,
	  .def = "[]",
	  .doc = "Mirrors, certificates and credentials of image registries." },
	{ .name = "proxy",
	  .type = KC_FIELD_OBJECT,
	  .fields = proxy_fields,
	  .def = "{}",
	  .doc = "HTTP proxies that the nodes must use." },
	{ .name = "extraCAs",
	  .type = KC_FIELD_LIST,
	  .item = &ca,
	  .max = 16,
	  .def = "[]",
	  .doc = "PEM certificates that the nodes trust beside the system's." },
	{ .name = "kubelet",
	  .type = KC_FIELD_OBJECT,
	  .fields = extra_args_fields,
	  .def = "{}",
	  .doc = "Settings of the kubelets." },
	{ .name = "apiServer",
	  .type = KC_FIELD_OBJECT,
	  .fields = extra_args_fields,
	  .def = "{}",
	  .doc = "Settings of the API servers." },
	{ .name = "addons",
	  .type = KC_FIELD_LIST,
	  .item = &addon,
	  .max = 64,
	  .def = "[\"coredns\", \"flannel\"]",
	  .doc = "What is installed into the cluster; coredns and flannel always are." },
	{ 0 }
};

static const struct kc_field cluster_fields[] = { { .name = "apiVersion",
						    .type = KC_FIELD_STRING,
						    .required = true,
						    .values = api_versions,
						    .doc = "Version of this schema, " KC_API_VERSION
							   "." },
						  { .name = "kind",
						    .type = KC_FIELD_STRING,
						    .required = true,
						    .values = kind_names,
						    .doc = "Cluster." },
						  { .name = "metadata",
						    .type = KC_FIELD_OBJECT,
						    .fields = metadata_fields,
						    .required = true,
						    .doc = "Name and labels of the cluster." },
						  { .name = "spec",
						    .type = KC_FIELD_OBJECT,
						    .fields = spec_fields,
						    .required = true,
						    .doc = "What the cluster is to be." },
						  { 0 } };

const struct kc_spec_kind kc_cluster_kind = {
	.name = "Cluster",
	.api_version = KC_API_VERSION,
	.doc = "A Kubernetes cluster in one region of one cloud, or on hosts of your own.",
	.fields = cluster_fields,
};

const struct kc_spec_kind *const kc_kinds[] = { &kc_cluster_kind, &kc_traffic_kind, NULL };
