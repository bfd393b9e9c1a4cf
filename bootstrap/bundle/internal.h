/*
 * Inside the room bundle: the pins, the compiled parts and the packed blobs.
 *
 *	pins (components.yaml) --kc_part_build--> files in ~/.cache/kubecdn/parts/<key>
 *	files --kc_image_write--> image tar        files, tars --kc_part_pack--> blobs
 *
 * Each step looks in its cache first; an entry there is complete (made aside
 * and renamed), so a killed build loses at most the step it was in.
 */
#ifndef KC_BOOTSTRAP_BUNDLE_INTERNAL_H
#define KC_BOOTSTRAP_BUNDLE_INTERNAL_H

#include <jansson.h>
#include <stdint.h>

#include "bootstrap/bundle/bundle.h"
#include "lib/crypto/hash.h"

#define KC_BUNDLE_JSON_MAX (4u << 20)
#define KC_BUNDLE_FILE_MAX (4ULL << 30) /* no single file of a bundle is larger */
#define KC_BUNDLE_LEVEL	   19

/* Files compiled into the program: components.yaml and pause.c (dir ""), gomod/<dir>/<name>. */
struct kc_asset {
	const char *dir, *name, *data, *end;
};
extern const struct kc_asset kc_bundle_assets[];
extern const size_t kc_bundle_n_assets;
const struct kc_asset *kc_bundle_asset(const char *dir, const char *name);

/* components.yaml as a value. */
int kc_pins_load(json_t **ret, struct kc_err *err);
/* {version}, {major} and {minor} replaced. Owned. */
char *kc_pins_expand(const char *text, const char *version);
/* "amd64" or "arm64" for this machine, "unknown" otherwise. */
const char *kc_bundle_host_arch(void);

/* A build in progress. */
struct kc_parts {
	char *cache; /* ~/.cache/kubecdn */
	const char *arch;
	char *go, *go_version; /* found when first needed */
	const json_t *pins;    /* as kc_bundle_pins() gives them */
	kc_bundle_progress *progress;
	void *cookie;
	const atomic_bool *cancel; /* or NULL */
};
/* KC_ECANCELED once the user has asked to stop. */
int kc_parts_canceled(const struct kc_parts *p, struct kc_err *err);
void kc_parts_say(const struct kc_parts *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Sets go and go_version: one that is new enough, fetched if there is only an older one. */
int kc_toolchain_find(struct kc_parts *p, struct kc_err *err);
/* The environment of every go command, NULL-terminated; freed with kc_strv_free. */
char **kc_toolchain_env(const struct kc_parts *p, bool cgo);
void kc_strv_free(char **v);
KC_DEFINE_CLEANUP(char **, kc_strv_free)
#define _cleanup_strv_ _cleanup_(kc_strv_freep)

/* Compile a component or image of the pins: its programs are then files in *ret_dir. */
int kc_part_build(struct kc_parts *p, const json_t *part, char **ret_dir, struct kc_err *err);
/* Compile pause.c into *ret_dir/pause. */
int kc_part_pause(struct kc_parts *p, char **ret_dir, struct kc_err *err);
/* Cache entry of this key: 1 and its path if it is there, 0 and a fresh directory to fill if not.
 */
int kc_parts_entry(struct kc_parts *p, const char *name, const char *key, char **ret_dir,
		   char **ret_tmp, struct kc_err *err);
/* Make the filled directory the entry. */
int kc_parts_commit(const char *tmp, const char *dir, struct kc_err *err);

/*
 * Compress path into blobs/ (a directory): adds sha256, size, blob and blobSize to entry. Packed
 * files are kept, so that the same content is compressed once.
 */
int kc_part_pack(struct kc_parts *p, const char *path, const char *blobs, json_t *entry,
		 struct kc_err *err);
/* Hard link, or a copy where that is not possible. */
int kc_bundle_link(const char *from, const char *to, struct kc_err *err);

/* Write an image of the pins as the tar of an OCI layout; entry gets "ref" and "digest". */
int kc_image_write(struct kc_parts *p, const json_t *image, const char *dir, const char *path,
		   json_t *entry, struct kc_err *err);

/* The same of an image that a registry had: pulled as kc_registry_pull() gives it, its blobs in
 * dir. */
int kc_image_layout(const struct kc_parts *p, const char *name, const char *version,
		    const json_t *pulled, const char *dir, const char *path, json_t *entry,
		    struct kc_err *err);

/* Where a bundle is. */
struct kc_bundle {
	char *where; /* as it was named */
	json_t *json;
	char *text; /* of bundle.json, as it is */
	size_t len;
	char sha256[KC_SHA256_HEX];	 /* of bundle.json */
	char *dir;			 /* blobs are DIR/<hash>; NULL: in the one file */
	json_t *index;			 /* of the one file: {hash: [offset, size]} */
	struct kc_bundle_remote *remote; /* blobs come from there when they are needed; or NULL */
};
/* Where a blob's bytes are: blobSize of them in path from offset on. */
struct kc_blob_place {
	char *path;
	off_t offset;
	uint64_t size;
	char *who; /* "etcd/etcd", for errors */
};
void kc_blob_place_done(struct kc_blob_place *p);
#define _cleanup_place_ _cleanup_(kc_blob_place_done)
/* The bytes of a blob as a file of their own. */
int kc_bundle_copy(const struct kc_blob_place *from, const char *to, struct kc_err *err);
int kc_bundle_locate(const struct kc_bundle *b, const char *sha256, struct kc_blob_place *ret,
		     struct kc_err *err);

/* An uncompressed tar of bundle.json and blobs/sha256: the index of its blobs, and that text. */
int kc_bundle_tar_open(const char *path, json_t **ret_index, char **ret_text, size_t *ret_len,
		       struct kc_err *err);
/* Write the bundle in a directory as such a file, bundle.json first; replaced when it is whole. */
int kc_bundle_tar_write(const char *dir, const char *path, const json_t *bundle,
			struct kc_err *err);

/* A bundle at URL, which may end with #sha256=HASH of its bundle.json; http needs that. */
int kc_bundle_remote_open(const char *url, const char *authfile, struct kc_bundle_remote **ret,
			  char **ret_text, size_t *ret_len, struct kc_err *err);
void kc_bundle_remote_close(struct kc_bundle_remote *r);
/* Make sure that the blob is in the cache, whole; the cache's directory of blobs is borrowed. */
int kc_bundle_remote_get(struct kc_bundle_remote *r, const char *sha256, uint64_t size,
			 struct kc_err *err);
const char *kc_bundle_remote_dir(const struct kc_bundle_remote *r);

/* The text of a bundle.json, checked: every hash, size, path and mode is what it says. */
int kc_bundle_parse(const char *text, size_t len, const char *path, json_t **ret,
		    struct kc_err *err);
/* Calls fn for every blob entry of a valid bundle.json; who is "etcd/etcd" or "image coredns". */
typedef int kc_blob_fn(void *cookie, const char *who, const json_t *blob, struct kc_err *err);
int kc_bundle_each(const struct kc_bundle *b, kc_blob_fn *fn, void *cookie, struct kc_err *err);

#endif
