/*
 * Three regions and an operator at two copies of a zone, in an order drawn by chance, with crashes,
 * partitions and lost replies in between. Whatever happened: nobody's foreign record is changed, a
 * name that was answered is never empty, no epoch goes back; and once all is well again, everybody
 * who runs the same command gets both copies to the same state and then has nothing left to do.
 *
 * The product's own reading, compiling and writing (publish.c and below) runs here; only the
 * servers are ours: zones in memory that compare and swap as RFC 2136 servers do ("whole": all that
 * was read is compared) or as Route 53 does ("touched": what is replaced, and TXT records).
 *
 * KC_SCHEDULES: how many; KC_SEED: the first one's seed, as a failure shows it. tools/schedules.sh,
 * which `make nightly` runs, takes ten thousand.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/backend.h"
#include "dns/claims.h"
#include "dns/publish.h"
#include "dns/route53.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/sign.h"
#include "lib/net/dns.h"
#include "tests/unit/toy_zone.h"

enum { REGIONS = 3, OPERATOR = REGIONS, ACTORS, COPIES = 2, ROUNDS = 3 };

#define NAME "www.example.com."

static const char *const region_names[] = { "ap", "eu", "us" };
/* Of nobody. */
#define KEY(text) "-----BEGIN PRIVATE KEY-----\n" text "\n-----END PRIVATE KEY-----\n"
static const char *const keys[REGIONS] = {
	KEY("MC4CAQAwBQYDK2VwBCIEIOYzWLKrPFvue4F/mwfmhX3fimyRceaaDHWEcvUz3XUU"),
	KEY("MC4CAQAwBQYDK2VwBCIEIKUgNRbebRO1CuUOJw2oBtTeVME89vVgtrk2hTGvLVUg"),
	KEY("MC4CAQAwBQYDK2VwBCIEIPKIB0p4+DLNQO2ahtk9a20XmsU4S3B5/UC5ZZ+ChD8z"),
};

enum state { IDLE, WAITING, RUNNING, DONE };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum state state[ACTORS];
	bool dead[ACTORS], cut[ACTORS][COPIES], calm;
	json_t *zone[COPIES];
	bool answered[COPIES];
	int64_t epoch[COPIES][REGIONS];
	uint64_t random, seed;
	const char *broken; /* the invariant that did not hold */
	json_t *policy;
	bool whole;
} w = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static __thread int self;

/* xorshift64*, so that a seed is a schedule. */
static unsigned draw(unsigned n)
{
	w.random ^= w.random >> 12;
	w.random ^= w.random << 25;
	w.random ^= w.random >> 27;
	return (unsigned)((w.random * 2685821657736338717ULL) >> 33) % n;
}

/* No pauses: time is the order of calls. */
void __wrap_kc_sleep_ms(int64_t ms);
void __wrap_kc_sleep_ms(int64_t ms)
{
}

/*
 * Signatures are most of a schedule's time, and nearly all of them have been seen: what the real
 * functions said of the very same input is remembered.
 */
int __real_kc_sign(const char *key, const void *data, size_t len, char **ret, struct kc_err *err);
int __wrap_kc_sign(const char *key, const void *data, size_t len, char **ret, struct kc_err *err);
int __real_kc_sign_verify(const char *key, const void *data, size_t len, const char *signature,
			  struct kc_err *err);
int __wrap_kc_sign_verify(const char *key, const void *data, size_t len, const char *signature,
			  struct kc_err *err);
int __real_kc_sign_public(const char *key, char **ret, struct kc_err *err);
int __wrap_kc_sign_public(const char *key, char **ret, struct kc_err *err);

static json_t *seen;
static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;

