/*
 * Drivers of API clients: a request is a line of JSON on standard input, {"call": NAME, ...}; its
 * result is a line on standard output, {"ok": ...} or {"code": "conflict", "message": ...}. With
 * "threads": N a call is made N times at once, and the last result is told.
 */
#ifndef KC_TESTS_E2E_LINES_H
#define KC_TESTS_E2E_LINES_H

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

typedef int (*lines_call)(void *client, const json_t *args, json_t **ret, struct kc_err *err);
struct lines_verb {
	const char *name;
	lines_call call;
};

struct lines_job {
	lines_call call;
	void *client;
	const json_t *args;
	json_t *value;
	struct kc_err err;
	int r;
	pthread_t thread;
};

static void *lines_run(void *cookie)
{
	struct lines_job *j = cookie;

	j->r = j->call(j->client, j->args, &j->value, &j->err);
	return NULL;
}

static void lines_say(int r, json_t *value, const struct kc_err *err)
{
	json_auto_t *v = r < 0 ? kc_pack("{s:s, s:s}", "code", kc_err_name(r), "message", err->msg)
			       : kc_pack("{s:o}", "ok", value ? value : json_null());
	_cleanup_free_ char *text = kc_json_text(v);

	puts(text);
	fflush(stdout);
}

static void lines_do(lines_call call, void *client, const json_t *args)
{
	int64_t n = kc_json_get_int(args, "threads", 1);
	_cleanup_free_ struct lines_job *jobs = xcalloc((size_t)n, sizeof(*jobs));

	for (int64_t i = 0; i < n; i++) {
		jobs[i] = (struct lines_job){ .call = call, .client = client, .args = args };
		if (pthread_create(&jobs[i].thread, NULL, lines_run, &jobs[i]))
			abort();
	}
	for (int64_t i = 0; i < n; i++) {
		pthread_join(jobs[i].thread, NULL);
		if (i + 1 < n)
			json_decref(jobs[i].value);
	}
	lines_say(jobs[n - 1].r, jobs[n - 1].value, &jobs[n - 1].err);
}

static void lines_serve(const struct lines_verb *verbs, size_t n, void *client)
{
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, stdin) > 0) {
		json_auto_t *args = NULL;
		struct kc_err err;
		const char *name;
		size_t i;

		if (kc_json_parse(line, strlen(line), "stdin", &args, &err) < 0)
			break;
		name = kc_json_get_str(args, "call", "");
		for (i = 0; i < n && !streq(verbs[i].name, name); i++)
			;
		if (i == n)
			break;
		lines_do(verbs[i].call, client, args);
	}
	free(line);
}

#endif
