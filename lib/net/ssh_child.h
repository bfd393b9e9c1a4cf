/* A child process with three pipes, moved by one loop: for the transport openssh. Private. */
#ifndef KC_NET_SSH_CHILD_H
#define KC_NET_SSH_CHILD_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/net/ssh.h"

struct ssh_child {
	pid_t pid; /* 0: none */
	int in, out, err;
};

/* In a process group of its own: a Ctrl-C on the terminal is ours to pass on. */
int ssh_child_start(struct ssh_child *c, const char *const *argv, struct kc_err *err);
/*
 * Move x's streams until the child ended; *ret_status as of waitpid(). The last 64K of standard
 * error go to errs. On errors (time is up, canceled, a callback's own) the child is killed.
 */
int ssh_child_talk(struct ssh_child *c, const struct kc_ssh_exec *x, struct kc_buf *errs,
		   const char *name, int *ret_status, struct kc_err *err);
/* Read standard output until mark and its line's end are in out, or the child ends. */
int ssh_child_until(struct ssh_child *c, const char *mark, struct kc_buf *out, struct kc_buf *errs,
		    int64_t deadline, bool (*canceled)(void *cookie), void *cookie,
		    struct kc_err *err);
bool ssh_child_alive(struct ssh_child *c);
/* End its input, wait so long for its end, then kill it. */
void ssh_child_end(struct ssh_child *c, long ms);

#endif