int __wrap_kc_sign(const char *key, const void *data, size_t len, char **ret, struct kc_err *err)
{
	_cleanup_free_ char *input = xasprintf("%s\n%.*s", key, (int)len, (const char *)data);
	int r = 0;

	pthread_mutex_lock(&seen_lock);
	if (!json_object_get(seen, input)) {
		char *made;

		r = __real_kc_sign(key, data, len, &made, err);
		if (r == 0) {
			json_object_set_new(seen, input, json_string(made));
			free(made);
		}
	}
	if (r == 0)
		*ret = xstrdup(json_string_value(json_object_get(seen, input)));
	pthread_mutex_unlock(&seen_lock);
	return r;
}

int __wrap_kc_sign_public(const char *key, char **ret, struct kc_err *err)
{
	int r = 0;

	pthread_mutex_lock(&seen_lock);
	if (!json_object_get(seen, key)) {
		char *made;

		r = __real_kc_sign_public(key, &made, err);
		if (r == 0) {
			json_object_set_new(seen, key, json_string(made));
			free(made);
		}
	}
	if (r == 0)
		*ret = xstrdup(json_string_value(json_object_get(seen, key)));
	pthread_mutex_unlock(&seen_lock);
	return r;
}

int __wrap_kc_sign_verify(const char *key, const void *data, size_t len, const char *signature,
			  struct kc_err *err)
{
	_cleanup_free_ char *input =
		xasprintf("%s\n%s\n%.*s", key, signature, (int)len, (const char *)data);
	int r = 0;

	pthread_mutex_lock(&seen_lock);
	if (!json_object_get(seen, input)) {
		r = __real_kc_sign_verify(key, data, len, signature, err);
		if (r == 0)
			json_object_set_new(seen, input, json_true());
	}
	pthread_mutex_unlock(&seen_lock);
	return r;
}

/* --- the servers */

struct conn {
	int copy;
};

static int toy_open(const json_t *publish, const char *zone, const char *owner, void **ret_conn,
		    struct kc_err *err)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->copy = (int)kc_json_get_int(publish, "port", 0);
	*ret_conn = c;
	return 0;
}

static void toy_close(void *conn)
{
	free(conn);
}

static const char *toy_where(const void *conn)
{
	return ((const struct conn *)conn)->copy ? "second" : "first";
}

/* Nobody to ask: what is served is what the zone has. */
static int toy_servers(void *conn, json_t **ret, struct kc_err *err)
{
	*ret = json_array();
	return 0;
}

/* Wait for one's turn. The fate of the call: 0 goes on; KC_EAGAIN nothing happens; 1: it happens,
 * and the reply is lost; 2: it happens, and the caller is dead. */
static int turn(int copy, struct kc_err *err)
{
	int fate = 0;

	pthread_mutex_lock(&w.lock);
	if (!w.calm && !w.dead[self]) {
		w.state[self] = WAITING;
		pthread_cond_broadcast(&w.changed);
		while (w.state[self] != RUNNING)
			pthread_cond_wait(&w.changed, &w.lock);
	}
	if (w.dead[self])
		fate = kc_fail(err, KC_ECANCELED, "dead");
	else if (w.cut[self][copy])
		fate = kc_fail(err, KC_EAGAIN, "cut off");
	else if (!w.calm && draw(20) == 0)
		fate = draw(2) ? 1 : kc_fail(err, KC_EAGAIN, "lost");
	else if (!w.calm && draw(60) == 0)
		fate = 2;
	if (fate == 2 || (fate == 0 && !w.calm && draw(80) == 0))
		w.dead[self] = true;
	/* The lock is kept: the call is one step. */
	return fate;
}

static int end_turn(int fate, struct kc_err *err)
{
	pthread_mutex_unlock(&w.lock);
	if (fate <= 0)
		return fate;
	return fate == 1 ? kc_fail(err, KC_EAGAIN, "reply lost")
			 : kc_fail(err, KC_ECANCELED, "dead");
}

