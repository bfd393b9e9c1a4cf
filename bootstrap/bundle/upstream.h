/* Inside the room bundle: components and images as their projects publish them (upstream.c). */
#ifndef KC_BOOTSTRAP_BUNDLE_UPSTREAM_H
#define KC_BOOTSTRAP_BUNDLE_UPSTREAM_H

#include "bootstrap/bundle/internal.h"
#include "lib/crypto/hash.h"

struct kc_upstream;
int kc_upstream_open(struct kc_parts *p, const struct kc_bundle_build *o, struct kc_upstream **ret,
		     struct kc_err *err);
void kc_upstream_close(struct kc_upstream *u);
KC_DEFINE_CLEANUP(struct kc_upstream *, kc_upstream_close)
#define _cleanup_upstream_ _cleanup_(kc_upstream_closep)

/* As the two of build.c that compile: tmp is for files on the way, blobs where blobs go. */
int kc_upstream_component(struct kc_upstream *u, const json_t *part, const char *tmp,
			  const char *blobs, json_t *components, struct kc_err *err);
int kc_upstream_image(struct kc_upstream *u, const json_t *image, const char *tmp,
		      const char *blobs, json_t *images, struct kc_err *err);
/* [{"url", "sha256", "trust": "built-in", "pins", "published" or "tag"}]; borrowed. */
const json_t *kc_upstream_sources(const struct kc_upstream *u);

/* name's hash in a published list of checksums: KC_ENOTFOUND, or KC_ECONFLICT for two. */
int kc_upstream_checksum(const char *text, const char *name, char out[KC_SHA256_HEX]);

#endif
