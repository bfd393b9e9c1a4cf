/* Between publish.c (reading, the plan) and publish_apply.c (changing). */
#ifndef KC_DNS_PUBLISH_PRIV_H
#define KC_DNS_PUBLISH_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "dns/backend.h"
#include "dns/publish.h"

struct hosts;

struct copy {
	const struct kc_dns_backend *backend;
	const json_t *publish; /* its entry in the policy; borrowed */
	void *conn;
	json_t *which;
	json_t *before, *wanted; /* rrsets as they were read, and as they are to be; or NULL */
	json_t *allowed;	 /* what may be answered where the provider chooses */
	json_t *fidelity;
	json_t *claims;	     /* those that count there; NULL: not read */
	struct hosts *hosts; /* NULL: there are none, or they are not looked at */
	struct kc_err why;   /* it cannot be changed, if its code is not 0 */
};

struct kc_publish {
	const json_t *policy;		      /* borrowed */
	const struct kc_publish_claim *claim; /* borrowed, or NULL */
	bool adopt, remove;
	int allow_shift; /* percent; 0: as the policy says */
	int64_t due_s;	 /* until what is given up may go */
	json_t *notes, *plan;
	json_t *findings; /* of the last look; NULL: there was none */
	long within_ms;
	struct copy *copies;
	size_t n;
};

/* Read a copy anew: before and wanted. */
int publish_read(struct kc_publish *p, struct copy *c, struct kc_err *err);
/* Per mille of all clients that a copy's change sends elsewhere; a region's own claim counts for
 * nothing, and what was not ours before. */
int publish_shift(const struct kc_publish *p, const struct copy *c);
/* KC_EINVAL: more than may be at once. */
int publish_check_shift(const struct kc_publish *p, const struct copy *c, struct kc_err *err);
/*
 * Why records of name are not to be changed: the data of the TXT record where its mark stands, and
 * the type of one at the name (or NULL). Owned; NULL: they are ours, or nobody's.
 */
char *publish_refusal(const struct kc_publish *p, const char *name, const json_t *mark,
		      const char *type);
/* What is wanted of a name that is given up. */
json_t *publish_gone(struct kc_publish *p, const json_t *before, json_t *notes);
/* All copies that could be changed are refused if the policy would not survive what it has to. */
void publish_check_safety(struct kc_publish *p);
/* Who answers for a copy: its servers in the policy, or the provider's. */
int publish_servers(struct copy *c, json_t **ret, struct kc_err *err);
/*
 * All that is wanted, from every server; what is to be gone a wildcard may still answer.
 * KC_ECONFLICT: somebody wrote something else after us.
 */
int publish_look(struct kc_publish *p, struct copy *c, struct kc_err *err);
/* 0 once the provider says that the last change has reached its servers, if it ever says so. */
int publish_settle(struct copy *c, int64_t deadline, struct kc_err *err);
/* A finding (lint.h) of one copy: a warning. */
void publish_warn(const struct copy *c, json_t *findings, const char *text);
/* Does the provider say that clients of all subnets are answered as they may be, and as its servers
 * answer? Where those differ notes gets a finding. */
int publish_compare_said(struct kc_publish *p, struct copy *c, json_t *notes, struct kc_err *err);
/* "example.com."; owned. */
char *publish_zone(const struct kc_publish *p);
/* The names at the apex of a copy, and those of the provider's own servers; where the provider
 * names none they are those of the apex. */
int publish_apex(struct copy *c, const char *zone, json_t **ret_apex, json_t **ret_offered,
		 struct kc_err *err);
/* Of copies with "offered" and "own" (no cloud's): leaves each only the names that are its own. */
void publish_tell_apart(json_t *copies);
/* As kc_publish_lint(), if every copy had these NS names at its apex. */
json_t *publish_lint_with(struct kc_publish *p, const json_t *apex);
/* Are two states the same, in whatever order? */
bool publish_same(const json_t *a, const json_t *b);

#endif
