/*
 * Images from an OCI registry (distribution-spec 1.1; Docker's v2 manifests, too).
 *
 *	"registry.example/pause:3.10.1", arch --kc_registry_pull--> DIR/<sha256> of manifest,
 *config, layers
 *
 * A name with a digest gets what has it; a name with only a tag gets what the registry says now,
 * and the result tells its digest. Of a list (index), the manifest for linux and the architecture
 * is taken; of a single image, its config must say the same. Every byte is compared with the hash
 * and the size that name it, while it comes. The bytes are kept as they are, so that the image has
 * the digest it has in the registry.
 *
 * Mirrors: the path of a mirror's base URL is put before the repository (https://m/proxy is asked
 * for /v2/proxy/pause/…). Credentials, redirects and errors: lib/net/fetch.h; KC_ENOTFOUND: no such
 * image, or none for the architecture; KC_EINVAL: what came is not what was asked for.
 */
#ifndef KC_NET_REGISTRY_H
#define KC_NET_REGISTRY_H

#include <jansson.h>

#include "lib/net/fetch.h"

/*
 * Into dir, which exists. ret: {"ref", "digest": of what the name stands for, "manifest":
 * {mediaType, digest, size} of the one image, "config": descriptor, "layers": [descriptors]}; each
 * is in dir under the 64 hex digits of its digest. What is there already under its hash is not
 * fetched again.
 */
int kc_registry_pull(struct kc_fetch *f, const char *ref, const char *arch, const char *dir,
		     json_t **ret, struct kc_err *err);

#endif
