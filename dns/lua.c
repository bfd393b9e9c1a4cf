/*
 * An IR as PowerDNS LUA records: a script that keeps what is up, ranks it by the client's place,
 * spreads and takes, as kc_ir has it.
 * https://doc.powerdns.com/authoritative/lua-records/ (functions of 4.7)
 */
#include "dns/lua.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { STRING_MAX = 255 };

/*
 * The part that is the same for all. A, X, Y, Z, W: the addresses, where on the unit sphere they
 * are, their weights; U: the set of those that are up; r: rank by place; w: draw one by weight; n:
 * how many to answer, 0: all. The nearest that are alive answer; if all are dead, the nearest. A
 * client whose place is unknown, which the server says is at 0° 0°, is near to all.
 *
 * It is as short as can be, for a server gives a script 1,000 instructions
 * (lua-records-exec-limit): tables of constants cost nothing, and an address costs about 20.
 */
static const char choose[] =
	"local k,c,s,z,ok,at=math.pi/180,0,0,0 if r then ok,at=pcall(latlon) "
	"local a,o=(ok and at or ''):match('^(%S+)%s(%S+)$') a,o=tonumber(a),tonumber(o) "
	"if a and o and a==a and (a~=0 or o~=0) then a,o=a*k,o*k z=math.sin(a) c=math.cos(a) "
	"c,s=c*math.cos(o),c*math.sin(o) end end "
	"local function near(all) local b,t=-2,{} for i=1,#A do if all or not U or U[A[i]] then "
	"local d=X[i]*c+Y[i]*s+Z[i]*z if d>b then b,t=d,{i} elseif d==b then t[#t+1]=i end "
	"end end return t end local t=near() if #t==0 then t=near(true) end if #t==0 then return "
	"{} end "
	"local v={} for j,i in ipairs(t) do v[j]=w and {W[i],A[i]} or A[i] end "
	"if w then return {pickwrandom(v)} end "
	"while n>0 and #v>n do local x=pickrandom(v) for j=1,#v do if v[j]==x then "
	"table.remove(v,j) break end end end return v";

/* The sine or cosine that a table of the script has, without needless digits. */
static void put_number(struct kc_buf *out, double v)
{
	char text[32];
	size_t n = (size_t)snprintf(text, sizeof(text), "%.6f", v);

	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	kc_buf_putn(out, text, n);
}

enum column { ADDRESS, X, Y, Z, WEIGHT };

static void put_value(struct kc_buf *out, const json_t *group, const json_t *member, enum column c)
{
	double rad = acos(-1) / 180e6, lat = (double)kc_json_get_int(group, "lat", 0) * rad,
	       lon = (double)kc_json_get_int(group, "lon", 0) * rad;

	switch (c) {
	case ADDRESS:
		kc_buf_printf(out, "'%s'", kc_json_get_str(member, "address", ""));
		break;
	case X:
		put_number(out, cos(lat) * cos(lon));
		break;
	case Y:
		put_number(out, cos(lat) * sin(lon));
		break;
	case Z:
		put_number(out, sin(lat));
		break;
	case WEIGHT:
		kc_buf_printf(out, "%lld", (long long)kc_json_get_int(member, "weight", 1));
		break;
	}
}

static void put_column(struct kc_buf *out, const json_t *groups, enum column c)
{
	const json_t *g, *m;
	bool first = true;
	size_t i, k;

	kc_buf_puts(out, "{");
	json_array_foreach((json_t *)groups, i, g)
		json_array_foreach(json_object_get(g, "members"), k, m) {
			kc_buf_puts(out, first ? "" : ", ");
			put_value(out, g, m, c);
			first = false;
		}
	kc_buf_puts(out, "}");
}

static void put_tables(struct kc_buf *out, const json_t *groups)
{
	kc_buf_puts(out, "A,X,Y,Z,W=");
	for (enum column c = ADDRESS; c <= WEIGHT; c++) {
		kc_buf_puts(out, c ? ", " : "");
		put_column(out, groups, c);
	}
	kc_buf_puts(out, " ");
}

