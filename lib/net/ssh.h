/*
 * SSH to one host, over libssh2: commands with streams, and file uploads.
 *
 *	kc_ssh_open(target) -> kc_ssh_exec(command, feed -> stdin, stdout -> out) -> kc_ssh_close
 *
 * The host's key is always checked, against target.host_key or known_hosts; a
 * key nobody knows is an error that names its fingerprint, unless accept_new
 * pins it; a changed key is fatal (KC_EAUTH, both fingerprints). A session
 * belongs to the thread that opened it; different sessions are independent.
 * Remote commands are run by the user's login shell, whichever that is: keep
 * them to plain words (kc_ssh_quote() makes one) or wrap them in sh -c.
 * Unreachable or refused: KC_EAGAIN; not let in: KC_EAUTH; no algorithm in
 * common: KC_EFAIL with both sides' lists. Strings of a target are borrowed
 * during kc_ssh_open() only.
 */
#ifndef KC_NET_SSH_H
#define KC_NET_SSH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_ssh;

/* Who knows the passphrases of encrypted keys. From any thread, several at a time. */
struct kc_ssh_phrases {
	/* Owned text, to be wiped. What went wrong (there is no terminal, ...) is part of an error.
	 */
	int (*ask)(void *cookie, const char *identity_file, char **ret, struct kc_err *err);
	/* What came of it; when it was wrong: whether to ask once more. */
	bool (*verdict)(void *cookie, const char *identity_file, bool good);
};

struct kc_ssh_target {
	const char *host; /* name or address */
	int port;	  /* 0: 22 */
	const char *user; /* NULL: root */
	/* A private key file; NULL: the agent's keys, then ~/.ssh/id_ed25519 and id_ecdsa. */
	const char *identity_file;
	bool no_agent;		 /* never ask ssh-agent */
	const char *host_key;	 /* "ssh-ed25519 AAAA…": exactly this key; NULL: known_hosts */
	bool openssh;		 /* by the program ssh and its configuration, not by libssh2 */
	const char *known_hosts; /* NULL: ~/.ssh/known_hosts */
	bool accept_new;	 /* pin an unknown host's key in known_hosts */
	long connect_timeout_ms; /* TCP, key exchange and login; 0: 10 s */
	long keepalive_s;	 /* 0: 15; a host silent for four of them is gone */
	const struct kc_ssh_target *bastion;  /* reach host through this one; or NULL */
	const struct kc_ssh_phrases *phrases; /* for encrypted keys; or NULL */
	void *phrases_cookie;
	bool (*canceled)(void *cookie); /* optional */
	void *cookie;
};

int kc_ssh_open(const struct kc_ssh_target *target, struct kc_ssh **ret, struct kc_err *err);
void kc_ssh_close(struct kc_ssh *s);
KC_DEFINE_CLEANUP(struct kc_ssh *, kc_ssh_close)
#define _cleanup_ssh_ _cleanup_(kc_ssh_closep)

/* "user@host" for messages; borrowed. */
const char *kc_ssh_name(const struct kc_ssh *s);
/* The host's key as known_hosts writes it, "ssh-ed25519 AAAA…", for the record; borrowed. */
const char *kc_ssh_host_key(const struct kc_ssh *s);

struct kc_ssh_exec {
	const char *command;
	const void *input; /* standard input, when feed is NULL; NULL: empty */
	size_t input_len;
	/* The next bytes of standard input: how many (at most size, at least 64K), 0 at the end,
	 * KC_E* to give up. Blocking here blocks the session. */
	ssize_t (*feed)(void *cookie, void *buf, size_t size, struct kc_err *err);
	/* Some bytes of standard output; KC_E* to give up. NULL: dropped. */
	int (*out)(void *cookie, const char *data, size_t len, struct kc_err *err);
	bool (*canceled)(void *cookie); /* asked at least each 200 ms; optional */
	void *cookie;
	long idle_ms;  /* no byte either way for so long is KC_ETIMEOUT; 0: two minutes */
	long total_ms; /* 0: no limit */
};

/*
 * Run a command. When ret_exit is NULL, exit 0 is success and anything else is
 * KC_EFAIL with the last line of standard error; otherwise any exit is success
 * and *ret_exit tells it (128 + n for signal n). After an error other than a
 * non-zero exit the session is of no more use: close it.
 */
int kc_ssh_exec(struct kc_ssh *s, const struct kc_ssh_exec *exec, int *ret_exit,
		struct kc_err *err);
/* The same for a short dialogue: exit 0, at most 16 MB of output as text (ret_out may be NULL). */
int kc_ssh_run(struct kc_ssh *s, const char *command, char **ret_out, struct kc_err *err);
/*
 * Start a command that stays for as long as the connection does and then sees
 * the end of its input, however the connection ended: the place to tidy up. It
 * must ignore SIGPIPE and SIGHUP, or a client that dies early kills it first.
 * ret_out: its output until the line with mark in it. At most KC_SSH_HOLDS a session.
 */
enum { KC_SSH_HOLDS = 2 };
int kc_ssh_hold(struct kc_ssh *s, const char *command, const char *mark, char **ret_out,
		struct kc_err *err);
/* What the last command wrote to standard error (at most its last 64K); borrowed. */
const char *kc_ssh_stderr(const struct kc_ssh *s);

/* Upload a local file: written beside remote with its mode, then renamed over it. */
int kc_ssh_put(struct kc_ssh *s, const char *local, const char *remote, mode_t mode,
	       struct kc_err *err);
/* The same of a local file.gz: what the host's gzip makes of it, if it has this hash (in hex). */
int kc_ssh_put_gzip(struct kc_ssh *s, const char *local, const char *sha256, const char *remote,
		    mode_t mode, struct kc_err *err);

/*
 * The words of a command line of the program ssh, for a person: it logs in where kc_ssh_open()
 * does, with the same key and the same check of the host's, and runs command (its words,
 * NULL-ended; none: a shell). tty: a terminal for command, too. Strings; new reference.
 */
int kc_ssh_command(const struct kc_ssh_target *t, bool tty, char *const *command, json_t **ret,
		   struct kc_err *err);

/* One word for sh, csh and fish alike. Owned. */
char *kc_ssh_quote(const char *word);

#endif
