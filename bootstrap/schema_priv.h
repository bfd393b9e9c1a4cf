/* Shared by the files of the Cluster schema only. */
#ifndef KC_BOOTSTRAP_SCHEMA_PRIV_H
#define KC_BOOTSTRAP_SCHEMA_PRIV_H

#include "bootstrap/schema.h"

/* schema_values.c: one value each; 0, or KC_EINVAL with the reason. */
kc_field_check kc_check_name, kc_check_label_key, kc_check_label_value, kc_check_taint,
	kc_check_version, kc_check_address, kc_check_cidr, kc_check_endpoint, kc_check_san,
	kc_check_ssh_host, kc_check_ssh_user, kc_check_ssh_path, kc_check_host_key,
	kc_check_bastion, kc_check_interface, kc_check_word, kc_check_disk, kc_check_registry,
	kc_check_url, kc_check_proxy, kc_check_no_proxy, kc_check_ca, kc_check_arg_name;

/* Patterns that agree with the checks above: for editors. */
#define KC_PATTERN_NAME	   "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
#define KC_PATTERN_VERSION "^[0-9]+[.][0-9]+[.][0-9]+$"
#define KC_PATTERN_TAINT                                                                           \
	"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?"              \
	"(=([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?)?:(NoSchedule|PreferNoSchedule|NoExecute)$"
#define KC_PATTERN_DISK "^[1-9][0-9]{0,5}(Gi|Ti)$"

/* schema_check.c and schema_addr.c: rules between fields, over a validated document. */
void kc_cluster_cross(const json_t *cluster, const struct kc_cluster_limits *limits,
		      struct kc_report *rep);
void kc_cluster_cross_addr(const json_t *cluster, struct kc_report *rep);

/* schema_honours.c: refuse what is set and acted on by nobody. */
void kc_cluster_cross_honours(const json_t *cluster, const struct kc_cloud *cloud,
			      struct kc_report *rep);
/* Is this field of spec ("hosts.ssh.port") acted on, or mere information? */
bool kc_cluster_honoured(const struct kc_cloud *cloud, const char *path);
/* What is acted on whatever the cloud is, NULL-terminated. */
extern const char *const kc_cluster_honours[];

#endif
