/*
 * The agent's verbs over one envelope (protocol.h).
 *
 *   stdin --kc_agent_read--> struct kc_agent --verbs--> stdout
 *   apply, reset: front.c starts converge.c in a transient unit and follows it
 *
 * The envelope, secrets in it, is owned by struct kc_agent and freed (wiped, by
 * the program's allocator) with it. Verbs return 0 or KC_E*; main prints.
 */
#ifndef KC_NODE_AGENT_H
#define KC_NODE_AGENT_H

#include <jansson.h>
#include <stdbool.h>

#include "bootstrap/node/host.h"
#include "lib/plan/plan.h"
#include "lib/plan/state.h"

struct kc_agent {
	json_t *envelope, *facts;
	const char *uid, *cluster; /* borrowed from envelope */
	uint64_t fence;
	const json_t *tasks; /* spec.tasks; NULL: no spec */
	struct kc_node_host host;
	bool host_open;
	bool reset; /* set before kc_agent_init(): the verb is reset */
	bool keyed; /* the envelope came with a key for HMACs */
};

/* Take an envelope (stolen): checks format and protocol, reads the facts, opens the host. */
int kc_agent_init(struct kc_agent *a, json_t *envelope, bool writable, struct kc_err *err);
void kc_agent_done(struct kc_agent *a);
/* An engine over this host; e and providers must live as long as plans made with it. */
void kc_agent_engine(struct kc_agent *a, struct kc_provider *host,
		     const struct kc_provider *providers[2], struct kc_engine *e);
/* kc_engine.resolve: $fact and $secret. */
int kc_agent_resolve(void *cookie, const char *name, const json_t *arg, json_t **ret,
		     struct kc_err *err);

/* Open the record. Read-only (fence 0): *ret stays NULL where nothing was recorded. Otherwise what
 * an earlier agent wrote is migrated; the caller holds the lock. */
int kc_agent_state(uint64_t fence, struct kc_store **ret_store, struct kc_state **ret,
		   struct kc_err *err);

/* {"format", "agent"}: how every answer begins. New reference. */
json_t *kc_agent_answer(void);
/* Each answers with one JSON value. */
int kc_agent_facts(json_t **ret, struct kc_err *err);
int kc_agent_plan(struct kc_agent *a, json_t **ret, struct kc_err *err);
int kc_agent_csr(struct kc_agent *a, json_t **ret, struct kc_err *err);
/* Restart the kubelet: it registers its Node only when it starts. */
int kc_agent_rejoin(struct kc_agent *a, json_t **ret, struct kc_err *err);
/* question: what DNS to ask, and which certificates to look at beside those of the record. */
int kc_agent_probe(const json_t *question, json_t **ret, struct kc_err *err);
/* Everything that may tell why this host's node does not work (doctor.h). */
int kc_agent_doctor(struct kc_agent *a, json_t **ret, struct kc_err *err);
/* Frames on fd into KC_NODE_BLOBS. */
int kc_agent_recv(int fd, json_t **ret, struct kc_err *err);
/* kc_peer_fetch() (peer.h) into the same place. */
int kc_agent_fetch(const json_t *question, json_t **ret, struct kc_err *err);

/*
 * apply and reset, in the transient unit: events and the result go to fd as JSON lines. The lock
 * must be free; what was started from is in the agent.
 */
int kc_agent_converge(struct kc_agent *a, const char *verb, int fd, struct kc_err *err);

#define KC_NODE_LOCK	  KC_NODE_RUN "/lock"
#define KC_NODE_CURRENT	  KC_NODE_RUN "/current.json"
#define KC_NODE_ENVELOPE  KC_NODE_RUN "/envelope.json"
#define KC_NODE_EVENTS	  KC_NODE_RUN "/events"
#define KC_NODE_STATE_URL "dir://" KC_NODE_STATE "/record"

/* Start verb in the transient unit, or attach to it, and copy its lines to standard output until it
 * ends. *ret_code is the exit code. */
int kc_front_run(struct kc_agent *a, const char *verb, int *ret_code, struct kc_err *err);
/* The gate: one at a time starts work here, or removes the run directory, which is made if it must
 * be. A descriptor that is to be closed. */
int kc_front_gate(bool wait, int *ret, struct kc_err *err);
/* The exit code for an error. */
int kc_front_exit(int code);

#endif
