/* Do clients get what was written? Every host by UDP and by TCP at each server. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "dns/hosts.h"
#include "dns/verify.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

enum { PAUSE_MS = 100 };

/* The questions of one round, about hosts that are pending; and of one way to ask them what was
 * seen instead, each question's or NULL. */
struct round {
	struct hosts *h;
	struct kc_dns_query *q;
	struct host **of; /* each question's */
	size_t n;
	const struct kc_dns_server *server;
	const char *where;
};

struct way {
	const struct round *round;
	bool tcp;
	char **unseen;
	int r;
	struct kc_err err;
};

static void add_questions(struct round *l, struct host *one)
{
	static const struct {
		unsigned char bit;
		const char *type;
	} kinds[] = { { HOST_A, "A" }, { HOST_AAAA, "AAAA" } };

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		if (one->wants & kinds[k].bit) {
			l->of[l->n] = one;
			l->q[l->n++] = (struct kc_dns_query){ one->name, kinds[k].type };
		}
}

static char *told(const json_t *rrset)
{
	_cleanup_buf_ struct kc_buf text = { 0 };
	const json_t *d;
	size_t i;

	json_array_foreach(json_object_get(rrset, "data"), i, d)
		kc_buf_printf(&text, "%s ", json_string_value(d));
	kc_buf_printf(&text, "(%lld s)", (long long)kc_json_get_int(rrset, "ttl", 0));
	return rrset ? kc_buf_steal(&text) : xstrdup("nothing");
}

/* As it is wanted, by a server that has the zone? */
static bool is_served(const struct hosts *h, const struct host *one, const json_t *reply,
		      const json_t *rrset)
{
	const json_t *data = json_object_get(rrset, "data");
	struct kc_dns_found f = { .name = one->name,
				  .type = kc_json_get_str(rrset, "type", ""),
				  .ttl = kc_json_get_int(rrset, "ttl", -1),
				  .n = json_array_size(data) };
	_cleanup_free_ const char **text = xcalloc(f.n + 1, sizeof(*text));

	for (size_t i = 0; i < f.n; i++)
		text[i] = json_string_value(json_array_get(data, i));
	f.data = text;
	return rrset && kc_json_get_bool(reply, "aa", false) && host_serves(h, one, &f);
}

static void answered(void *cookie, size_t i, const json_t *reply)
{
	struct way *w = cookie;
	const struct round *l = w->round;
	const struct host *one = l->of[i];
	const json_t *rrset =
		kc_dns_rrset_find(json_object_get(reply, "answer"), one->name, l->q[i].type);
	_cleanup_free_ char *is = NULL;

	if (is_served(l->h, one, reply, rrset))
		return;
	is = told(rrset);
	w->unseen[i] =
		xasprintf("%s answers %s %s by %s with %s (%s)", l->where, one->name, l->q[i].type,
			  w->tcp ? "TCP" : "UDP", is, kc_json_get_str(reply, "rcode", "?"));
}

static void *go(void *cookie)
{
	struct way *w = cookie;
	const struct round *l = w->round;

	w->r = kc_dns_ask_many(l->server, w->tcp, l->q, l->n, answered, w, &w->err);
	return NULL;
}

/* Both ways at once. */
static int look_at(void *cookie, const struct kc_dns_server *server, const char *where,
		   struct kc_err *err)
{
	struct round *l = cookie;
	struct way ways[] = { { .round = l }, { .round = l, .tcp = true } };
	pthread_t thread;
	bool started;
	int r = 0;

	l->server = server;
	l->where = where;
	for (size_t k = 0; k < ARRAY_SIZE(ways); k++)
		ways[k].unseen = xcalloc(l->n + 1, sizeof(char *));
	started = pthread_create(&thread, NULL, go, &ways[0]) == 0;
	go(&ways[1]);
	if (started)
		pthread_join(thread, NULL);
	else
		go(&ways[0]);
	for (size_t k = 0; k < ARRAY_SIZE(ways); k++) {
		for (size_t i = 0; i < l->n; i++) {
			if (!l->of[i]->unseen)
				l->of[i]->unseen = TAKE(ways[k].unseen[i]);
			free(ways[k].unseen[i]);
		}
		free(ways[k].unseen);
		if (ways[k].r < 0 && r == 0) {
			*err = ways[k].err;
			r = ways[k].r;
		}
	}
	return r;
}

/* Once at all servers. What is seen there as it is wanted is pending no more. */
static int look_once(struct hosts *h, const json_t *servers, size_t *ret_left, struct kc_err *err)
{
	_cleanup_free_ struct kc_dns_query *q = xcalloc(2 * h->n, sizeof(*q));
	_cleanup_free_ struct host **of = xcalloc(2 * h->n, sizeof(*of));
	struct round l = { .h = h, .q = q, .of = of };
	size_t left = 0;
	int r;

	for (size_t i = 0; i < h->n; i++)
		if (h->v[i].pending) {
			free(TAKE(h->v[i].unseen));
			add_questions(&l, &h->v[i]);
		}
	r = kc_dns_servers_visit(servers, look_at, &l, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < h->n; i++) {
		struct host *one = &h->v[i];

		one->pending = one->pending && one->unseen;
		left += one->pending;
	}
	*ret_left = left;
	return 0;
}

int hosts_look(struct hosts *h, const json_t *servers, int64_t deadline, struct kc_err *err)
{
	for (;;) {
		size_t left = 0;
		int r = look_once(h, servers, &left, err);

		if (r == 0 && left == 0)
			return 0;
		if (kc_now_ms() > deadline)
			return r < 0 ? r
				     : kc_fail(err, KC_EAGAIN, "%zu hosts are not served", left);
		kc_sleep_ms(PAUSE_MS);
	}
}
