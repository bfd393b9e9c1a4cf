/* What the agent of a region says, round by round; and where a cluster says that it serves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dns/agent.h"
#include "dns/sources.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static json_t *parse(const char *text)
{
	json_t *v;
	struct kc_err err;

	if (kc_json_parse(text, strlen(text), "test", &v, &err) < 0)
		fail_msg("%s", err.msg);
	return v;
}

struct world {
	json_t *policy;
	struct kc_agent *agent;
};

static void begin(struct world *w, bool probes, bool at_once)
{
	w->policy = parse(probes ? "{\"spec\": {\"health\": {}}}" : "{\"spec\": {}}");
	w->agent = kc_agent_new(w->policy, "eu", at_once);
}

static void end(struct world *w)
{
	kc_agent_free(w->agent);
	json_decref(w->policy);
}
#define _cleanup_world_ _cleanup_(end)

/* "eu=a,b us=c/eu": us claims c and cannot reach eu. */
static void claims(struct world *w, const char *text)
{
	json_auto_t *all = json_object(), *words = kc_json_split(text, ' ');
	const json_t *word;
	size_t i;

	json_array_foreach(words, i, word) {
		_cleanup_free_ char *s = xstrdup(json_string_value(word));
		char *save, *region = strtok_r(s, "=", &save), *list = strtok_r(NULL, "/", &save),
			    *down = strtok_r(NULL, "", &save);

		if (!region)
			continue;
		json_object_set_new(all, region,
				    kc_pack("{s:i, s:o, s:o*}", "epoch", 1, "addresses",
					    list && !streq(list, "-") ? kc_json_split(list, ',')
								      : json_array(),
					    "down", down ? kc_json_split(down, ',') : NULL));
	}
	kc_agent_claims(w->agent, all);
}

static void source(struct world *w, const char *list)
{
	json_auto_t *addresses = *list ? kc_json_split(list, ',') : json_array();

	kc_agent_source(w->agent, addresses);
}

/* A round in which all targets are alive but those in dead. */
static void probe(struct world *w, const char *dead)
{
	json_auto_t *targets = kc_agent_targets(w->agent), *results = json_object(),
		    *list = kc_json_split(dead, ',');
	const json_t *t;
	size_t i;

	json_array_foreach(targets, i, t)
		json_object_set_new(results, json_string_value(t),
				    json_boolean(!kc_json_has_str(list, json_string_value(t))));
	kc_agent_probed(w->agent, results);
}

/* expected: "a,b", "a/us" (cannot reach us), "-" (withdrawn), "held a", "" (nothing to say). */
static void says(struct world *w, const char *expected)
{
	json_auto_t *d = kc_agent_decide(w->agent);
	_cleanup_free_ char *text = xstrdup("");
	const char *sep = "";
	const json_t *v;
	size_t i;

	if (d) {
		free(text);
		text = xstrdup(kc_json_get_bool(d, "held", false) ? "held " : "");
		if (!json_array_size(json_object_get(d, "addresses"))) {
			free(text);
			text = xstrdup("-");
		}
	}
	for (int k = 0; d && k < 2; k++) {
		sep = k ? "/" : "";
		json_array_foreach(json_object_get(d, k ? "down" : "addresses"), i, v) {
			char *more = xasprintf("%s%s%s", text, sep, json_string_value(v));

			free(text);
			text = more;
			sep = ",";
		}
	}
	assert_string_equal(text, expected);
}

static void test_nothing_known(void **x)
{
	_cleanup_world_ struct world w;

	begin(&w, true, false);
	says(&w, "");
	source(&w, "a");
	says(&w, "");
	probe(&w, "a"); /* no targets before the claims are known */
	claims(&w, "us=c");
	says(&w, "");
	probe(&w, "");
	says(&w, "a");
}

static void test_hysteresis(void **x)
{
	_cleanup_world_ struct world w;

	begin(&w, true, false);
	claims(&w, "eu=a,b us=c");
	source(&w, "a,b");
	/* What is claimed is up until it failed three times in a row. */
	says(&w, "a,b");
	for (int i = 0; i < 2; i++)
		probe(&w, "b");
	probe(&w, "");
	for (int i = 0; i < 2; i++)
		probe(&w, "b");
	says(&w, "a,b");
	probe(&w, "b");
	says(&w, "a");
	probe(&w, "");
	says(&w, "a");
	probe(&w, "");
	says(&w, "a,b");
	/* A new one is what its first probe says. */
	source(&w, "a,b,d,e");
	probe(&w, "e");
	says(&w, "a,b,d");
}