/* The tables of the branch that the client falls into. */
static void put_branches(struct kc_buf *out, const json_t *branches)
{
	const json_t *b, *client;
	size_t i, k;

	kc_buf_puts(out, "local A,X,Y,Z,W ");
	json_array_foreach((json_t *)branches, i, b) {
		const json_t *clients = json_object_get(b, "clients");

		if (!clients) {
			kc_buf_puts(out, i ? "else " : "");
			put_tables(out, json_object_get(b, "groups"));
			kc_buf_puts(out, i ? "end " : "");
			continue;
		}
		kc_buf_puts(out, i ? "elseif continent({" : "if continent({");
		json_array_foreach(clients, k, client)
			kc_buf_printf(out, "%s'%s'", k ? "," : "", json_string_value(client));
		kc_buf_puts(out, "}) then ");
		put_tables(out, json_object_get(b, "groups"));
	}
}

static void put_addresses(struct kc_buf *out, const json_t *addresses)
{
	const json_t *a;
	size_t i;

	kc_buf_puts(out, "{");
	json_array_foreach((json_t *)addresses, i, a)
		kc_buf_printf(out, "%s'%s'", i ? ", " : "", json_string_value(a));
	kc_buf_puts(out, "}");
}

/* U: the server checks each address itself, from its first question on; until then all are up. */
static void put_up(struct kc_buf *out, const json_t *health, const json_t *addresses)
{
	static const char all[] = ",{selector='all',backupSelector='all'})";
	const char *protocol = kc_json_get_str(health, "protocol", "");
	long long port = (long long)kc_json_get_int(health, "port", 443);

	if (!health) {
		kc_buf_puts(out, "local U=nil ");
		return;
	}
	kc_buf_puts(out, "local U={} for _,v in ipairs(");
	if (streq(protocol, "tcp")) {
		kc_buf_printf(out, "ifportup(%lld,", port);
		put_addresses(out, addresses);
	} else {
		kc_buf_printf(out, "ifurlup('%s://%s:%lld%s',{", protocol,
			      kc_json_get_str(health, "host", ""), port,
			      kc_json_get_str(health, "path", "/"));
		put_addresses(out, addresses);
		kc_buf_puts(out, "}");
	}
	kc_buf_printf(out, "%s) do U[v]=1 end ", all);
}

static json_t *addresses_of(const json_t *branches)
{
	const json_t *groups = json_object_get(json_array_get(branches,
							      json_array_size(branches) - 1),
					       "groups"),
		     *g, *m;
	json_t *out = json_array();
	size_t i, k;

	json_array_foreach((json_t *)groups, i, g)
		json_array_foreach(json_object_get(g, "members"), k, m)
			json_array_append(out, json_object_get(m, "address"));
	kc_json_sort(out);
	return out;
}

static bool is_empty(const json_t *branches)
{
	const json_t *last = json_array_get(branches, json_array_size(branches) - 1);

	return !json_array_size(json_object_get(last, "groups"));
}

static bool has_stage(const json_t *ir, const char *stage)
{
	json_auto_t *stages = kc_ir_stages(ir);

	return kc_json_has_str(stages, stage);
}

/*
 * A script as the server shows it: in strings of at most 255 bytes, each up to a space, for 4.7
 * puts one between them. There are no quotes in it, and no space in its own strings.
 */
static char *data_of(const char *type, const char *script)
{
	_cleanup_buf_ struct kc_buf out = { 0 };

	kc_buf_puts(&out, type);
	while (*script) {
		size_t n = strnlen(script, STRING_MAX);

		while (script[n] && n > 1 && script[n - 1] != ' ')
			n--;
		kc_buf_printf(&out, " \"%.*s\"", (int)n, script);
		script += n;
	}
	return kc_buf_steal(&out);
}

char *lua_record(const json_t *ir, const json_t *branches, const char *type)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	json_auto_t *addresses = addresses_of(branches);

	if (is_empty(branches))
		return NULL;
	kc_buf_printf(&out, ";local r,w,n=%s,%s,%lld ", has_stage(ir, "rank") ? "true" : "false",
		      has_stage(ir, "spread") ? "true" : "false",
		      (long long)kc_json_get_int(ir, "answers", 0));
	put_branches(&out, branches);
	put_up(&out, json_object_get(ir, "health"), addresses);
	kc_buf_puts(&out, choose);
	return data_of(type, kc_buf_get(&out));
}