static int toy_read(void *conn, const json_t *which, json_t **ret_rrsets, struct kc_err *err)
{
	struct conn *c = conn;
	json_auto_t *found = json_array();
	json_t *one;
	size_t i;
	int r;

	if (!w.whole) {
		r = turn(c->copy, err);
		json_array_foreach(w.zone[c->copy], i, one)
			if (toy_find(which, one) ||
			    kc_startswith(kc_json_get_str(one, "name", ""), "_kc-"))
				json_array_append_new(found, json_deep_copy(one));
		r = end_turn(r, err);
		if (r == 0)
			*ret_rrsets = TAKE(found);
		return r;
	}
	/* As with DNS, a question each: the zone changes in between. */
	json_array_foreach((json_t *)which, i, one) {
		r = turn(c->copy, err);
		if (toy_find(w.zone[c->copy], one))
			json_array_append_new(found,
					      json_deep_copy(toy_find(w.zone[c->copy], one)));
		r = end_turn(r, err);
		if (r < 0)
			return r;
	}
	*ret_rrsets = TAKE(found);
	return 0;
}

/* --- what must always hold */

static int64_t epoch_at(const json_t *zone, const char *region)
{
	_cleanup_free_ char *at = kc_claim_name(NAME, region), *text = NULL;
	const json_t *rrset = kc_dns_rrset_find(zone, at, "TXT");
	const char *e;

	if (!rrset)
		return 0;
	text = kc_claim_text(json_string_value(json_array_get(json_object_get(rrset, "data"), 0)));
	e = text ? strstr(text, " e=") : NULL;
	return e ? strtoll(e + 3, NULL, 10) : 0;
}

static void check_zone(int copy)
{
	const json_t *zone = w.zone[copy];
	bool answered = kc_dns_rrset_find(zone, NAME, "A") != NULL;

	if (w.answered[copy] && !answered)
		w.broken = "a name that was answered is empty";
	w.answered[copy] = answered;
	if (!kc_dns_rrset_find(zone, "foreign.example.com.", "A"))
		w.broken = "a foreign record is gone";
	for (int i = 0; i < REGIONS; i++) {
		int64_t e = epoch_at(zone, region_names[i]);

		if (e < w.epoch[copy][i])
			w.broken = "an epoch went back";
		w.epoch[copy][i] = e;
	}
}

static int toy_change(void *conn, const json_t *which, const json_t *before, const json_t *after,
		      struct kc_err *err)
{
	int copy = ((struct conn *)conn)->copy, r = turn(copy, err);
	json_t *zone = w.zone[copy], *one;
	size_t i;

	if (r < 0)
		return end_turn(r, err);
	if (w.whole ? !toy_holds_whole(zone, which, before)
		    : !toy_holds_touched(zone, before, after))
		return end_turn(r ? r : kc_fail(err, KC_ECONFLICT, "not as it was"), err);
	if (w.whole)
		json_array_foreach((json_t *)which, i, one)
			toy_put(zone, one, toy_find(after, one));
	else
		toy_apply_touched(zone, before, after);
	check_zone(copy);
	return end_turn(r, err);
}

static int toy_lower(const json_t *publish, const json_t *ir, json_t *rrsets, json_t *fidelity,
		     struct kc_err *err)
{
	if (!w.whole)
		return r53_lower(publish, ir, rrsets, fidelity, err);
	kc_ir_plain(ir, rrsets);
	return 0;
}

static const char *const none[] = { NULL };
static const char *const types[] = { "A", "AAAA", "CNAME", NULL };
static const struct kc_dns_traits traits = { 0 };

/* A quorum takes peers out only where servers do not check themselves. Route 53 does, and could not
 * guard one: its batches cannot say that a claim is still absent. */
#define TOY                                                                                        \
	.name = "toy", .needs = none, .takes = none, .types = types, .lower = toy_lower,           \
	.open = toy_open, .close = toy_close, .where = toy_where, .servers = toy_servers,          \
	.read = toy_read, .change = toy_change
static const struct kc_dns_backend toy = { TOY, .traits = &traits };
static const struct kc_dns_backend toy_touched = { TOY, .traits = &r53_traits };

