/*
 * The kinds of the node agent: what a NodeSpec's tasks may be, and their want.
 *
 *   blob     {path, sha256, size, mode, blob, blobSize}
 *            BLOBS/<blob> (zstd) unpacked to path; sha256 and size are the content's.
 *   image    {ref, digest, sha256, size, blob, blobSize}
 *            imported into containerd's k8s.io, named ref and name@digest, pinned.
 *   file     {path, mode, content}     content: text, or {"secret", "version", "hmac"}
 *   dir      {path, mode}              kept on removal while it holds what is not ours
 *   link     {path, target, initial, certificate}
 *            initial: made when absent, then the owner's; made again if it is to lead to a
 *            certificate and that has expired or is gone
 *   sysctl   {key, value}              the old value comes back on removal
 *   module   {name}                    loaded, built in, or its feature is there
 *   unit     {name, content, inputs, enabled, active, probe}
 *            probe: one of {"http": "http://127.0.0.1:10248/healthz", "tcp": "127.0.0.1:6443",
 *            "unix": "/run/x.sock", "file": "/run/ready"}, asked by ready
 *   cert     {cert, key, combined, cn, orgs, sans, uses, ca, seconds}
 *            key is made here; the certificate comes in envelope.certs
 *   teardown {links, nft, paths, mounts_below, cgroups, sysctls}: all lists of strings, optional
 *            changes nothing; notes what is there, so that its removal can put the host back:
 *            kills what our runtime left running, unmounts, deletes links, nft tables and paths,
 *            restores sysctls. Order everything that runs programs after it.
 *
 * mode is octal text, "0644". The actual of blob, file, link and cert has rev, the hash
 * of what is on disk; units name them as inputs: [{"$ref": "file/x#rev"}]. Putting the content
 * right changes rev as well, for a process may have started with the wrong one. Everything is
 * to be owned by who the agent runs as: "owner", "0:0".
 * The context of all is a struct kc_node_host.
 */
#ifndef KC_NODE_KINDS_H
#define KC_NODE_KINDS_H

#include "bootstrap/node/host.h"
#include "lib/plan/kind.h"

extern const struct kc_kind kc_node_blob, kc_node_image, kc_node_file, kc_node_dir, kc_node_link,
	kc_node_sysctl, kc_node_module, kc_node_unit, kc_node_cert, kc_node_teardown;

/* The provider "host" over h; h must outlive it. */
void kc_node_provider(struct kc_node_host *h, struct kc_provider *ret);

/* What a task says under key: its want, else what was found, else what was recorded. Or NULL. */
const json_t *kc_node_get(const struct kc_task *t, const json_t *actual, const char *key);
const char *kc_node_str(const struct kc_task *t, const json_t *actual, const char *key);
/* The same, where it must be: KC_EINVAL names the task. */
int kc_node_need(const struct kc_task *t, const json_t *actual, const char *key, const char **ret,
		 struct kc_err *err);
/* "0644" to 0644; KC_EINVAL names the task. */
int kc_node_mode(const struct kc_task *t, mode_t *ret, struct kc_err *err);
json_t *kc_node_mode_text(mode_t mode);
/* Was what is written now written before, so that it was lost or changed meanwhile? */
bool kc_node_made_before(const struct kc_task *t);
/* normalize of what has an owner: it is to be ours, which no spec says. */
void kc_node_owned(json_t *want, json_t *actual);

/* `ctr images ls` to {ref: digest} of the images that are pinned; text is taken apart. */
json_t *kc_node_images_parse(char *text);

/* Did we write this unit file? */
bool kc_node_unit_is_ours(const char *path);

/* cert: the CSR of a resolved want if it needs issuing, else NULL. Makes the key. */
int kc_node_cert_csr(struct kc_node_host *h, const char *id, const json_t *want, char **ret_csr,
		     struct kc_err *err);

#endif
