/* What the files of net-ssh share; nobody else includes this. */
#ifndef KC_NET_SSH_IMPL_H
#define KC_NET_SSH_IMPL_H

#include <libssh2.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/net/ssh.h"

struct openssh;

struct kc_ssh {
	struct openssh *openssh; /* this transport; then there is no libssh2 session */
	LIBSSH2_SESSION *session;
	int fd; /* -1 behind a bastion */
	int port;
	char *host, *user, *name;
	char *host_key;	  /* "type base64" */
	char *host_types; /* the host key types that we ask for */
	struct kc_buf errs;
	LIBSSH2_CHANNEL *held[KC_SSH_HOLDS]; /* kc_ssh_hold()'s commands */
	int holds;
	bool broken;		/* a command failed half-way: nothing polite is possible any more */
	struct kc_ssh *bastion; /* owned */
	LIBSSH2_CHANNEL *via;	/* of the bastion's session */
	bool via_blocked;	/* a write to via is under way and must be finished first */
	bool via_dead;		/* closing: send nothing more */
	bool (*canceled)(void *cookie);
	void *cookie;
};

/* The socket that all bytes go through in the end. */
static inline struct kc_ssh *ssh_root(struct kc_ssh *s)
{
	while (s->bastion)
		s = s->bastion;
	return s;
}

/* Sleep until the session can go on, at most 200 ms; KC_ECANCELED, KC_ETIMEOUT past deadline. */
int ssh_wait(struct kc_ssh *s, int64_t deadline, struct kc_err *err);
/* What libssh2 says went wrong last; borrowed. */
const char *ssh_last(struct kc_ssh *s);

/* Repeat a libssh2 call that returns int while it would block. Gives libssh2's code; *r is our own
 * when waiting failed. */
#define SSH_CALL(s, deadline, r, err, call)                                                        \
	({                                                                                         \
		int rc_;                                                                           \
		*(r) = 0;                                                                          \
		while ((rc_ = (int)(call)) == LIBSSH2_ERROR_EAGAIN) {                              \
			*(r) = ssh_wait(s, deadline, err);                                         \
			if (*(r) < 0)                                                              \
				break;                                                             \
		}                                                                                  \
		rc_;                                                                               \
	})

/* ssh_hostkey.c: choose host key algorithms before, check the key after the key exchange. */
int ssh_hostkey_prepare(struct kc_ssh *s, const struct kc_ssh_target *t, struct kc_err *err);
int ssh_hostkey_check(struct kc_ssh *s, const struct kc_ssh_target *t, struct kc_err *err);

/* ssh_auth.c */
int ssh_login(struct kc_ssh *s, const struct kc_ssh_target *t, int64_t deadline,
	      struct kc_err *err);

/* ssh_kex.c: the error of a failed negotiation, with both sides' lists. */
int ssh_explain_kex(struct kc_ssh *s, int fd, struct kc_err *err);

/* ssh_exec.c: end the held command's input and wait for its end, two seconds at most. */
void ssh_release(struct kc_ssh *s);

/* The last line of standard error that is not empty. Owned. */
char *ssh_last_line(const struct kc_buf *b);

/* The user's ssh_config: ssh looks in the home that passwd has, not in $HOME. Owned. */
char *ssh_user_config(void);
/* ssh_openssh.c: what the transport openssh does in another way. */
int ssh_openssh_open(struct kc_ssh *s, const struct kc_ssh_target *t, struct kc_err *err);
int ssh_openssh_exec(struct kc_ssh *s, const struct kc_ssh_exec *x, int *ret_code,
		     struct kc_err *err);
int ssh_openssh_hold(struct kc_ssh *s, const char *command, const char *mark, struct kc_buf *out,
		     struct kc_err *err);
/* A socket that host:port is behind, seen from there; a refusal shows as its end. */
int ssh_openssh_dial(struct kc_ssh *s, const char *host, int port, int *ret_fd, struct kc_err *err);
bool ssh_openssh_alive(struct kc_ssh *s);
void ssh_openssh_close(struct kc_ssh *s);

/* ssh.c: a connected socket. */
int ssh_dial(const char *who, const struct kc_ssh_target *t, int64_t deadline, int *ret_fd,
	     struct kc_err *err);

#endif