/* Instead of dns/backend.c's. */
const struct kc_dns_backend *const kc_dns_backends[] = { &toy, NULL };
const struct kc_dns_backend *kc_dns_backend_find(const char *name)
{
	return w.whole ? &toy : &toy_touched;
}

/* --- who acts */

static json_t *addresses_of(unsigned n)
{
	json_t *out = json_array();

	for (unsigned i = 0; i < n % 3; i++) {
		_cleanup_free_ char *a = xasprintf("192.0.2.%u", 1 + (n / 3 + i * 7) % 40);

		json_array_append_new(out, json_string(a));
	}
	return out;
}

/* Which others a region says that it cannot reach; two voices are a quorum. */
static json_t *down_of(int actor, unsigned n)
{
	json_t *out = json_array();

	for (int i = 0; i < REGIONS; i++)
		if (i != actor && (n / 5 >> i & 1))
			json_array_append_new(out, json_string(region_names[i]));
	return out;
}

/* One command of an actor. n: which addresses and voices, for a region. */
static int act(int actor, unsigned n, size_t *ret_pending)
{
	json_auto_t *addresses = addresses_of(n), *down = down_of(actor, n);
	struct kc_publish_claim claim = { .addresses = addresses, .down = down };
	struct kc_publish_opts opts = { .claim = actor == OPERATOR ? NULL : &claim };
	_cleanup_publish_ struct kc_publish *p = NULL;
	const json_t *task;
	struct kc_err err;
	size_t i;
	int r;

	if (actor != OPERATOR) {
		claim.region = region_names[actor];
		claim.key_pem = keys[actor];
	}
	r = kc_publish_open(w.policy, &opts, &p, &err);
	if (r < 0)
		return r;
	*ret_pending = 0;
	json_array_foreach(json_object_get(kc_publish_plan(p), "tasks"), i, task)
		*ret_pending += !streq(kc_json_get_str(task, "action", ""), "keep");
	return kc_publish_apply(p, NULL, &err);
}

static unsigned plans[ACTORS][ROUNDS];

static void *live(void *arg)
{
	size_t ignored;

	self = (int)(intptr_t)arg;
	for (int i = 0; i < ROUNDS && !w.dead[self]; i++)
		act(self, plans[self][i], &ignored);
	pthread_mutex_lock(&w.lock);
	w.state[self] = DONE;
	pthread_cond_broadcast(&w.changed);
	pthread_mutex_unlock(&w.lock);
	return NULL;
}

/* Everybody waits or is done; one that waits is let go. False: all are done. */
static bool let_one_go(void)
{
	int waiting[ACTORS], n = 0;

	for (;;) {
		bool busy = false;

		n = 0;
		for (int i = 0; i < ACTORS; i++) {
			busy = busy || w.state[i] == RUNNING || w.state[i] == IDLE;
			if (w.state[i] == WAITING)
				waiting[n++] = i;
		}
		if (!busy)
			break;
		pthread_cond_wait(&w.changed, &w.lock);
	}
	if (!n)
		return false;
	if (!w.calm && draw(30) == 0)
		w.cut[draw(ACTORS)][draw(COPIES)] ^= true;
	w.state[waiting[draw((unsigned)n)]] = RUNNING;
	pthread_cond_broadcast(&w.changed);
	return true;
}

static void run_all(void)
{
	pthread_t threads[ACTORS];

	for (int i = 0; i < ACTORS; i++)
		w.state[i] = IDLE;
	for (intptr_t i = 0; i < ACTORS; i++)
		pthread_create(&threads[i], NULL, live, (void *)i);
	pthread_mutex_lock(&w.lock);
	while (let_one_go())
		;
	pthread_mutex_unlock(&w.lock);
	for (int i = 0; i < ACTORS; i++)
		pthread_join(threads[i], NULL);
}

/* All is well again: each says its last word; then nobody has anything left to do. NULL, or what is
 * wrong. */
