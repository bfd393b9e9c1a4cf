/*
 * A policy's hosts at one copy of its zone: many names with plain addresses and a mark each.
 *
 *	policy + what the copy has --hosts_read--> each as wanted, to be changed, or refused
 *	those to be changed --hosts_apply--> in batches, looked at, taken back if not served
 *
 * What is as wanted is not held, only that it is: of ten thousand hosts of which one differs there
 * are the rrsets of one. A host that is refused, or that somebody else changes meanwhile, does not
 * keep the others from theirs.
 */
#ifndef KC_DNS_HOSTS_H
#define KC_DNS_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "dns/publish_priv.h"

/* Bits of what a host has. */
enum { HOST_A = 1, HOST_AAAA = 2, HOST_MARK = 4 };

struct host {
	char *name;		 /* absolute */
	const json_t *addresses; /* borrowed from the policy */
	unsigned char wants;
	unsigned char same; /* of wants: those that the zone has just so */
	bool asked;	    /* a scan is on its way */
	bool in_use;	    /* something stands at the name */
	json_t *other;	    /* all else that matters: other data, other types; or NULL */
	char *why;	    /* it is not changed; or NULL */
	json_t *was;	    /* what it had before it was written; or NULL */
	bool pending;	    /* written, and not seen at every server yet */
	char *unseen;	    /* what was seen instead; or NULL */
};

struct hosts {
	struct kc_publish *p;
	const struct kc_dns_backend *backend;
	void *conn;
	int64_t ttl;
	char *mark;	/* data of a mark of the owner's */
	char *steered;	/* name of the policy's own mark */
	struct host *v; /* by name */
	size_t n;
	size_t strangers; /* of the same owner in the zone, and not in the policy */
};

/* All of the policy's hosts, of which nothing is known but what they are to have. */
struct hosts *hosts_new(const json_t *policy);
/* And as the copy has them. */
int hosts_read(struct kc_publish *p, struct copy *c, struct hosts **ret, struct kc_err *err);
void hosts_free(struct hosts *h);
KC_DEFINE_CLEANUP(struct hosts *, hosts_free)

bool host_is_wanted(const struct host *one);
/* What a host is to have, what it has, and all that a change of it depends on: added to an array.
 */
void host_wanted(const struct hosts *h, const struct host *one, json_t *rrsets);
void host_before(const struct hosts *h, const struct host *one, json_t *rrsets);
void host_which(const struct hosts *h, const struct host *one, json_t *which);
/* Read these hosts anew. */
int hosts_scan(struct hosts *h, struct host *const *v, size_t n, struct kc_err *err);
/* Is it the host's addresses of that type, with their TTL? */
bool host_serves(const struct hosts *h, const struct host *one, const struct kc_dns_found *f);

/* An entry for all that are to be made, one for those to be changed, one for those that stay. */
void hosts_plan(const struct hosts *h, const char *where, json_t *tasks);
/* [{"provider", "where", "name", "why"}] */
void hosts_refused(const struct hosts *h, const char *where, json_t *refused);
size_t hosts_count_refused(const struct hosts *h);
/* How many are to be changed. */
size_t hosts_count_changes(const struct hosts *h);
void hosts_notes(const struct hosts *h, const char *where, json_t *notes);

/* KC_ECANCELED, or what makes it senseless to go on; what is wrong with one host is its why. */
int hosts_apply(struct hosts *h, struct copy *c, const atomic_bool *cancel, struct kc_err *err);
/* Those that differ, or that a server answers otherwise, get a why. */
int hosts_verify(struct hosts *h, struct copy *c, struct kc_err *err);
/* The same as an error about the first of them. No hosts: nothing is asked. */
int hosts_served(struct hosts *h, struct copy *c, struct kc_err *err);
/* Does every server answer so? Those that are pending and are not seen so stay pending; until the
 * deadline they are looked at again. */
int hosts_look(struct hosts *h, const json_t *servers, int64_t deadline, struct kc_err *err);

#endif