static void test_a_probe_that_was_not_made(void **x)
{
	_cleanup_world_ struct world w;
	json_auto_t *none = json_object();

	begin(&w, true, false);
	claims(&w, "eu=a us=c");
	source(&w, "a");
	for (int i = 0; i < 9; i++)
		kc_agent_probed(w.agent, none);
	says(&w, "a");
}

static void test_empty_lists(void **x)
{
	_cleanup_world_ struct world w;

	begin(&w, false, false);
	claims(&w, "eu=a us=c");
	source(&w, "a");
	source(&w, "");
	source(&w, "");
	says(&w, "a");
	source(&w, "a");
	source(&w, "");
	source(&w, "");
	says(&w, "a");
	source(&w, "");
	says(&w, "-");
	/* All that there is stays. */
	claims(&w, "eu=a us=-");
	says(&w, "held a");
	source(&w, "b");
	says(&w, "b");
}

static void test_the_last_stays(void **x)
{
	_cleanup_world_ struct world w;

	begin(&w, true, false);
	claims(&w, "eu=a,b us=-");
	source(&w, "a,b");
	for (int i = 0; i < 3; i++)
		probe(&w, "a,b");
	says(&w, "held a,b");
	claims(&w, "eu=a,b us=c");
	says(&w, "-");
	claims(&w, "eu=- us=c");
	says(&w, "-");
	/* A policy's own endpoints lead, too. */
	claims(&w, "eu=a,b");
	says(&w, "held a,b");
	json_object_set_new(json_object_get(w.policy, "spec"), "endpoints", kc_pack("[{}]"));
	says(&w, "-");
}

static void test_peers(void **x)
{
	_cleanup_world_ struct world w;

	begin(&w, true, false);
	claims(&w, "eu=a us=c,d ap=-");
	source(&w, "a");
	for (int i = 0; i < 3; i++)
		probe(&w, "c"); /* one of two is alive */
	says(&w, "a");
	for (int i = 0; i < 3; i++)
		probe(&w, "c,d");
	says(&w, "a/us");
	/* Who does not reach itself does not judge. */
	for (int i = 0; i < 3; i++)
		probe(&w, "a,c,d");
	says(&w, "-");
	probe(&w, "");
	probe(&w, "");
	says(&w, "a");
	/* An address that a peer claims anew is up. */
	for (int i = 0; i < 3; i++)
		probe(&w, "c,d");
	claims(&w, "eu=a us=e");
	says(&w, "a");
	probe(&w, "e");
	says(&w, "a");
}

/* A new agent goes on where the claim says that the last one was. */
static void test_after_a_restart(void **x)
{
	_cleanup_world_ struct world w;

	begin(&w, true, false);
	claims(&w, "eu=a/us us=c");
	source(&w, "a,b");
	probe(&w, "a,b");
	says(&w, "a/us");
	probe(&w, "a,b");
	says(&w, "a");
	probe(&w, "a,b");
	says(&w, "-");
}

static void test_at_once(void **x)
{
	_cleanup_world_ struct world w;

	begin(&w, true, true);
	claims(&w, "eu=a,b us=c");
	for (int i = 0; i < 9; i++)
		source(&w, "");
	says(&w, "");
	source(&w, "a,b");
	probe(&w, "b,c");
	says(&w, "a/us");
}

static void test_many(void **x)
{
	_cleanup_world_ struct world w;
	json_auto_t *list = json_array(), *d = NULL;

	begin(&w, false, false);
	claims(&w, "us=c");
	for (int i = 10; i < 50; i++) {
		_cleanup_free_ char *a = xasprintf("192.0.2.%d", i);

		json_array_append_new(list, json_string(a));
	}
	kc_agent_source(w.agent, list);
	d = kc_agent_decide(w.agent);
	assert_int_equal(json_array_size(json_object_get(d, "addresses")), 16);
}

/* --- sources */

#define SVC(spec, status)                                                                          \
	"[{\"metadata\": {\"name\": \"s\", \"annotations\": {\"kubecdn.io/dns\": "                 \
	"\"a.example.com, WWW.example.com.\"}}, \"spec\": {" spec "}, \"status\": {" status "}}]"
