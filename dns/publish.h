/*
 * One policy at all copies of its zone, and a region's own claim there.
 *
 *	every copy --read--> what stands there -> whose is it? which claims count? -> wanted
 *	wanted -> plan -> change -> look; not served in time: what was before is put back
 *
 * A name is ours where the mark beside it (policy.h) has the policy's owner, or where nothing
 *stands at all; everything else is refused, and nothing there is touched. A change goes through
 *only if all of it (addresses, claims, mark) still is as it was read, so a claim that came
 *meanwhile is not overlooked. Copies are independent of each other: one that cannot be reached or
 *is refused does not keep the others from theirs.
 */
#ifndef KC_DNS_PUBLISH_H
#define KC_DNS_PUBLISH_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_publish;

/* What one region says of itself. No addresses: it serves nowhere any more. */
struct kc_publish_claim {
	const char *region, *key_pem;
	const json_t *addresses;
	const json_t *down; /* other regions that it cannot reach; NULL: none */
};

struct kc_publish_opts {
	const struct kc_publish_claim *claim; /* NULL: claims stay as they are */
	bool adopt;	 /* records that nobody marked become ours, in the step that changes them */
	int allow_shift; /* percent of clients that may be sent elsewhere; 0: as the policy says */
	bool remove;	 /* the name is given up: marked first, and taken out by a later run */
};

/*
 * Opens and reads every copy. An error is about the policy, the claim or key files, not about a
 * copy. policy and claim are borrowed until close.
 */
int kc_publish_open(const json_t *policy, const struct kc_publish_opts *opts,
		    struct kc_publish **ret, struct kc_err *err);
void kc_publish_close(struct kc_publish *p);
KC_DEFINE_CLEANUP(struct kc_publish *, kc_publish_close)
#define _cleanup_publish_ _cleanup_(kc_publish_closep)

/* Is this the key of one of the policy's regions? KC_EINVAL: no. */
int kc_publish_check(const json_t *policy, const char *region, const char *key_pem,
		     struct kc_err *err);
/* {region: claim} as kc_policy_claims() has it, of each region the newest at any copy that could be
 * read. NULL: none could. New reference. */
json_t *kc_publish_newest(const struct kc_publish *p);
/* As kc_plan_json() (lib/plan/plan.h) with a task a copy and rrset; borrowed. */
const json_t *kc_publish_plan(const struct kc_publish *p);
/* What the plan's rrsets lose of what the policy says, and claims that do not count: [text]. */
const json_t *kc_publish_notes(const struct kc_publish *p);
/* What each copy makes of the policy's stages, and how many clients the change sends elsewhere, per
 * mille: [{"provider", "where", "moved", "stages": as ir.h has it}]. New reference. */
json_t *kc_publish_fidelity(const struct kc_publish *p);
/* The claims that count at each copy (policy.h); null where they could not be read. New reference.
 */
json_t *kc_publish_claims(const struct kc_publish *p);
/* Copies that cannot be changed: [{"provider", "where", "why"}]. New reference. */
json_t *kc_publish_refused(const struct kc_publish *p);
/* With opts.remove: seconds until a run will take out what is only marked now; 0: nothing is left
 * to wait for. */
int64_t kc_publish_due(const struct kc_publish *p);
/*
 * Change every copy that can be, and see that its servers answer so; if they do not in time what
 * was before is put back. Without a claim a copy that somebody else changed since it was read is
 * refused; with one it is read again, for what is to be said is the region's own whatever others
 * say. KC_EFAIL: of some copies kc_publish_refused() has more to say now. cancel: stops before the
 * next copy.
 */
int kc_publish_apply(struct kc_publish *p, const atomic_bool *cancel, struct kc_err *err);
/* Does every copy hold what is wanted, does every server answer so now, and without another
 * provider? Nothing is changed. KC_EFAIL: kc_publish_refused() says what is otherwise. */
int kc_publish_verify(struct kc_publish *p, struct kc_err *err);
/* Of the last kc_publish_verify(), as lint.h has them; borrowed. */
const json_t *kc_publish_findings(const struct kc_publish *p);

/*
 * How it stands: {"name", "owner", "copies": [{"provider", "where", "state": "served" | "unserved"
 * | "differs" | "unpublished" | "refused" | "unreachable", "why", "claims": [{"region", "epoch",
 * "addresses"}], "goingSince"}]}. Every server is asked once. New reference.
 */
json_t *kc_publish_status(struct kc_publish *p);
/*
 * The zone's delegation (nsset.h): {"zone", "wanted": [names], "copies": [{"provider", "where",
 * "offered", "apex"}]}: what each provider offers, and has at its copy's apex now.
 */
int kc_publish_delegation(struct kc_publish *p, json_t **ret, struct kc_err *err);
/*
 * Make that so at the apex of every copy, each by compare-and-swap; see that its servers answer so,
 * and put back what was before if they do not in time. Nothing is changed if a server has no such
 * zone, or would not be found (KC_EINVAL, KC_EAGAIN). KC_EFAIL: of some copies
 * kc_publish_refused() says why not.
 */
int kc_publish_delegate(struct kc_publish *p, const json_t *delegation, const atomic_bool *cancel,
			struct kc_err *err);
/*
 * What at some copy leads to another provider (lint.h). whole: of all names in the zone, where the
 * provider lists them; otherwise of its name servers. New reference.
 */
json_t *kc_publish_lint(struct kc_publish *p, bool whole);

#endif
