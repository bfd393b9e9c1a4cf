/*
 * What the agent says on its standard output, line by line as it comes
 * (bootstrap/node/protocol.h). What comes before the mark, or is no JSON object,
 * is a login shell's noise; an event goes to the task's progress; an error and the last answer are
 * kept. A line is at most KC_BUF_MAX bytes.
 */
#ifndef KC_BOOTSTRAP_AGENT_LINES_H
#define KC_BOOTSTRAP_AGENT_LINES_H

#include <jansson.h>

#include "lib/base/buf.h"
#include "lib/plan/kind.h"

struct kc_agent_lines {
	struct kc_buf buf; /* the line that is not complete yet */
	const struct kc_task *task;
	const char *mark;    /* the line that the agent's follow; NULL: none, or it came */
	json_t *last;	     /* the newest line that is not an event */
	struct kc_err error; /* from a line {"error": …}; its code is one of KC_E* */
	bool failed;
};

/* kc_ssh_exec.out: cookie is a struct kc_agent_lines. */
int kc_agent_lines_add(void *cookie, const char *data, size_t len, struct kc_err *err);

#endif
