/* What leads from a copy of a zone to another provider, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/lint.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define ZONE "example.com."
#define AWS  "\"ns-1.awsdns-00.com.\""
#define AZ   "\"ns1-01.azure-dns.com.\""
#define OWN  "\"ns.example.com.\""

static json_t *parse(const char *text)
{
	json_t *v = NULL;
	struct kc_err err;

	if (kc_json_parse(text, strlen(text), "a test", &v, &err) < 0)
		fail_msg("%s", err.msg);
	return v;
}

/* A copy of provider with NS names at its apex (JSON) and links (JSON). */
static json_t *copy(const char *provider, const char *apex, const char *links)
{
	static const char *const known[][3] = { { "route53", "aws", AWS },
						{ "azure", "azure", AZ },
						{ "clouddns", "gcp", "\"a1.googledomains.com.\"" },
						{ "rfc2136", "", OWN } };
	json_t *out = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		_cleanup_free_ char *offered = xasprintf("[%s]", known[i][2]),
				    *names = xasprintf("[%s]", apex),
				    *list = xasprintf("[%s]", links);

		if (!streq(known[i][0], provider))
			continue;
		out = kc_pack("{s:s, s:s, s:o, s:o, s:o, s:b, s:{}}", "provider", provider, "where",
			      "zone", "offered", parse(offered), "apex", parse(names), "links",
			      parse(list), "whole", 1, "has");
		if (*known[i][1])
			json_object_set_new(out, "cloud", json_string(known[i][1]));
	}
	return out;
}

/* The findings of two copies, b may be NULL, as "level provider: text" lines. Owned. */
static char *lint(json_t *a, json_t *b)
{
	json_auto_t *copies = b ? kc_pack("[o, o]", a, b) : kc_pack("[o]", a),
		    *names = kc_pack("[s, s]", "www.example.com.", "deep.sub.example.com."),
		    *found = kc_lint(ZONE, names, copies);
	char *out = xstrdup("");
	const json_t *one;
	size_t i;

	json_array_foreach(found, i, one) {
		char *more = xasprintf("%s%s %s: %s\n", out, kc_json_get_str(one, "level", "?"),
				       kc_json_get_str(one, "provider", "?"),
				       kc_json_get_str(one, "text", "?"));

		free(out);
		out = more;
	}
	return out;
}

static void expect(char *found, const char *first, const char *second)
{
	_cleanup_free_ char *text = found;
	int lines = 0;

	for (const char *p = text; *p; p++)
		lines += *p == '\n';
	if (lines != !!first + !!second || (first && !strstr(text, first)) ||
	    (second && !strstr(text, second)))
		fail_msg("found:\n%s", text);
}

static void test_apex(void **state)
{
	const char *both = AWS ", " AZ;

	expect(lint(copy("route53", both, ""), copy("azure", both, "")), NULL, NULL);
	expect(lint(copy("route53", AWS, ""), NULL), NULL, NULL);
	expect(lint(copy("route53", AWS, ""), copy("azure", both, "")),
	       "warning route53: its apex names no server of azure", NULL);
	expect(lint(copy("route53", AZ, ""), copy("azure", both, "")),
	       "error route53: all name servers at its apex are Azure's (ns1-01.azure-dns.com.)",
	       NULL);
	/* A name that nobody offers, but whose domain tells. */
	expect(lint(copy("route53", "\"NS2-09.azure-dns.NET\"", ""), NULL),
	       "error route53: all name servers at its apex are Azure's", NULL);
	expect(lint(copy("rfc2136", OWN ", " AWS, ""), copy("route53", OWN ", " AWS, "")), NULL,
	       NULL);
}

/* Whether a server with a name in the zone can be found by every copy. */
static void test_glue(void **state)
{
	json_t *own = copy("rfc2136", OWN ", " AWS, ""), *aws = copy("route53", OWN ", " AWS, "");
	json_auto_t *copies = kc_pack("[O, O]", own, aws), *needs = kc_lint_needs(ZONE, copies),
		    *expected = kc_pack("[s]", "ns.example.com.");

	assert_true(json_equal(needs, expected));
	json_object_set_new(json_object_get(own, "has"), "ns.example.com.", json_true());
	json_object_set_new(json_object_get(aws, "has"), "ns.example.com.", json_false());
	expect(lint(own, aws), "error route53: NS ns.example.com. at its apex", NULL);
}

