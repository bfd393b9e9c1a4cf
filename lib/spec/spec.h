/*
 * The schema engine: one const table describes a manifest, and everything
 * that must agree with it is made from it.
 *
 *	table + document --kc_spec_validate--> a copy with defaults, or errors
 *	table            --kc_spec_explain---> the text of `kubecdn explain`
 *	table            --kc_spec_json_schema--> JSON Schema for editors
 *	table + old, new --kc_spec_check_update--> errors on what may not change
 *
 * The tables stand in the rooms they describe (bootstrap/schema.c). Errors
 * are collected in a kc_report, one line each, "file:line:column: path: why,
 * what to do"; a report without a YAML file gives "path: why". Tables and
 * documents are borrowed; what comes through ret_* is the caller's.
 */
#ifndef KC_SPEC_SPEC_H
#define KC_SPEC_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/codec/yaml.h"

enum kc_field_type {
	KC_FIELD_STRING,
	KC_FIELD_INT,
	KC_FIELD_NUMBER, /* integer or decimal; a JSON real in the result */
	KC_FIELD_BOOL,
	KC_FIELD_LIST,	 /* of .item */
	KC_FIELD_MAP,	 /* of strings by free keys */
	KC_FIELD_OBJECT, /* of .fields */
};

/* 0, or KC_EINVAL with the reason and the way out ("\"x\" is not …; use …"). */
typedef int kc_field_check(const char *value, struct kc_err *err);

/* One field; tables end with an entry without a name. Zero means "not limited". */
struct kc_field {
	const char *name;
	enum kc_field_type type;
	const char *doc;	     /* a sentence or two: what it is, what it means when absent */
	const char *def;	     /* default as JSON text */
	const char *const *values;   /* strings: all that are allowed, NULL-terminated */
	kc_field_check *check;	     /* strings; maps: each value */
	kc_field_check *check_key;   /* maps: each key */
	const char *example;	     /* strings: one good value, where the rest does not tell */
	const char *pattern;	     /* for editors: a regular expression check agrees with */
	int64_t min, max;	     /* numbers: range if they differ; lists: count */
	bool required;		     /* strings must not be empty either */
	bool immutable;		     /* fixed once the object exists */
	bool multiline;		     /* strings: line breaks allowed */
	const char *since;	     /* version that introduced it */
	const struct kc_field *item; /* lists: type of the items; its name is not used */
	const struct kc_field *fields; /* objects */
};

/* A kind of manifest, "Cluster" of "kubecdn.io/v1alpha1". fields has apiVersion, kind, … */
struct kc_spec_kind {
	const char *name;
	const char *api_version; /* NULL: a file that is no manifest, and has neither of them */
	const char *doc;
	const struct kc_field *fields;
};

#define KC_REPORT_MAX 20

/* Errors of one document. Zero-initialise; kc_report_done() frees. */
struct kc_report {
	const struct kc_yaml *yaml; /* NULL: no positions */
	size_t doc;
	struct kc_buf lines; /* at most KC_REPORT_MAX of the n */
	size_t n;	     /* how many errors there are */
	char *first;
};
void kc_report_done(struct kc_report *rep);
#define _cleanup_report_ _cleanup_(kc_report_done)

/* Add an error on the value at a JSON pointer, or on its key. Messages have no path of their own.
 */
void kc_report_value(struct kc_report *rep, const char *pointer, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void kc_report_key(struct kc_report *rep, const char *pointer, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* 0 without errors; otherwise KC_EINVAL with the first one and how many more there are. */
int kc_report_result(const struct kc_report *rep, struct kc_err *err);

/* All of them, a line each, and how many more there are; of a report without any err's own. errors
 * may be NULL. */
void kc_report_lines(const struct kc_report *rep, const struct kc_err *err, struct kc_buf *errors);

/* "/spec/hosts/0/labels/a.b~1c" as "spec.hosts[0].labels["a.b/c"]". Owned. */
char *kc_spec_path(const char *pointer);
/* pointer + "/" + key, escaped (RFC 6901). Owned. */
char *kc_spec_join(const char *pointer, const char *key);

/*
 * The one document of kind in a stream; it and its number (rep->doc) for positions. fits says
 * whether a document is one, and reports it if it is of another kind; empty documents are passed
 * over. None, or a second one, is an error, too. Borrowed from y.
 */
int kc_spec_choose(const struct kc_yaml *y, const struct kc_spec_kind *kind,
		   bool (*fits)(const json_t *doc, struct kc_report *rep), struct kc_report *rep,
		   json_t **ret, struct kc_err *err);

/*
 * Check a document (an object) against a table, and fill defaults into a copy. Without errors
 * 0 and the copy; otherwise KC_EINVAL, with everything wrong in rep.
 */
int kc_spec_validate(const struct kc_field *table, const json_t *doc, struct kc_report *rep,
		     json_t **ret, struct kc_err *err);

/* Errors for every immutable field that differs between two validated documents. */
void kc_spec_check_update(const struct kc_field *table, const json_t *old, const json_t *new,
			  struct kc_report *rep);

/* path: "cluster", "cluster.spec.networking"; kinds is NULL-terminated. Owned text. */
int kc_spec_explain(const struct kc_spec_kind *const *kinds, const char *path, char **ret,
		    struct kc_err *err);

/* JSON Schema, draft 2020-12. Owned. */
json_t *kc_spec_json_schema(const struct kc_spec_kind *kind);

/* By name, upper or lower case; NULL. */
const struct kc_spec_kind *kc_spec_kind_find(const struct kc_spec_kind *const *kinds,
					     const char *name);
/* "string", "[]string", "map[string]string", "object", … Owned. */
char *kc_spec_type_name(const struct kc_field *f);

#endif
