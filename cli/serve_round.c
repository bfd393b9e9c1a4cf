/* One round of the agent: look at the cluster, the addresses and the copies; say what changed. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/serve.h"
#include "dns/probe.h"
#include "dns/sources.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { PROBE_MAX_MS = 4000 };

/* --- the log: a line a change */

static void now_is(json_t *now, const char *what, const char *state, const char *detail)
{
	json_object_set_new(now, what, kc_pack("[s, s]", state, detail ? detail : ""));
}

static const char *state_of(const json_t *entry)
{
	const char *s = json_string_value(json_array_get(entry, 0));

	return s ? s : "";
}

static void line(const struct serve *s, const char *what, const char *state, const char *detail)
{
	char when[21];

	kc_time_format(time(NULL), when);
	fprintf(stderr, "%s %s: %s: %s%s%s\n", when, s->region, what, state,
		detail && *detail ? ": " : "", detail ? detail : "");
}

static void say_changes(struct serve *s, json_t *now)
{
	const char *what;
	json_t *entry;

	json_object_foreach(now, what, entry)
		if (!streq(state_of(entry), state_of(json_object_get(s->said, what))))
			line(s, what, state_of(entry), json_string_value(json_array_get(entry, 1)));
	json_object_foreach(s->said, what, entry)
		if (!json_object_get(now, what))
			line(s, what, "no more", NULL);
	json_decref(s->said);
	s->said = json_incref(now);
}

/* --- what there is to see */

static int read_source(struct serve *s, json_t *notes, struct kc_err *err)
{
	json_auto_t *services = NULL, *nodes = NULL, *addresses = NULL;
	_cleanup_free_ char *of_services = NULL, *of_nodes = NULL;
	struct kc_kube *k;
	int r = serve_api_get(&s->api, &k, err);

	if (r < 0)
		return r;
	r = kc_kube_path(k, "v1", "Service", NULL, NULL, &of_services, err);
	if (r == 0)
		r = kc_kube_path(k, "v1", "Node", NULL, NULL, &of_nodes, err);
	if (r == 0)
		r = kc_kube_list(k, of_services, NULL, &services, err);
	if (r == 0)
		r = kc_kube_list(k, of_nodes, NULL, &nodes, err);
	if (r == 0)
		r = kc_sources(services, nodes, s->name, &addresses, notes, err);
	if (r < 0) {
		serve_api_drop(&s->api);
		return r;
	}
	kc_agent_source(s->agent, addresses);
	return 0;
}

static void look_at_cluster(struct serve *s, json_t *now, struct kc_err *ret_why)
{
	json_auto_t *notes = json_array();
	const json_t *note;
	size_t i;
	int r = read_source(s, notes, ret_why);

	if (r < 0) {
		now_is(now, "the Kubernetes API", "cannot be read", ret_why->msg);
		pthread_mutex_lock(&s->metrics.lock);
		s->metrics.api_errors++;
		pthread_mutex_unlock(&s->metrics.lock);
	}
	json_array_foreach(notes, i, note)
		now_is(now, "note", json_string_value(note), NULL);
}

static void look_at_addresses(struct serve *s, json_t *now)
{
	const struct kc_probe probe = { .health = s->health,
					.ca_pem = s->ca_pem,
					.timeout_ms = s->interval_ms < PROBE_MAX_MS ? s->interval_ms
										    : PROBE_MAX_MS,
					.cancel = s->stop };
	json_auto_t *targets = kc_agent_targets(s->agent), *why = json_object(),
		    *results = kc_probe(&probe, targets, why), *state = NULL;
	const char *what;
	json_t *v;

	kc_agent_probed(s->agent, results);
	state = kc_agent_state(s->agent);
	json_object_foreach(state, what, v) {
		const char *address = kc_startswith(what, "address ") ? what + 8 : "";

		now_is(now, what, json_string_value(v), kc_json_get_str(why, address, NULL));
	}
	pthread_mutex_lock(&s->metrics.lock);
	json_decref(s->metrics.state);
	s->metrics.state = json_incref(state);
	pthread_mutex_unlock(&s->metrics.lock);
}

/* --- the copies */

/* A line a copy that was not changed. */
static void list_refused(const struct serve *s, const json_t *refused, json_t *now,
			 struct kc_buf *lines)
{
	const json_t *c;
	size_t i;

	json_array_foreach((json_t *)refused, i, c) {
		_cleanup_free_ char *what =
			xasprintf("copy %s %s", kc_json_get_str(c, "provider", "?"),
				  kc_json_get_str(c, "where", "?"));

		now_is(now, what, "not changed", kc_json_get_str(c, "why", "?"));
		kc_buf_printf(lines, "%s%s: %s", lines->len ? "\n" : "",
			      kc_json_get_str(c, "provider", "?"), kc_json_get_str(c, "why", "?"));
	}
}

static bool is_pending(const struct kc_publish *p)
{
	const json_t *task;
	size_t i;

	json_array_foreach(json_object_get(kc_publish_plan(p), "tasks"), i, task)
		if (!streq(kc_json_get_str(task, "action", ""), "keep"))
			return true;
	return false;
}