#define CNAME(name, to) "{\"name\": \"" name "\", \"type\": \"CNAME\", \"data\": [\"" to "\"]}"

static void test_aliases(void **state)
{
	const char *other = CNAME("blog.example.com.", "X.trafficmanager.net"),
		   *ours = CNAME("www.example.com.",
				 "a.example.com.") ", " CNAME("a.example.com.",
							      "d1.cloudfront.net."),
		   *fine = CNAME("b.example.com.", "www.example.org."),
		   *loop = CNAME("c.example.com.", "c.example.com.");
	_cleanup_free_ char *dname = xasprintf("{\"name\": \"sub.example.com.\", \"type\": "
					       "\"DNAME\", \"data\": [\"%s\"]}",
					       "x.azurewebsites.net.");

	expect(lint(copy("route53", AWS, other), NULL),
	       "warning route53: blog.example.com. leads to x.trafficmanager.net., which only "
	       "Azure",
	       NULL);
	expect(lint(copy("azure", AZ, other), NULL), NULL, NULL);
	expect(lint(copy("clouddns", "", ours), NULL), "error clouddns: www.example.com. leads to",
	       "warning clouddns: a.example.com. leads to d1.cloudfront.net.");
	expect(lint(copy("route53", AWS, ours), NULL), NULL, NULL);
	expect(lint(copy("rfc2136", OWN, fine), NULL), NULL, NULL);
	expect(lint(copy("rfc2136", OWN, loop), NULL), NULL, NULL);
	expect(lint(copy("rfc2136", OWN, dname), NULL),
	       "error rfc2136: deep.sub.example.com. leads to x.azurewebsites.net.", NULL);
}

#define NS(name, to) "{\"name\": \"" name "\", \"type\": \"NS\", \"data\": [" to "]}"

static void test_delegations(void **state)
{
	const char *away = NS("sub.example.com.", AZ), *other = NS("x.example.com.", AZ),
		   *both = NS("x.example.com.", AZ ", " AWS),
		   *turned = NS("x.example.com.", AWS ", " AZ), *mine = NS("x.example.com.", AWS),
		   *set = AWS ", " AZ;

	expect(lint(copy("route53", AWS, away), NULL),
	       "error route53: deep.sub.example.com. is in sub.example.com.", NULL);
	expect(lint(copy("route53", AWS, other), NULL),
	       "warning route53: x.example.com. is delegated to servers of Azure alone", NULL);
	expect(lint(copy("route53", AWS, mine), NULL), NULL, NULL);
	expect(lint(copy("route53", set, both), copy("azure", set, turned)), NULL, NULL);
	/* Copies that differ: once, not from both sides. */
	expect(lint(copy("route53", set, both), copy("azure", set, "")),
	       "warning route53: x.example.com. NS is missing at azure", NULL);
	expect(lint(copy("route53", set, ""), copy("azure", set, both)),
	       "warning azure: x.example.com. NS is missing at route53", NULL);
}

/* An alias of the provider's own kind is that provider's; the others have to have something. */
static void test_own_aliases(void **state)
{
	const char *alias = "{\"name\": \"cdn.example.com.\", \"type\": \"A\", \"alias\": true}",
		   *set = AWS ", " AZ;
	json_t *aws = copy("route53", set, alias), *az = copy("azure", set, "");
	json_auto_t *copies = kc_pack("[O, O]", aws, az), *needs = kc_lint_needs(ZONE, copies);

	assert_true(kc_json_has_str(needs, "cdn.example.com."));
	json_object_set_new(json_object_get(az, "has"), "cdn.example.com.", json_false());
	expect(lint(json_incref(aws), json_incref(az)),
	       "warning route53: cdn.example.com. A is an alias that only this provider has", NULL);
	json_object_set_new(json_object_get(az, "has"), "cdn.example.com.", json_true());
	expect(lint(aws, az), NULL, NULL);
}

/* Of a copy that could not be read nothing is said, and nobody is blamed for it. */
static void test_unread(void **state)
{
	expect(lint(copy("route53", AWS, ""),
		    kc_pack("{s:s, s:s, s:s, s:b}", "provider", "azure", "where", "zone", "cloud",
			    "azure", "unread", 1)),
	       NULL, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apex),	    cmocka_unit_test(test_glue),
		cmocka_unit_test(test_aliases),	    cmocka_unit_test(test_delegations),
		cmocka_unit_test(test_own_aliases), cmocka_unit_test(test_unread),
	};

	kc_json_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
