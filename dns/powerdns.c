/*
 * PowerDNS with LUA records: it checks, ranks and spreads itself. What stands there is read by its
 * HTTP API, for nobody can ask for a LUA record by DNS; it is changed by dynamic updates, for the
 * API cannot compare. https://doc.powerdns.com/authoritative/http-api/
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dns/backend.h"
#include "dns/lint.h"
#include "dns/claims.h"
#include "dns/lua.h"
#include "dns/powerdns.h"
#include "dns/update.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"
#include "lib/net/http.h"

/* FEW: names that are quicker to ask for than a zone of any size. */
enum { REPLY_MAX = 8 << 20, ZONE_MAX = 64 << 20, FEW = 8, BATCH = 500 };

struct conn {
	struct primary primary;
	struct kc_http *http;
	char *api, *key;
};

static void pdns_close(void *conn)
{
	struct conn *c = conn;

	if (!c)
		return;
	primary_done(&c->primary);
	kc_http_free(c->http);
	free(c->api);
	kc_free_wiped(c->key);
	free(c);
}

static int pdns_open(const json_t *publish, const char *zone, const char *owner, void **ret_conn,
		     struct kc_err *err)
{
	const char *api = kc_json_get_str(publish, "api", "");
	struct conn *c = xcalloc(1, sizeof(*c));
	size_t n = strlen(api);
	int r = primary_open(publish, zone, &c->primary, err);

	if (r == 0)
		r = primary_secret(kc_json_get_str(publish, "apiKeyFile", ""), "API key", &c->key,
				   err);
	if (r == 0)
		r = kc_http_new(&(struct kc_http_conf){ 0 }, &c->http, err);
	if (r < 0) {
		pdns_close(c);
		return r;
	}
	while (n && api[n - 1] == '/')
		n--;
	c->api = xasprintf("%.*s/api/v1/servers/localhost/zones/%s", (int)n, api, c->primary.zone);
	*ret_conn = c;
	return 0;
}

static const char *pdns_where(const void *conn)
{
	return ((const struct conn *)conn)->primary.where;
}

static int pdns_servers(void *conn, json_t **ret, struct kc_err *err)
{
	*ret = primary_servers(&((struct conn *)conn)->primary);
	return 0;
}

static int check_status(const struct conn *c, const struct kc_http_reply *reply, struct kc_err *err)
{
	switch (reply->status) {
	case 200:
		return 0;
	case 401:
	case 403:
		return kc_fail(err, KC_EAUTH, "%s: the API key is refused; see apiKeyFile", c->api);
	case 404:
		return kc_fail(err, KC_ENOTFOUND, "%s: this server has no zone %s", c->api,
			       c->primary.zone);
	default:
		return kc_fail(err, reply->status >= 500 ? KC_EAGAIN : KC_EFAIL,
			       "%s: status %ld: %.200s", c->api, reply->status, reply->body);
	}
}

/* One of the API's rrsets as ours. */
static int add_rrset(const json_t *from, json_t *found, struct kc_err *err)
{
	const char *name, *type;
	const json_t *records, *record;
	json_auto_t *data = json_array();
	int64_t ttl;
	size_t i;
	int r = kc_json_str(from, "an rrset", "name", &name, err);

	if (r == 0)
		r = kc_json_str(from, "an rrset", "type", &type, err);
	if (r == 0)
		r = kc_json_int(from, "an rrset", "ttl", &ttl, err);
	if (r == 0)
		r = kc_json_arr(from, "an rrset", "records", &records, err);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)records, i, record) {
		const char *content;

		r = kc_json_str(record, "a record", "content", &content, err);
		if (r < 0)
			return r;
		if (!kc_json_get_bool(record, "disabled", false))
			json_array_append_new(data, json_string(content));
	}
	kc_json_sort(data);
	if (json_array_size(data))
		json_array_append_new(found, kc_pack("{s:s, s:s, s:I, s:O}", "name", name, "type",
						     type, "ttl", (json_int_t)ttl, "data", data));
	return 0;
}

static bool is_wanted(const json_t *which, const json_t *rrset)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)which, i, one)
		if (json_equal(json_object_get(one, "name"), json_object_get(rrset, "name")) &&
		    json_equal(json_object_get(one, "type"), json_object_get(rrset, "type")))
			return true;
	return false;
}

int pdns_rrsets(const char *reply, size_t len, const char *api, const json_t *which, json_t *found,
		struct kc_err *err)
{
	json_auto_t *zone = NULL;
	const json_t *rrsets, *rrset;
	size_t i;
	int r = kc_json_parse(reply, len, api, &zone, err);