static const char *settle(void)
{
	size_t pending = 0;

	w.calm = true;
	memset(w.dead, 0, sizeof(w.dead));
	memset(w.cut, 0, sizeof(w.cut));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < ACTORS; i++) {
			/* A last region's withdrawal would be refused: it says where it is. */
			unsigned n = plans[i][ROUNDS - 1];
			int r = act(i, n % 3 ? n : n + 1, &pending);

			if (r < 0)
				return "a command fails though all is well";
			if (round == 1 && pending)
				return "the second plan is not empty";
		}
	return json_equal(kc_dns_rrset_find(w.zone[0], NAME, "A"),
			  kc_dns_rrset_find(w.zone[1], NAME, "A"))
		       ? NULL
		       : "the copies differ";
}

/* --- */

static json_t *new_policy(void)
{
	static const char *const at[] = { "aws/ap-northeast-1", "aws/eu-central-1",
					  "aws/us-east-1" };
	json_t *regions = json_array();

	for (int i = 0; i < REGIONS; i++) {
		_cleanup_free_ char *public = NULL;

		assert_int_equal(kc_sign_public(keys[i], &public, NULL), 0);
		json_array_append_new(regions, kc_pack("{s:s, s:s, s:s}", "name", region_names[i],
						       "publicKey", public, "at", at[i]));
	}
	return kc_pack("{s:{s:s}, s:{s:s, s:s, s:s, s:[], s:o, s:[], s:{s:i}, s:{s:s, s:[]},"
		       " s:[{s:s, s:i}, {s:s, s:i}]}}",
		       "metadata", "name", "www.example.com", "spec", "zone", "example.com",
		       "owner", "prod", "route", "latency", "endpoints", "regions", regions,
		       "fence", "ttl", "answer", 30, "verify", "within", "1s", "subnets", "publish",
		       "provider", "toy", "port", 0, "provider", "toy", "port", 1);
}

static void begin(uint64_t seed)
{
	w.seed = seed;
	w.random = seed * 0x9e3779b97f4a7c15ULL + 1;
	w.calm = false;
	w.broken = NULL;
	memset(w.dead, 0, sizeof(w.dead));
	memset(w.cut, 0, sizeof(w.cut));
	memset(w.epoch, 0, sizeof(w.epoch));
	for (int i = 0; i < COPIES; i++) {
		json_decref(w.zone[i]);
		w.zone[i] = kc_pack("[{s:s, s:s, s:i, s:[s]}]", "name", "foreign.example.com.",
				    "type", "A", "ttl", 60, "data", "192.0.2.99");
		w.answered[i] = false;
	}
	for (int i = 0; i < ACTORS; i++)
		for (int k = 0; k < ROUNDS; k++)
			plans[i][k] = draw(120);
}

static void run_schedules(bool whole)
{
	const char *many = getenv("KC_SCHEDULES"), *from = getenv("KC_SEED");
	uint64_t n = many ? strtoull(many, NULL, 10) : 300,
		 first = from ? strtoull(from, NULL, 10) : 1;

	w.whole = whole;
	for (uint64_t seed = first; seed < first + n; seed++) {
		const char *wrong;

		begin(seed);
		run_all();
		wrong = w.broken ? w.broken : settle();
		if (!wrong)
			wrong = w.broken;
		if (wrong)
			print_error("KC_SEED=%llu KC_SCHEDULES=1: %s\n", (unsigned long long)seed,
				    wrong);
		assert_null(wrong);
	}
	print_message("%llu schedules from seed %llu\n", (unsigned long long)n,
		      (unsigned long long)first);
}

static void test_all_compared(void **state)
{
	run_schedules(true);
}

static void test_touched_compared(void **state)
{
	run_schedules(false);
}

static int set_up(void **state)
{
	seen = json_object();
	w.policy = new_policy();
	return 0;
}

static int tear_down(void **state)
{
	for (int i = 0; i < COPIES; i++)
		json_decref(w.zone[i]);
	json_decref(w.policy);
	json_decref(seen);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_compared),
		cmocka_unit_test(test_touched_compared),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