/* What is there now: peers, and what was said of this region before. */
static void learn(struct serve *s, const struct kc_publish *p)
{
	json_auto_t *claims = kc_publish_newest(p);

	s->knows_claims = claims != NULL;
	if (!claims)
		return;
	kc_agent_claims(s->agent, claims);
	pthread_mutex_lock(&s->metrics.lock);
	s->metrics.epoch = kc_json_get_int(json_object_get(claims, s->region), "epoch", 0);
	pthread_mutex_unlock(&s->metrics.lock);
}

static void apply(struct serve *s, struct kc_publish *p)
{
	int64_t start = kc_now_ms();
	struct kc_err ignored; /* what each copy said is in kc_publish_refused() */

	kc_publish_apply(p, s->once ? s->stop : &s->no_write, &ignored);
	pthread_mutex_lock(&s->metrics.lock);
	s->metrics.applies++;
	s->metrics.apply_ms += kc_now_ms() - start;
	pthread_mutex_unlock(&s->metrics.lock);
}

static bool may_write(const struct serve *s)
{
	return s->once ? !atomic_load(s->stop)
		       : !atomic_load(&s->no_write) && kc_lease_held(&s->lease);
}

/* claim NULL: only look. */
static int at_copies(struct serve *s, const struct kc_publish_claim *claim, json_t *now,
		     struct kc_err *err)
{
	const struct kc_publish_opts opts = { .claim = claim };
	_cleanup_buf_ struct kc_buf lines = { 0 };
	_cleanup_publish_ struct kc_publish *p = NULL;
	json_auto_t *refused = NULL;
	size_t copies = json_array_size(kc_json_at(s->policy, "spec.publish"));
	int r = kc_publish_open(s->policy, &opts, &p, err);

	if (r < 0)
		return r;
	learn(s, p);
	if (claim && is_pending(p) && may_write(s))
		apply(s, p);
	refused = kc_publish_refused(p);
	pthread_mutex_lock(&s->metrics.lock);
	s->metrics.refused = json_array_size(refused);
	pthread_mutex_unlock(&s->metrics.lock);
	list_refused(s, refused, now, &lines);
	if (!json_array_size(refused))
		return 0;
	kc_fail_lines(err, KC_EFAIL, kc_buf_get(&lines));
	return json_array_size(refused) < copies ? KC_EXIT_SOME : KC_EFAIL;
}

/* --- the round */

static void say_decision(json_t *now, const json_t *decision)
{
	_cleanup_free_ char *addresses = kc_cli_cell(json_object_get(decision, "addresses")),
			    *down = kc_cli_cell(json_object_get(decision, "down"));
	_cleanup_free_ char *text = json_array_size(json_object_get(decision, "down"))
					    ? xasprintf("%s; cannot reach %s", addresses, down)
					    : xstrdup(addresses);

	now_is(now, "says", text,
	       kc_json_get_bool(decision, "held", false)
		       ? "nothing of it works, and it is all there is"
		       : NULL);
}

static int nothing_to_say(const struct serve *s, const struct kc_err *api, struct kc_err *err)
{
	if (api->code)
		return kc_fail(err, api->code, "%s", api->msg);
	return kc_fail(err, KC_EAGAIN,
		       "nothing in the cluster is annotated kubecdn.io/dns: %s and has an address "
		       "that works; what is claimed stays (`kubecdn dns claim --withdraw` takes "
		       "it back)",
		       s->name);
}

static int see_and_say(struct serve *s, json_t *now, struct kc_err *err)
{
	struct kc_publish_claim claim = { .region = s->region, .key_pem = s->key };
	json_auto_t *decision = NULL;
	struct kc_err api = { 0 };
	int r = 0;

	if (!s->knows_claims) {
		r = at_copies(s, NULL, now, err);
		if (r < 0 && !s->knows_claims)
			return r;
	}
	look_at_cluster(s, now, &api);
	look_at_addresses(s, now);
	decision = kc_agent_decide(s->agent);
	if (atomic_load(s->stop))
		return kc_fail(err, KC_ECANCELED, "stopped");
	if (decision) {
		say_decision(now, decision);
		claim.addresses = json_object_get(decision, "addresses");
		claim.down = json_object_get(decision, "down");
	}
	r = at_copies(s, decision ? &claim : NULL, now, err);
	if (r == 0 && !decision)
		return nothing_to_say(s, &api, err);
	return r == 0 && api.code && s->once ? kc_fail(err, api.code, "%s", api.msg) : r;
}

int serve_round(struct serve *s, struct kc_err *err)
{
	bool leader = !s->once && kc_lease_held(&s->lease);
	json_auto_t *now = json_object();
	int r = see_and_say(s, now, err);

	if (!s->once) {
		now_is(now, "leader", leader ? "this replica" : "another replica, or none", NULL);
		if (!atomic_load(s->stop))
			say_changes(s, now);
	}
	pthread_mutex_lock(&s->metrics.lock);
	s->metrics.rounds++;
	s->metrics.failed += r != 0;
	s->metrics.last_end_ms = kc_now_ms();
	if (r == 0)
		s->metrics.last_success_ms = kc_realtime_ms();
	pthread_mutex_unlock(&s->metrics.lock);
	return r;
}