	if (r == 0)
		r = kc_json_arr(zone, api, "rrsets", &rrsets, err);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)rrsets, i, rrset) {
		if (!is_wanted(which, rrset))
			continue;
		r = add_rrset(rrset, found, err);
		if (r < 0)
			return kc_wrap(err, "%s", api);
	}
	return 0;
}

/* GET of the zone, with a query or none; the reply has status 200. */
static int get(struct conn *c, const char *query, size_t max, struct kc_http_reply *ret,
	       struct kc_err *err)
{
	_cleanup_wiped_ char *key = xasprintf("X-API-Key: %s", c->key);
	_cleanup_free_ char *url = xasprintf("%s%s", c->api, query);
	const char *const headers[] = { key, NULL };
	int r = kc_http_do(c->http,
			   &(struct kc_http_req){ .url = url, .headers = headers, .max = max }, ret,
			   err);

	return r < 0 ? r : check_status(c, ret, err);
}

static int get_name(struct conn *c, const char *name, struct kc_http_reply *ret, struct kc_err *err)
{
	_cleanup_free_ char *escaped = kc_http_escape(name),
			    *query = xasprintf("?rrset_name=%s", escaped);

	return get(c, query, REPLY_MAX, ret, err);
}

static int read_name(struct conn *c, const char *name, const json_t *which, json_t *found,
		     struct kc_err *err)
{
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	int r = get_name(c, name, &reply, err);

	return r < 0 ? r : pdns_rrsets(reply.body, reply.len, c->api, which, found, err);
}

/* A request a name, in the order of which. */
static int pdns_read(void *conn, const json_t *which, json_t **ret_rrsets, struct kc_err *err)
{
	json_auto_t *found = json_array();
	const char *last = "";
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)which, i, one) {
		const char *name = kc_json_get_str(one, "name", "");
		int r = streq(name, last) ? 0 : read_name(conn, name, which, found, err);

		if (r < 0)
			return r;
		last = name;
	}
	*ret_rrsets = TAKE(found);
	return 0;
}

struct scanning {
	kc_dns_found_fn *found;
	void *cookie;
};

/* One of the API's rrsets, as far as its records are not disabled. */
static int scan_rrset(void *cookie, const json_t *rrset, struct kc_err *err)
{
	const struct scanning *s = cookie;
	_cleanup_free_ const char **data = NULL;
	struct kc_dns_found f = { 0 };
	const json_t *records, *record;
	size_t i;
	int r = kc_json_str(rrset, "an rrset", "name", &f.name, err);

	if (r == 0)
		r = kc_json_str(rrset, "an rrset", "type", &f.type, err);
	if (r == 0)
		r = kc_json_int(rrset, "an rrset", "ttl", &f.ttl, err);
	if (r == 0)
		r = kc_json_arr(rrset, "an rrset", "records", &records, err);
	if (r < 0)
		return r;
	f.data = data = xcalloc(json_array_size(records) + 1, sizeof(*data));
	json_array_foreach((json_t *)records, i, record) {
		r = kc_json_str(record, "a record", "content", &data[f.n], err);
		if (r < 0)
			return r;
		f.n += !kc_json_get_bool(record, "disabled", false);
	}
	return f.n ? s->found(s->cookie, &f, err) : 0;
}

static int scan_reply(struct conn *c, const struct kc_http_reply *reply, struct scanning *s,
		      struct kc_err *err)
{
	return kc_json_each(reply->body, reply->len, c->api, "rrsets", scan_rrset, s, err);
}

static int scan_name(struct conn *c, const char *name, struct scanning *s, struct kc_err *err)
{
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	int r = get_name(c, name, &reply, err);

	return r < 0 ? r : scan_reply(c, &reply, s, err);
}

/* A few names one by one, each and what stands beside it; many are read with all of the zone. */
static int pdns_scan(void *conn, const char *const *names, size_t n, kc_dns_found_fn *found,
		     void *cookie, struct kc_err *err)
{
	struct scanning s = { .found = found, .cookie = cookie };
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	int r = 0;

	for (size_t i = 0; n <= FEW && i < n && r == 0; i++) {
		_cleanup_free_ char *beside = kc_claim_name(names[i], NULL);

		r = scan_name(conn, names[i], &s, err);
		if (r == 0)
			r = scan_name(conn, beside, &s, err);
	}
	if (n <= FEW)
		return r;
	r = get(conn, "", ZONE_MAX, &reply, err);
	return r < 0 ? r : scan_reply(conn, &reply, &s, err);
}

static int found_link(void *cookie, const struct kc_dns_found *f, struct kc_err *err)
{
	json_t *data;

	if (!kc_lint_is_link(f->type))
		return 0;
	data = json_array();
	for (size_t i = 0; i < f->n; i++)
		json_array_append_new(data, json_string(f->data[i]));
	json_array_append_new(cookie, kc_pack("{s:s, s:s, s:o}", "name", f->name, "type", f->type,
					      "data", data));
	return 0;
}

