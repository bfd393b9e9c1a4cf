/*
 * Formats of stored objects, and how older ones become current.
 *
 *	struct kc_format   one kind of object: the format that this program writes, the steps to it
 *	struct kc_stored   where objects of such a kind lie below a prefix
 *
 * Whoever reads an older format gets it migrated in memory, so previews write nothing. Under the
 * lock kc_formats_migrate() first copies everything that is older to
 * <prefix>/backup/<format>/<name> and only then rewrites it, in the table's order; killed anywhere,
 * it is repeated. A newer format is refused, by name of who wrote it, before anything is changed.
 */
#ifndef KC_STORE_FORMAT_H
#define KC_STORE_FORMAT_H

#include <stdbool.h>

#include "lib/store/store.h"

struct kc_lock;

/* Turns one format into the next, in place. owner: the cluster's uid, NULL where it is not known.
 */
typedef int kc_format_step(json_t *value, const char *owner, struct kc_err *err);

struct kc_format {
	const char *name; /* "record", for messages */
	int current;
	kc_format_step *const *steps; /* steps[i]: format i + 1 to i + 2 */
	bool unmarked;		      /* format 1 had no mark */
	/* How it is written, unless as JSON. */
	int (*parse)(const char *text, size_t len, const char *what, json_t **ret,
		     struct kc_err *err);
	char *(*print)(const json_t *value);
};

struct kc_stored {
	const char *name; /* "record.json", or a folder: "journal/" */
	const struct kc_format *format;
};

/* A value as it was read, with "format" and "writtenBy": what format it has, KC_EINVAL if it is
 * newer than this program. */
int kc_format_check(const struct kc_format *f, const char *key, const json_t *value, int *ret,
		    struct kc_err *err);
/* To the current format, in place; "format" and "writtenBy" are taken off. */
int kc_format_migrate(const struct kc_format *f, const char *key, json_t *value, const char *owner,
		      struct kc_err *err);

/* Below prefix: is any object newer (KC_EINVAL)? *ret_older: how many are older. table ends with a
 * NULL name. */
int kc_formats_check(struct kc_store *s, const char *prefix, const struct kc_stored *table,
		     size_t *ret_older, struct kc_err *err);
/* Back up and rewrite what is older. lock (may be NULL) is checked before each write. */
int kc_formats_migrate(struct kc_store *s, const char *prefix, const struct kc_stored *table,
		       const char *owner, struct kc_lock *lock, struct kc_err *err);

#endif
