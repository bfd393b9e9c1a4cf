/*
 * Signs requests: {id, secret, token?, region, service, now, s3?, expires?, method, url, headers,
 * body} as a line of JSON on standard input, the headers to add (or, with expires, the URL) as a
 * line on standard output.
 */
#include <stdio.h>
#include <unistd.h>

#include "clouds/aws/sign.h"
#include "lib/base/mem.h"
#include "lib/codec/json.h"

static json_t *sign(const json_t *o)
{
	const json_t *list = json_object_get(o, "headers"), *v;
	const char *headers[64] = { NULL };
	const struct kc_aws_signer s = {
		.id = kc_json_get_str(o, "id", NULL),
		.secret = kc_json_get_str(o, "secret", NULL),
		.token = kc_json_get_str(o, "token", NULL),
		.region = kc_json_get_str(o, "region", NULL),
		.service = kc_json_get_str(o, "service", NULL),
		.now = (time_t)kc_json_get_int(o, "now", 0),
		.s3 = kc_json_get_bool(o, "s3", false),
	};
	const struct kc_aws_request q = {
		.method = kc_json_get_str(o, "method", NULL),
		.url = kc_json_get_str(o, "url", NULL),
		.headers = headers,
		.body = kc_json_get_str(o, "body", NULL),
		.body_len = json_string_length(json_object_get(o, "body")),
	};
	char *added[KC_AWS_SIGNED + 1] = { 0 }, *url;
	struct kc_err err;
	json_t *out;
	size_t i;

	json_array_foreach((json_t *)list, i, v)
		headers[i] = i < ARRAY_SIZE(headers) - 1 ? json_string_value(v) : NULL;
	if (json_object_get(o, "expires")) {
		if (kc_aws_presign(&s, &q, kc_json_get_int(o, "expires", 0), &url, &err) < 0)
			return json_string(err.msg);
		out = json_string(url);
		free(url);
		return out;
	}
	if (kc_aws_sign(&s, &q, added, &err) < 0)
		return json_string(err.msg);
	out = json_array();
	for (char **h = added; *h; h++)
		json_array_append_new(out, json_string(*h));
	kc_aws_signed_done(added);
	return out;
}

int main(void)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, stdin) > 0) {
		json_auto_t *o = json_loads(line, JSON_ALLOW_NUL, NULL), *out = o ? sign(o) : NULL;

		if (!out)
			return 1;
		json_dumpf(out, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
		putchar('\n');
	}
	return 0;
}
