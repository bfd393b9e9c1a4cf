/*
 * Blobs from host to host, so that a run's uplink carries each of them a few times and not once a
 * host.
 *
 *	serve MARK ADDRESS  -> "MARK PORT TOKEN", then listens on that address until its input ends
 *	fetch < question    -> what a peer gave: blobs, hashed on the way like those of recv
 *
 * What is served are the packed blobs that lay here when it began (public programs), to who knows
 * the token, which the operator has from one host and gives to others over SSH. A request is one
 * line, "TOKEN SHA256"; its answer a frame as recv takes it; anything else ends the connection. Who
 * fetches trusts nobody: content that does not hash to its name is an error, and never put in
 * place. All numbers are bounded. Whatever fails is only slower: the operator then sends the blobs
 * himself.
 */
#ifndef KC_NODE_PEER_H
#define KC_NODE_PEER_H

#include <jansson.h>
#include <stdio.h>

#include "lib/base/err.h"

/* The blobs in dir, until there is end of file at in. out gets the line; mark is its first word. */
int kc_peer_serve(const char *dir, const char *mark, const char *address, int in, FILE *out,
		  struct kc_err *err);
/*
 * question: {"address", "port", "token", "blobs": [sha256, …], "ms": all of it must be done by
 * then}. *ret: {"format", "fetched": N}. Those that were whole stay in dir, also after a failure.
 */
int kc_peer_fetch(const char *dir, const json_t *question, json_t **ret, struct kc_err *err);

/*
 * One frame of a stream ({"sha256", "size"} in a line, then the bytes) into dir: 1, or 0 at the end
 * of the stream. only: the sha256 that it must be; or NULL.
 */
int kc_blob_take(FILE *in, const char *dir, const char *only, struct kc_err *err);

#endif
