/*
 * The cluster's secrets: certificate authorities and keys, made once, kept in the store.
 *
 * Each is one task of kind "secret" and one private object of the store, written
 * if-none-match, so that two operators or a crash can never make two CAs. A
 * name such as "pki/ca.crt" is the member "crt" of the object pki/ca.json.
 * Plans, records and journals only ever hold type, name, version and expiry.
 *
 *   secret/state           secrets/state.json       {key}       HMACs by which changes are seen
 *   secret/ca              pki/ca.json              {crt, key}  signs API server, kubelets, clients
 *   secret/front-proxy-ca  pki/front-proxy-ca.json  {crt, key}
 *   secret/etcd-ca         pki/etcd-ca.json         {crt, key}
 *   secret/sa              pki/sa.json              {key, pub}  service account tokens
 *   secret/encryption      secrets/encryption.json  {json}      encryption at rest in etcd
 */
#ifndef KC_BOOTSTRAP_SECRETS_H
#define KC_BOOTSTRAP_SECRETS_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/crypto/hash.h"
#include "lib/plan/kind.h"
#include "lib/store/store.h"

struct kc_secrets {
	struct kc_store *store;
	char *prefix; /* "clusters/fra1" */
};

/* The tasks of all of them. */
json_t *kc_secret_tasks(void);
/* The provider "state" that runs them; s must outlive it. */
struct kc_provider kc_secrets_provider(struct kc_secrets *s);

/* One secret's text by name ("pki/ca.crt"); KC_ENOTFOUND while it was not made. */
int kc_secret_get(struct kc_secrets *s, const char *name, char **ret, struct kc_err *err);
/* The same with its version: 1 when it was made, one more with each that took its place. */
int kc_secret_load(struct kc_secrets *s, const char *name, char **ret, int64_t *ret_version,
		   struct kc_err *err);

/*
 * A key of its own for one purpose ("node/w1"), derived from the state key: what is compared by
 * HMAC there cannot be compared, or guessed, with another one. KC_ENOTFOUND while there is neither
 * a state key nor anything to compare.
 */
int kc_state_key(struct kc_secrets *s, const char *purpose, char ret[KC_SHA256_HEX],
		 struct kc_err *err);

/* A client certificate from the cluster's CA for this process or a kubeconfig. */
int kc_admin_cert(struct kc_secrets *s, const char *cn, const char *org, long seconds,
		  char **ret_ca, char **ret_cert, char **ret_key, struct kc_err *err);

#endif
