/*
 * The state store: small named objects with compare-and-swap.
 *
 * Keys are relative paths of [a-z0-9._-] segments ("clusters/fra1/record.json").
 * Back ends are const vtables; `dir` stands here, s3/gcs/azblob live with
 * their clouds and pass the same conformance suite (tests/conformance/store.c).
 * A reader never sees a torn object; of concurrent writers with a condition on
 * one key exactly one wins, the others get KC_ECONFLICT.
 *
 *	get -> bytes + etag     put(if-match etag | if-none-match | any) -> etag
 *
 * Objects whose name ends in ".key" or that lie below pki/ or secrets/ are
 * private: 0600 in dir. Values are at most KC_STORE_MAX bytes.
 */
#ifndef KC_STORE_STORE_H
#define KC_STORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define KC_STORE_MAX  (32u << 20)
#define KC_STORE_ETAG 72 /* bytes, with the NUL */

struct kc_store;
struct kc_format; /* lib/store/format.h */

struct kc_store_type {
	const char *scheme; /* "dir" */
	int (*open)(const char *url, struct kc_store **ret, struct kc_err *err);
	void (*close)(struct kc_store *s);
	/* Absent: KC_ENOTFOUND. */
	int (*get)(struct kc_store *s, const char *key, char **ret_data, size_t *ret_len,
		   char ret_etag[KC_STORE_ETAG], struct kc_err *err);
	/* if_match: NULL = any; "" = must not exist; otherwise the etag it must have. Else
	 * KC_ECONFLICT. */
	int (*put)(struct kc_store *s, const char *key, const void *data, size_t len,
		   const char *if_match, char ret_etag[KC_STORE_ETAG], struct kc_err *err);
	/* All keys below prefix ("clusters/fra1/journal/"), sorted, as a JSON array of strings;
	 * complete. */
	int (*list)(struct kc_store *s, const char *prefix, json_t **ret_keys, struct kc_err *err);
	/* Absent is success. if_match as in put, but "" is not allowed. */
	int (*remove)(struct kc_store *s, const char *key, const char *if_match,
		      struct kc_err *err);
	/* The store's own clock, milliseconds since 1970: leases expire by it. */
	int (*now)(struct kc_store *s, int64_t *ret_ms, struct kc_err *err);
};

struct kc_store {
	const struct kc_store_type *type;
	char *url; /* for messages */
};

/* "dir:///path", "/path", "~/path". Creates the directory (0700); unwritable is an error that names
 * it. */
int kc_store_open(const char *url, struct kc_store **ret, struct kc_err *err);
void kc_store_close(struct kc_store *s);
KC_DEFINE_CLEANUP(struct kc_store *, kc_store_close)
#define _cleanup_store_ _cleanup_(kc_store_closep)

/*
 * The same with its private objects sealed (lib/crypto/seal.h) by the keys of key_file: the first
 * seals, all open, and a private object that is not sealed is KC_EAUTH, for anybody could have put
 * it there. key_file NULL: nothing is sealed, and reading what is sealed is KC_EAUTH.
 */
int kc_store_open_sealed(const char *url, const char *key_file, struct kc_store **ret,
			 struct kc_err *err);
/* A wrapper around a store that is open already, which it takes (also on failure). */
int kc_store_seal(struct kc_store *inner, const char *key_file, struct kc_store **ret,
		  struct kc_err *err);

/* Is this object of those that are sealed and that nobody else may read? */
bool kc_store_is_private(const char *key);

struct kc_lock;
enum kc_reseal {
	KC_RESEAL,     /* by the first key; what is plain, too */
	KC_RESEAL_OFF, /* make everything plain */
};
/*
 * Bring every private object below prefix into that state, one put each: killed anywhere, call it
 * again. *ret_keys: those that are changed (or, with write false, would be). lock is checked before
 * each put.
 */
int kc_store_reseal(struct kc_store *s, const char *prefix, enum kc_reseal how, bool write,
		    struct kc_lock *lock, json_t **ret_keys, struct kc_err *err);
/* From now on plain private objects may be read, and are written plain with KC_RESEAL_OFF: for the
 * verb that turns sealing on or off. */
void kc_store_set_reseal(struct kc_store *s, enum kc_reseal how);

/* Thin calls through the vtable that prepend the key to errors; ret_len and ret_etag may be NULL.
 */
int kc_store_get(struct kc_store *s, const char *key, char **ret_data, size_t *ret_len,
		 char ret_etag[KC_STORE_ETAG], struct kc_err *err);
int kc_store_put(struct kc_store *s, const char *key, const void *data, size_t len,
		 const char *if_match, char ret_etag[KC_STORE_ETAG], struct kc_err *err);
int kc_store_list(struct kc_store *s, const char *prefix, json_t **ret_keys, struct kc_err *err);
int kc_store_remove(struct kc_store *s, const char *key, const char *if_match, struct kc_err *err);

/*
 * Objects with {"format": N, "writtenBy": "kubecdn X"} in them. get migrates an
 * older format in memory, refuses a newer one ("written by kubecdn 0.4; this is
 * 0.1: upgrade"), KC_EINVAL, and malformed text.
 */
int kc_store_get_json(struct kc_store *s, const char *key, const struct kc_format *format,
		      json_t **ret, char ret_etag[KC_STORE_ETAG], struct kc_err *err);
int kc_store_put_json(struct kc_store *s, const char *key, const struct kc_format *format,
		      const json_t *value, const char *if_match, char ret_etag[KC_STORE_ETAG],
		      struct kc_err *err);

#endif
