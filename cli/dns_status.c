/* dns status: how the copies of a policy stand, once or all the time. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/dns.h"
#include "dns/publish.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { WATCH_MS = 2000 };

static void put_claim(struct kc_buf *out, const json_t *claim)
{
	const json_t *addresses = json_object_get(claim, "addresses"), *a;
	size_t i;

	kc_buf_printf(out, "  %s: ", kc_json_get_str(claim, "region", "?"));
	if (!addresses) {
		kc_buf_puts(out, "no claim\n");
		return;
	}
	if (!json_array_size(addresses))
		kc_buf_puts(out, "nowhere");
	json_array_foreach((json_t *)addresses, i, a)
		kc_buf_printf(out, "%s%s", i ? ", " : "", json_string_value(a));
	kc_buf_printf(out, " (epoch %lld)\n", (long long)kc_json_get_int(claim, "epoch", 0));
}

static void put_copy(struct kc_buf *out, const json_t *copy)
{
	const char *why = kc_json_get_str(copy, "why", NULL);
	int64_t since = kc_json_get_int(copy, "goingSince", 0);
	const json_t *claim;
	char when[21];
	size_t i;

	kc_buf_printf(out, "%s %s: %s%s%s\n", kc_json_get_str(copy, "provider", "?"),
		      kc_json_get_str(copy, "where", "?"), kc_json_get_str(copy, "state", "?"),
		      why ? ": " : "", why ? why : "");
	if (since) {
		kc_time_format((time_t)since, when);
		kc_buf_printf(out, "  marked to go since %s\n", when);
	}
	json_array_foreach(json_object_get(copy, "claims"), i, claim)
		put_claim(out, claim);
}

static char *text_of(const json_t *status)
{
	struct kc_buf out = { 0 };
	const json_t *copy;
	size_t i;

	kc_buf_printf(&out, "%s owner %s\n", kc_json_get_str(status, "name", "?"),
		      kc_json_get_str(status, "owner", "?"));
	json_array_foreach(json_object_get(status, "copies"), i, copy)
		put_copy(&out, copy);
	return kc_buf_steal(&out);
}

static bool all_served(const json_t *status)
{
	const json_t *copy;
	size_t i;

	json_array_foreach(json_object_get(status, "copies"), i, copy)
		if (!streq(kc_json_get_str(copy, "state", ""), "served"))
			return false;
	return true;
}

static int look(const struct kc_args *args, json_t **ret, struct kc_err *err)
{
	_cleanup_publish_ struct kc_publish *p = NULL;
	json_auto_t *policy = NULL;
	int r = kc_cli_dns_policy(args, &policy, err);

	if (r == 0)
		r = kc_publish_open(policy, &(struct kc_publish_opts){ 0 }, &p, err);
	if (r == 0)
		*ret = kc_publish_status(p);
	return r;
}

/* Again and again; what has not changed is not shown again. */
static int watch(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_free_ char *last = NULL;

	while (!atomic_load(kc_cli_cancel())) {
		json_auto_t *status = NULL;
		_cleanup_free_ char *text = NULL;
		char now[21];
		int r = look(args, &status, err);

		if (r != 0)
			return r;
		text = kc_cli_wants_text(args) ? text_of(status) : kc_json_text(status);
		if (!strsame(text, last)) {
			kc_time_format(time(NULL), now);
			if (kc_cli_wants_text(args))
				printf("%s %s\n", now, text);
			else
				puts(text);
			fflush(stdout);
			free(last);
			last = TAKE(text);
		}
		for (int i = 0; i < WATCH_MS / 100 && !atomic_load(kc_cli_cancel()); i++)
			kc_sleep_ms(100);
	}
	return kc_fail(err, KC_ECANCELED, "stopped");
}

int kc_cli_dns_status(const struct kc_args *args, struct kc_err *err)
{
	json_auto_t *status = NULL;
	_cleanup_free_ char *text = NULL;
	int r;

	if (kc_args_bool(args, "watch"))
		return watch(args, err);
	r = look(args, &status, err);
	if (r != 0)
		return r;
	if (!kc_cli_wants_text(args)) {
		r = kc_cli_print(args, status, err);
	} else {
		text = text_of(status);
		fputs(text, stdout);
	}
	return r ? r : all_served(status) ? 0 : KC_EXIT_PENDING;
}
