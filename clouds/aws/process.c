/* Credentials that a program prints: "Sourcing credentials with an external process". */
#include <ctype.h>
#include <string.h>

#include "clouds/aws/source.h"
#include "lib/base/proc.h"
#include "lib/codec/json.h"

enum { MAX_WORDS = 64 };

/* Words as a shell splits them, without any of its other powers. -1: an open quote, or too many. */
static int split(char *text, const char *words[MAX_WORDS + 1])
{
	char *out = text;
	int n = 0;

	for (char *in = text; *(in += strspn(in, " \t"));) {
		char quote = 0;

		if (n == MAX_WORDS)
			return -1;
		words[n++] = out;
		for (; *in && (quote || !strchr(" \t", *in)); in++) {
			if (quote ? *in == quote : (*in == '"' || *in == '\''))
				quote = quote ? 0 : *in;
			else if (*in == '\\' && quote != '\'' && in[1])
				*out++ = *++in;
			else
				*out++ = *in;
		}
		if (quote)
			return -1;
		in += *in != '\0';
		*out++ = '\0';
	}
	words[n] = NULL;
	return n;
}

int kc_aws_from_process(const char *command, const char *at, struct kc_aws_keys *ret,
			struct kc_err *err)
{
	_cleanup_free_ char *copy = xcalloc(1, strlen(command) + 2);
	_cleanup_free_ char *what = xasprintf("%s: credential_process", at);
	const char *argv[MAX_WORDS + 1];
	_cleanup_wiped_ char *text = NULL;
	json_auto_t *o = NULL;
	int r;

	strcpy(copy, command);
	if (split(copy, argv) < 1)
		return kc_fail(err, KC_EINVAL, "%s: no command, or an open quote", what);
	r = kc_run(&(struct kc_run){ .argv = argv, .timeout_ms = 60000 }, &text, err);
	if (r < 0)
		return kc_wrap(err, "%s", what);
	r = kc_json_parse(text, strlen(text), what, &o, err);
	if (r < 0)
		return r;
	if (kc_json_get_int(o, "Version", 0) != 1)
		return kc_fail(err, KC_EFAIL, "%s: its output has no \"Version\": 1", what);
	return kc_aws_keys_read(o, what, "SessionToken", ret, err);
}
