#include "bootstrap/agent_lines.h"

#include <string.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"

/* The agent is another program, perhaps another version: what is no error's number is a failure. */
static int code_of(const json_t *line)
{
	int64_t code = kc_json_get_int(line, "code", KC_EFAIL);

	return code < 0 && code >= KC_ECANCELED ? (int)code : KC_EFAIL;
}

static void take_line(struct kc_agent_lines *l, const char *text, size_t len)
{
	json_auto_t *v = NULL;
	const char *error;

	if (l->mark) {
		size_t n = strlen(l->mark);

		/* At the end of a line: what came before may have ended without one. */
		if (len >= n && memcmp(text + len - n, l->mark, n) == 0)
			l->mark = NULL;
		return;
	}
	if (len == 0 || text[0] != '{' || kc_json_parse(text, len, "agent", &v, NULL) < 0)
		return;
	error = kc_json_get_str(v, "error", NULL);
	if (error) {
		l->failed = true;
		kc_fail(&l->error, code_of(v), "%s", error);
	} else if (json_object_get(v, "event")) {
		if (l->task->progress)
			l->task->progress(l->task, v);
	} else {
		json_decref(l->last);
		l->last = TAKE(v);
	}
}

int kc_agent_lines_add(void *cookie, const char *data, size_t len, struct kc_err *err)
{
	struct kc_agent_lines *l = cookie;
	size_t seen = l->buf.len; /* no newline up to here */
	char *start, *nl;
	int r = kc_buf_add(&l->buf, data, len, err);

	if (r < 0 || !l->buf.len)
		return r;
	start = l->buf.data;
	nl = memchr(start + seen, '\n', l->buf.len - seen);
	while (nl) {
		take_line(l, start, (size_t)(nl - start));
		start = nl + 1;
		nl = memchr(start, '\n', (size_t)(l->buf.data + l->buf.len - start));
	}
	l->buf.len -= (size_t)(start - l->buf.data);
	memmove(l->buf.data, start, l->buf.len);
	return 0;
}