static int pdns_links(void *conn, json_t **ret, struct kc_err *err)
{
	json_auto_t *out = json_array();
	struct scanning s = { .found = found_link, .cookie = out };
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	int r = get(conn, "", ZONE_MAX, &reply, err);

	if (r == 0)
		r = scan_reply(conn, &reply, &s, err);
	if (r == 0)
		*ret = TAKE(out);
	return r;
}

static int pdns_change(void *conn, const json_t *which, const json_t *before, const json_t *after,
		       struct kc_err *err)
{
	return primary_change(&((struct conn *)conn)->primary, which, before, after, err);
}

static int pdns_set_ns(void *conn, const json_t *before, const json_t *after, struct kc_err *err)
{
	return primary_set_ns(&((struct conn *)conn)->primary, before, after, err);
}

static const struct kc_dns_traits traits = {
	.ranks = true,
	.fences = true,
	.checks = true,
	.spreads = true,
	/* lua-health-checks-interval, 5 s unless the server's owner says otherwise; in 4.7 one
	 * failure is enough, and a check has 2 s. */
	.intervals = { 5 },
	.min_failures = 1,
	.max_failures = 1,
	.timeout = 2,
};

static void account(const json_t *ir, json_t *fidelity)
{
	json_auto_t *stages = kc_ir_stages(ir);
	const json_t *stage;
	size_t i;

	json_array_foreach(stages, i, stage) {
		const char *s = json_string_value(stage);

		if (streq(s, "take") && kc_json_has_str(stages, "spread"))
			kc_fidelity(fidelity, s, "approximated",
				    "one address an answer, drawn by weight");
		else
			kc_fidelity(fidelity, s, "exact",
				    streq(s, "healthy") ? "checked every lua-health-checks-interval"
							: "by the server's script");
	}
}

static int pdns_lower(const json_t *publish, const json_t *ir, json_t *rrsets, json_t *fidelity,
		      struct kc_err *err)
{
	static const struct {
		int family;
		const char *type;
	} kinds[] = { { AF_INET, "A" }, { AF_INET6, "AAAA" } };
	json_auto_t *stages = kc_ir_stages(ir), *data = json_array(), *health = NULL;
	int r = kc_ir_health(ir, &traits, &health, err);

	if (r < 0)
		return r;
	if (!json_array_size(stages)) {
		kc_ir_plain(ir, rrsets);
		return 0;
	}
	if ((kc_json_has_str(stages, "rank") || kc_json_has_str(stages, "fence")) &&
	    !kc_json_get_bool(publish, "locations", false))
		return kc_fail(err, KC_EINVAL,
			       "to tell where clients are PowerDNS needs a database of places "
			       "(geoip-database-files, with the geoip back end loaded); set "
			       "locations: "
			       "true here when it has one");
	account(ir, fidelity);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		json_auto_t *branches = kc_ir_branches(ir, &traits, kinds[k].family, NULL);
		_cleanup_free_ char *text = lua_record(ir, branches, kinds[k].type);

		if (text)
			json_array_append_new(data, json_string(text));
	}
	json_array_append_new(rrsets, kc_pack("{s:O, s:s, s:O, s:O}", "name",
					      json_object_get(ir, "name"), "type", "LUA", "ttl",
					      json_object_get(ir, "ttl"), "data", data));
	return 0;
}

static json_t *pdns_raise(const json_t *rrsets, const char *name, const char *type)
{
	const json_t *data = json_object_get(kc_dns_rrset_find(rrsets, name, "LUA"), "data"), *d;
	size_t i, n = strlen(type);

	json_array_foreach((json_t *)data, i, d)
		if (kc_startswith(json_string_value(d), type) && json_string_value(d)[n] == ' ')
			return lua_branches(json_string_value(d));
	return NULL;
}

static const char *const needs[] = { "server", "tsig", "api", "apiKeyFile", NULL };
static const char *const takes[] = { "port", "locations", NULL };
static const char *const types[] = { "A", "AAAA", "CNAME", "LUA", NULL };

const struct kc_dns_backend kc_dns_powerdns = {
	.name = "powerdns",
	.needs = needs,
	.takes = takes,
	.types = types,
	.traits = &traits,
	.lower = pdns_lower,
	.raise = pdns_raise,
	.open = pdns_open,
	.close = pdns_close,
	.where = pdns_where,
	.servers = pdns_servers,
	.read = pdns_read,
	.scan = pdns_scan,
	.links = pdns_links,
	.scans_all = true,
	.batch = BATCH,
	.change = pdns_change,
	.set_ns = pdns_set_ns,
};
