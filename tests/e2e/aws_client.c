/*
 * Drives clouds/aws: {"do": "rrsets", …} as a line of JSON on standard input, {"ok": value} or
 * {"error": "conflict", "text": …, "aws": AWS's code} as a line on standard output. All lines go
 * through one struct kc_aws.
 */
#include <stdio.h>
#include <unistd.h>

#include "clouds/aws/route53.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

struct client {
	struct kc_aws *aws;
	struct kc_aws_creds *creds;
	struct kc_aws_error error;
};

static const char *text(const json_t *q, const char *key)
{
	return kc_json_get_str(q, key, NULL);
}

static int keys(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	_cleanup_aws_keys_ struct kc_aws_keys k = { 0 };
	int r;

	r = kc_aws_creds_get(c->creds, &k, err);
	if (r == 0)
		*ret = kc_pack("{s:s, s:s, s:s?, s:I}", "id", k.id, "secret", k.secret, "token",
			       k.token, "expires", (json_int_t)k.expires_ms);
	return r;
}

static int rrsets(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_route53_rrsets(c->aws, text(q, "zone"), text(q, "name"), ret, err);
}

static int change(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *id = NULL;
	int r;

	r = kc_route53_change(c->aws, text(q, "zone"), text(q, "comment"),
			      json_object_get(q, "changes"), &id, &c->error, err);
	if (r == 0)
		*ret = json_string(id);
	return r;
}

static int change_done(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_route53_change_done(c->aws, text(q, "id"), err);
}

static int zone_find(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *id = NULL;
	int r;

	r = kc_route53_zone_find(c->aws, text(q, "name"), &id, err);
	if (r == 0)
		*ret = json_string(id);
	return r;
}

static int zone(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_route53_zone(c->aws, text(q, "zone"), ret, err);
}

static int health_create(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_route53_health_create(c->aws, text(q, "reference"), json_object_get(q, "config"),
					ret, err);
}

static int health_get(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_route53_health_get(c->aws, text(q, "id"), ret, err);
}

static int health_list(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_route53_health_list(c->aws, ret, err);
}

static int health_update(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_route53_health_update(c->aws, text(q, "id"), kc_json_get_int(q, "version", 0),
					json_object_get(q, "config"), ret, err);
}

static int health_delete(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_route53_health_delete(c->aws, text(q, "id"), err);
}

static int health_tag(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_route53_health_tag(c->aws, text(q, "id"), json_object_get(q, "tags"), err);
}

static int health_tags(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_route53_health_tags(c->aws, json_object_get(q, "ids"), ret, err);
}

static int test(struct client *c, const json_t *q, json_t **ret, struct kc_err *err)
{
	const struct kc_route53_question question = {
		.zone = text(q, "zone"),
		.name = text(q, "name"),
		.type = text(q, "type"),
		.resolver = text(q, "resolver"),
		.subnet = text(q, "subnet"),
		.bits = (int)kc_json_get_int(q, "bits", 24),
	};

	return kc_route53_test(c->aws, &question, ret, err);
}

static const struct {
	const char *name;
	int (*run)(struct client *c, const json_t *q, json_t **ret, struct kc_err *err);
} verbs[] = {
	{ "keys", keys },
	{ "rrsets", rrsets },
	{ "change", change },
	{ "change_done", change_done },
	{ "zone_find", zone_find },
	{ "zone", zone },
	{ "health_create", health_create },
	{ "health_get", health_get },
	{ "health_list", health_list },
	{ "health_update", health_update },
	{ "health_delete", health_delete },
	{ "health_tag", health_tag },
	{ "health_tags", health_tags },
	{ "test", test },
};

static json_t *run(struct client *c, const json_t *q)
{
	struct kc_err err = { 0 };
	json_t *out = NULL;
	int r = KC_EFAIL;

	c->error = (struct kc_aws_error){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (streq(verbs[i].name, kc_json_get_str(q, "do", "")))
			r = verbs[i].run(c, q, &out, &err);
	if (r < 0)
		return kc_pack("{s:s, s:s, s:s}", "error", kc_err_name(r), "text", err.msg, "aws",
			       c->error.code);
	return kc_pack("{s:o?}", "ok", out);
}

int main(int argc, char **argv)
{
	const struct kc_aws_conf conf = { .service = "route53" };
	struct client c = { .creds = kc_aws_creds_new(argc > 1 ? argv[1] : NULL) };
	_cleanup_free_ char *line = NULL;
	struct kc_err err;
	size_t cap = 0;

	if (kc_aws_open(&conf, &c.aws, &err) < 0) {
		kc_aws_creds_free(c.creds);
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	while (getline(&line, &cap, stdin) > 0) {
		json_auto_t *q = json_loads(line, 0, NULL), *out = run(&c, q);

		json_dumpf(out, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
	}
	kc_aws_creds_free(c.creds);
	kc_aws_close(c.aws);
	return 0;
}
