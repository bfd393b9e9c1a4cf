/* Do clients get what was written? Every host by UDP and by TCP at each server. */
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

/* The questions of one round, all of hosts that are pending. */
struct looking {
	struct hosts *h;
	struct kc_dns_query *q;
	struct host **of; /* each question's */
	size_t n;
	const char *where;
	bool tcp;
};

static void add_questions(struct looking *l, struct host *one)
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
	struct looking *l = cookie;
	struct host *one = l->of[i];
	const json_t *rrset =
		kc_dns_rrset_find(json_object_get(reply, "answer"), one->name, l->q[i].type);
	_cleanup_free_ char *is = NULL;

	if (one->unseen || is_served(l->h, one, reply, rrset))
		return;
	is = told(rrset);
	one->unseen =
		xasprintf("%s answers %s %s by %s with %s (%s)", l->where, one->name, l->q[i].type,
			  l->tcp ? "TCP" : "UDP", is, kc_json_get_str(reply, "rcode", "?"));
}

static int look_at(void *cookie, const struct kc_dns_server *server, const char *where,
		   struct kc_err *err)
{
	struct looking *l = cookie;
	int r = 0;

	l->where = where;
	for (int i = 0; i < 2 && r == 0; i++) {
		l->tcp = i;
		r = kc_dns_ask_many(server, l->tcp, l->q, l->n, answered, l, err);
	}
	return r;
}

/* Once at all servers. What is seen there as it is wanted is pending no more. */
static int look_once(struct hosts *h, const json_t *servers, size_t *ret_left, struct kc_err *err)
{
	_cleanup_free_ struct kc_dns_query *q = xcalloc(2 * h->n, sizeof(*q));
	_cleanup_free_ struct host **of = xcalloc(2 * h->n, sizeof(*of));
	struct looking l = { .h = h, .q = q, .of = of };
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