/* --- and back */

/* The strings of a script's data as one. Owned. */
static char *script_of(const char *data)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	bool inside = false;

	for (; *data; data++) {
		if (*data == '"')
			inside = !inside;
		else if (inside)
			kc_buf_putn(&out, data, 1);
	}
	return kc_buf_steal(&out);
}

/* "{'a', 'b'}" that *at stands on, or numbers, as texts; *at is moved behind it. NULL: it is none.
 */
static json_t *take_table(const char **at)
{
	json_auto_t *out = json_array();
	const char *s = *at;

	if (*s++ != '{')
		return NULL;
	while (*s && *s != '}') {
		size_t skip = strspn(s, " ,'"), n = strcspn(s + skip, "',}");

		s += skip;
		if (n)
			json_array_append_new(out, json_stringn(s, n));
		s += n;
		s += *s == '\'';
	}
	if (*s != '}')
		return NULL;
	*at = s + 1 + strspn(s + 1, ", ");
	return TAKE(out);
}

static double number_at(const json_t *column, size_t i)
{
	const char *text = json_string_value(json_array_get(column, i));

	return text ? strtod(text, NULL) : 0;
}

/* Addresses at one place are one group; they stand beside each other. */
static json_t *groups_of(json_t *const *columns)
{
	json_t *groups = json_array(), *group = NULL, *address;
	double degrees = 180e6 / acos(-1);
	size_t i;

	json_array_foreach(columns[ADDRESS], i, address) {
		double x = number_at(columns[X], i), y = number_at(columns[Y], i),
		       z = number_at(columns[Z], i);
		long long lat = llround(asin(z < -1  ? -1
					     : z > 1 ? 1
						     : z) *
					degrees),
			  lon = llround(atan2(y, x) * degrees);

		if (!group || kc_json_get_int(group, "lat", 0) != lat ||
		    kc_json_get_int(group, "lon", 0) != lon) {
			group = kc_pack("{s:s, s:I, s:I, s:[]}", "region", "", "lat",
					(json_int_t)lat, "lon", (json_int_t)lon, "members");
			json_array_append_new(groups, group);
		}
		json_array_append_new(json_object_get(group, "members"),
				      kc_pack("{s:O, s:I}", "address", address, "weight",
					      (json_int_t)number_at(columns[WEIGHT], i)));
	}
	return groups;
}

/* The five tables behind "A,X,Y,Z,W=". NULL: they are not ours. */
static json_t *take_tables(const char **at)
{
	json_t *columns[WEIGHT + 1] = { NULL }, *groups = NULL;
	bool whole = true;

	for (int c = ADDRESS; c <= WEIGHT && whole; c++) {
		columns[c] = take_table(at);
		whole = columns[c] && json_array_size(columns[c]) == json_array_size(columns[0]);
	}
	if (whole)
		groups = groups_of(columns);
	for (int c = ADDRESS; c <= WEIGHT; c++)
		json_decref(columns[c]);
	return groups;
}

json_t *lua_branches(const char *data)
{
	static const char condition[] = "if continent({", tables[] = "A,X,Y,Z,W=";
	_cleanup_free_ char *script = script_of(data);
	json_auto_t *branches = json_array();
	const char *at = strstr(script, "local A,X,Y,Z,W ");

	at = at ? at + strlen("local A,X,Y,Z,W ") : NULL;
	for (bool last = false; at && !last;) {
		const char *clients = strstr(at, condition), *next = strstr(at, tables);
		json_auto_t *groups = NULL, *who = NULL;

		if (!next)
			return NULL;
		if (clients && clients < next) {
			clients += strlen(condition) - 1;
			who = take_table(&clients);
		}
		at = next + strlen(tables);
		groups = take_tables(&at);
		if (!groups)
			return NULL;
		json_array_append_new(branches,
				      kc_pack("{s:O*, s:O}", "clients", who, "groups", groups));
		last = !who;
	}
	return at ? TAKE(branches) : NULL;
}
