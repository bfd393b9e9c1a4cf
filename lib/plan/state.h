/*
 * The engine's durable state below one prefix of a store:
 *
 *   <prefix>/record.json        {uid, fence, serial, tasks: {id: {kind, want, outputs, after,
 * within, via}}} <prefix>/journal/F-S.json   immutable segments: intents and results of fence F,
 * serial S
 *
 * Before a mutating call an intent {seq, fence, task, action, token} is durable
 * (group-committed: one put for all pending ones); after it {seq, outputs|error}.
 * Opening replays the journal over the record; closing compacts. A new holder
 * rewrites the record with its higher fence first, so that an old one cannot
 * record any more.
 */
#ifndef KC_PLAN_STATE_H
#define KC_PLAN_STATE_H

#include "lib/base/mem.h"
#include "lib/store/format.h"
#include "lib/store/store.h"

struct kc_state;

/* state_format.c: what record and journal hold, and held. */
extern const struct kc_format kc_record_format, kc_journal_format;

/*
 * Read-only when fence is 0 (previews); otherwise the record is fenced first. uid is the owner's:
 * names come back, and what was written for another owner of the name is none of ours (segments are
 * left out, a record is KC_ECONFLICT).
 */
int kc_state_open(struct kc_store *store, const char *prefix, const char *uid, uint64_t fence,
		  struct kc_state **ret, struct kc_err *err);
/*
 * fn is asked before each segment is put; when it fails so does what was to be recorded, now and
 * from then on. A holder that slept past its lease so leaves no segment for others to sweep up.
 */
void kc_state_guard(struct kc_state *s, int (*fn)(void *cookie, struct kc_err *err), void *cookie);
/* Record plus replayed journal: {id: {...}}; borrowed, until the next change. An intent without
 * result has "pending": true. */
const json_t *kc_state_tasks(const struct kc_state *s);
/* A copy of it, which may be taken while an apply is under way. */
json_t *kc_state_copy(struct kc_state *s);
/* Fold the journal into the record. Skipped without harm by a crash. */
int kc_state_compact(struct kc_state *s, struct kc_err *err);
/*
 * The entries that a fence left in the journal and nobody has folded in since, in their order: what
 * a run that was killed had begun ({"task", "intent", "at"}) and ended ({"task", "result", "at"};
 * at in milliseconds since 1970). New reference.
 */
int kc_state_journal(struct kc_store *store, const char *prefix, const char *uid, uint64_t fence,
		     json_t **ret, struct kc_err *err);
/* Drop one task from the record without touching the resource (--forget). */
int kc_state_forget(struct kc_state *s, const char *id, struct kc_err *err);
void kc_state_close(struct kc_state *s);
KC_DEFINE_CLEANUP(struct kc_state *, kc_state_close)
#define _cleanup_state_ _cleanup_(kc_state_closep)

#endif
