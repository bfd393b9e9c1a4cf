/*
 * The host as the agent's kinds see it: where things stand, what was there
 * before kubecdn, what files were found to be, and the secrets of one run.
 *
 *   envelope --main--> struct kc_node_host --ctx--> kinds (kinds.h)
 *                           |
 *                 STATE/before.json   what stood there before our first change
 *                 STATE/stat.json     path -> size, mtime, ctime, inode, sha256
 *
 * One kc_host a process, shared by the engine's threads; every function here is
 * thread-safe. "Before" notes are written before the change they are about, so
 * that a removal after a crash still puts back what was there. A note is made
 * once: the second apply finds our own work, not the owner's.
 */
#ifndef KC_NODE_HOST_H
#define KC_NODE_HOST_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/base/err.h"
#include "lib/crypto/hash.h"

struct kc_node_host {
	const char *state;     /* KC_NODE_STATE */
	const char *blobs;     /* KC_NODE_BLOBS */
	const char *proc_sys;  /* "/proc/sys" */
	const char *units;     /* "/etc/systemd/system" */
	const json_t *secrets; /* envelope's "secrets"; borrowed, may be NULL */
	const json_t *certs;   /* envelope's "certs"; borrowed, may be NULL */
	bool deep;	       /* hash every blob, trust no stat */
	bool writable;	       /* false in a preview: nothing is noted or cached on disk */

	/* Its own. */
	char hmac_key[KC_SHA256_HEX];
	pthread_mutex_t lock, reload_lock;
	json_t *before, *stats, *images;
	bool stats_dirty;
	uint64_t reload_wanted, reload_done;
};

/*
 * Load what was noted. hmac_key (64 hex digits) is the operator's for this node, never kept here;
 * NULL: a random one, which tells values apart within this process only.
 */
int kc_host_init(struct kc_node_host *h, const char *hmac_key, struct kc_err *err);
/* Write the stat cache, if it changed and the host is writable. */
int kc_host_save(struct kc_node_host *h, struct kc_err *err);
void kc_host_done(struct kc_node_host *h);

/* What was noted under key ("sysctl:net.ipv4.ip_forward"); NULL if nothing was. Owned. */
json_t *kc_host_before(struct kc_node_host *h, const char *key);
/* Note value (borrowed) under key, unless that is noted already. */
int kc_host_note(struct kc_node_host *h, const char *key, const json_t *value, struct kc_err *err);
/* As kc_host_note(), replacing what was noted. */
int kc_host_renote(struct kc_node_host *h, const char *key, const json_t *value,
		   struct kc_err *err);
int kc_host_unnote(struct kc_node_host *h, const char *key, struct kc_err *err);

/*
 * What is put right may have been wrong when a process started with it: each such repair of path
 * is counted, and kc_host_rev() makes another revision of the same content, so that whoever runs
 * with it starts anew.
 */
int kc_host_repaired(struct kc_node_host *h, const char *path, struct kc_err *err);
void kc_host_rev(struct kc_node_host *h, const char *path, char hash[KC_SHA256_HEX]);

/* "0:0": who is to own what we make, and who owns what is there. Owned. */
json_t *kc_host_owner(void);
json_t *kc_host_owner_of(const struct stat *st);
/* chmod and chown to us, only where they are not so yet. */
int kc_host_own(const char *path, mode_t mode, struct kc_err *err);

/* mkdir -p; each directory made is noted, so that kc_host_rmdirs() may take it away. */
int kc_host_mkdirs(struct kc_node_host *h, const char *dir, mode_t mode, struct kc_err *err);
/* For path's directory. */
int kc_host_mkparents(struct kc_node_host *h, const char *path, struct kc_err *err);
/* Remove path's parents as far as we made them and they are empty. */
void kc_host_rmparents(struct kc_node_host *h, const char *path);

/* Replace path atomically; not synced: after a power loss find sees what is missing. */
int kc_host_write(const char *path, const void *data, size_t len, mode_t mode, struct kc_err *err);
/* The same for the agent's own state, mode 0600: several agents may write the same file. */
int kc_host_write_shared(const char *path, const void *data, size_t len, struct kc_err *err);
/* Where path is written before it is renamed, and what a killed agent leaves. Owned. */
char *kc_host_half(const char *path);
/* Is path or its half there? What the find of a task that is leaving asks. */
bool kc_host_remains(const char *path);
/* rm -f both. */
int kc_host_unlink(const char *path, struct kc_err *err);

/* SHA-256 of a file by the stat cache, hashing it when size, times or inode changed. */
int kc_host_hash(struct kc_node_host *h, const char *path, const struct stat *st,
		 char out[KC_SHA256_HEX], struct kc_err *err);
/* What the cache knows, for a later process of this run; and such a process' start with it. */
json_t *kc_host_stats(struct kc_node_host *h);
void kc_host_recall(struct kc_node_host *h, const json_t *stats);
/* Tell the cache what path (just written) is. */
void kc_host_learn(struct kc_node_host *h, const char *path, const char *sha256);

/* HMAC of a secret's bytes under the run's key. */
void kc_host_hmac(const struct kc_node_host *h, const void *data, size_t len,
		  char out[KC_SHA256_HEX]);
/* {"secret": name, "version": …, "hmac": …} of a secret of this run. */
int kc_host_secret_ref(const struct kc_node_host *h, const char *name, json_t **ret,
		       struct kc_err *err);
/* The bytes of a secret of this run; borrowed; KC_ENOTFOUND if the envelope lacks it. */
int kc_host_secret(const struct kc_node_host *h, const char *name, const char **ret,
		   struct kc_err *err);

/* systemctl daemon-reload; callers that come while one runs share the next one. */
int kc_host_reload(struct kc_node_host *h, struct kc_err *err);

#endif