#define LB(ingress) "\"loadBalancer\": {\"ingress\": " ingress "}"
#define NODE(annotations, ready, addresses)                                                        \
	"[{\"metadata\": {\"name\": \"n\", \"labels\": {\"kubecdn.io/edge\": \"\"}, "              \
	"\"annotations\": {" annotations                                                           \
	"}}, \"status\": {\"conditions\": [{\"type\": \"Ready\", "                                 \
	"\"status\": \"" ready "\"}], \"addresses\": " addresses "}}]"
#define BOTH                                                                                       \
	"[{\"type\": \"InternalIP\", \"address\": \"10.0.0.1\"}, {\"type\": \"ExternalIP\", "      \
	"\"address\": \"192.0.2.8\"}]"
#define INTERNAL "[{\"type\": \"InternalIP\", \"address\": \"10.0.0.1\"}]"
#define NAMED	 "\"kubecdn.io/dns\": \"www.example.com\""

static void test_sources(void **x)
{
	static const struct {
		const char *services, *nodes, *expected; /* NULL: refused */
		size_t notes;
	} cases[] = {
		{ "[]", "[]", "", 0 },
		{ SVC("", LB("[{\"ip\": \"192.0.2.2\"}, {\"ip\": \"192.0.2.1\"}]")), "[]",
		  "192.0.2.1,192.0.2.2", 0 },
		{ SVC("", LB("[{\"ip\": \"2001:DB8::0:1\"}]")), "[]", "2001:db8::1", 0 },
		{ SVC("\"externalIPs\": [\"192.0.2.3\"]", LB("[]")), "[]", "192.0.2.3", 0 },
		{ SVC("\"externalIPs\": [\"192.0.2.3\"]", LB("[{\"ip\": \"192.0.2.1\"}]")), "[]",
		  "192.0.2.1", 0 },
		{ SVC("\"type\": \"NodePort\"", ""), NODE("", "True", BOTH), "192.0.2.8", 0 },
		{ SVC("\"type\": \"NodePort\"", ""), NODE("", "True", INTERNAL), "10.0.0.1", 0 },
		{ SVC("\"type\": \"NodePort\"", ""), NODE("", "False", BOTH), "", 0 },
		{ SVC("\"type\": \"ClusterIP\"", ""), NODE("", "True", BOTH), "", 0 },
		{ "[]", NODE("", "True", BOTH), "", 0 },
		{ "[]", NODE(NAMED, "True", BOTH), "192.0.2.8", 0 },
		{ "[]", NODE(NAMED ", \"kubecdn.io/external-ip\": \"192.0.2.9\"", "True", BOTH),
		  "192.0.2.9", 0 },
		{ "[]", NODE(NAMED, "Unknown", BOTH), "", 0 },
		{ SVC("", LB("[{\"hostname\": \"lb.example.net\"}]")), "[]", "", 1 },
		/* What is malformed is no absence. */
		{ "null", "[]", NULL, 0 },
		{ "{}", "[]", NULL, 0 },
		{ SVC("", LB("{}")), "[]", NULL, 0 },
		{ SVC("", LB("[{\"ip\": \"192.0.2\"}]")), "[]", NULL, 0 },
		{ SVC("", LB("[{}]")), "[]", NULL, 0 },
		{ "[]", NODE(NAMED, "True", "{}"), NULL, 0 },
		{ "[]", NODE(NAMED ", \"kubecdn.io/external-ip\": \"me\"", "True", BOTH), NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_auto_t *services = NULL, *nodes = parse(cases[i].nodes), *got = NULL,
			    *notes = json_array();
		struct kc_err err = { 0 };
		int r;

		services = json_loads(cases[i].services, JSON_DECODE_ANY, NULL);
		r = kc_sources(services, nodes, "www.example.com", &got, notes, &err);
		assert_int_equal(r, cases[i].expected ? 0 : KC_EINVAL);
		if (r == 0) {
			json_auto_t *expected = *cases[i].expected
							? kc_json_split(cases[i].expected, ',')
							: json_array();

			if (!json_equal(got, expected))
				fail_msg("case %zu", i);
		}
		assert_int_equal(json_array_size(notes), cases[i].notes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_hysteresis),
		cmocka_unit_test(test_a_probe_that_was_not_made),
		cmocka_unit_test(test_empty_lists),
		cmocka_unit_test(test_the_last_stays),
		cmocka_unit_test(test_peers),
		cmocka_unit_test(test_after_a_restart),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
