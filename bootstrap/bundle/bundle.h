/*
 * The bundle: every program and image a cluster needs, content-addressed, so
 * that a cluster is made without any registry or download server.
 *
 *	components.yaml + gomod/ --kc_bundle_build--> DIR/bundle.json + DIR/blobs/sha256/<hash>
 *	DIR --kc_bundle_open--> json, blob paths --> the hosts        DIR --kc_bundle_verify--> ok?
 *
 * A blob file is zstd and named by the SHA-256 of the compressed bytes;
 * bundle.json also has hash and size of the content, which is what the node
 * agent checks. What kc_bundle_open() returned owns all it lends. A directory
 * is complete or absent (built aside, then renamed): a missing, short or
 * changed blob is an error that names the hash and the file.
 *
 * bundle.json:
 *	{"format": 1, "kubernetes": "1.37.2", "arch": "amd64",
 *	 "components": [{"name": "etcd", "version": "3.6.16",
 *		"blobs": [{"path": "etcd", "mode": "0755", PACKED}],
 *		"links": {"etcdctl": "etcd"}}],
 *	 "images": {"coredns": {"ref": "kubecdn.io/coredns:1.14.6", "digest": "sha256:…",
 *		"layer": "core", PACKED}},
 *	 "sources": [{"url": URL, "sha256": H, "trust": "published"}]}
 *	PACKED: "sha256": H, "size": N of the content, "blob": H, "blobSize": N as it is packed
 *
 * Compiled, Kubernetes is one binary, "kube", and on the node kubelet, kube-apiserver, ...
 * are links to it; of upstream's programs each has its own. Only an upstream bundle has
 * sources. An image is a tar of an OCI layout that `ctr -n k8s.io images import` names by
 * its ref.
 */
#ifndef KC_BOOTSTRAP_BUNDLE_H
#define KC_BOOTSTRAP_BUNDLE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_bundle;

/*
 * Read and check bundle.json; the blobs are only looked at by verify. where is a directory, the one
 * file that a bundle may be (a tar that is read in place), or an https URL that `bundle push` has
 * filled, with #sha256=HASH of bundle.json at its end if it is to be that and nothing else; http
 * must have it. Blobs of a URL are fetched when they are asked for, and kept in ~/.cache/kubecdn.
 * authfile: see lib/net/fetch.h; or NULL. No bundle: KC_ENOTFOUND.
 */
int kc_bundle_open(const char *where, const char *authfile, struct kc_bundle **ret,
		   struct kc_err *err);
void kc_bundle_close(struct kc_bundle *b);
KC_DEFINE_CLEANUP(struct kc_bundle *, kc_bundle_close)
#define _cleanup_bundle_ _cleanup_(kc_bundle_closep)

const json_t *kc_bundle_json(const struct kc_bundle *b);  /* the whole bundle.json */
const char *kc_bundle_version(const struct kc_bundle *b); /* of Kubernetes: "1.37.2" */
const char *kc_bundle_arch(const struct kc_bundle *b);	  /* "amd64" */
/* The entry of an image ("coredns"), or NULL: not in this bundle. */
const json_t *kc_bundle_image(const struct kc_bundle *b, const char *name);
/* The blob of this hash (of the compressed bytes): ret_size bytes from where ret_fd stands. From
 * any thread. The descriptor is owned. */
int kc_bundle_blob(const struct kc_bundle *b, const char *sha256, int *ret_fd, uint64_t *ret_size,
		   struct kc_err *err);

/*
 * Is the blob of this hash what its name says? It is read, unless known (a JSON object of the
 * caller's, or NULL) remembers this very file from an earlier call.
 */
int kc_bundle_check(const struct kc_bundle *b, const char *sha256, json_t *known,
		    struct kc_err *err);

/* One line of progress: what is being done now, "etcd 3.6.16: compiling". */
typedef void kc_bundle_progress(void *cookie, const char *line);

/*
 * Hash every blob, packed and unpacked; the error names the hash and the file that is wrong.
 * cancel may be NULL; once it is true: KC_ECANCELED before the next blob.
 */
int kc_bundle_verify(const char *where, const char *authfile, kc_bundle_progress *progress,
		     void *cookie, const atomic_bool *cancel, struct kc_err *err);

struct kc_bundle_build {
	const char *from; /* "gomod", "upstream", or a directory with a bundle to verify and copy */
	const char *kubernetes;	      /* version, or NULL for the newest pinned one */
	const char *arch;	      /* "amd64", "arm64"; NULL: this machine's */
	const char *out;	      /* directory, or FILE.tar; NULL: kc_bundle_default_dir() */
	bool with_test_images;	      /* layer "test": busybox */
	kc_bundle_progress *progress; /* or NULL */
	void *cookie;
	const atomic_bool *cancel; /* or NULL; once true: what runs is ended, KC_ECANCELED */
	/* For upstream; each may be NULL. */
	const char *mirrors;  /* "HOST=URL,…": base URLs in place of https://HOST */
	const char *authfile; /* credentials, as lib/net/fetch.h has it */
	const char *pins;     /* a bundle.json: nothing but what its sources say */
	const char *sources;  /* a file with another section upstream than components.yaml's */
};

/*
 * Build a bundle. What was compiled before is taken from ~/.cache/kubecdn; a build that was killed
 * or stopped goes on where it stopped; out is replaced only by a complete bundle. ret_dir may be
 * NULL.
 */
int kc_bundle_build(const struct kc_bundle_build *o, char **ret_dir, struct kc_err *err);

struct kc_bundle_push {
	const char *where; /* as for kc_bundle_open() */
	const char *url;   /* of a directory that takes PUT */
	const char *authfile;
	bool replace; /* another bundle.json that is there */
	kc_bundle_progress *progress;
	void *cookie;
	const atomic_bool *cancel;
};
/*
 * Put a bundle into a directory of an HTTP server: blobs that are not there yet, bundle.json last,
 * so that what can be read is whole. Stopped or killed, the next one goes on. Another bundle.json
 * there is KC_ECONFLICT. ret_url: what kc_bundle_open() takes, with the hash.
 */
int kc_bundle_push(const struct kc_bundle_push *o, char **ret_url, struct kc_err *err);

/* ~/.cache/kubecdn/bundles/<version>-<arch>; NULLs as in struct kc_bundle_build. Owned. */
int kc_bundle_default_dir(const char *kubernetes, const char *arch, char **ret, struct kc_err *err);

/*
 * What can be built and what is there, for `bundle list`: {"supported": ["1.37.2"], "bundles":
 * [{"dir", "kubernetes", "arch", "blobs": count, "bytes": packed, "core": packed bytes of the core
 * layer}]}; a broken bundle has "error" instead of the counts.
 */
int kc_bundle_list(json_t **ret, struct kc_err *err);

/* The pinned versions of components.yaml for a Kubernetes version (NULL: newest) as JSON; the one
 * line of KC_EINVAL for another version lists the supported ones. */
int kc_bundle_pins(const char *kubernetes, json_t **ret, struct kc_err *err);

#endif
