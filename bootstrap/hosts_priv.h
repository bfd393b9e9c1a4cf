/* Between hosts.c (the kind), host_session.c (SSH and the agent) and host_certs.c (signing). */
#ifndef KC_BOOTSTRAP_HOSTS_PRIV_H
#define KC_BOOTSTRAP_HOSTS_PRIV_H

#include "bootstrap/hosts.h"
#include "lib/net/ssh.h"

struct kc_host {
	struct kc_hosts *hosts;
	char *task; /* id of its task */
	struct kc_ssh *ssh;
	char *tmp;   /* directory of an uploaded agent, or NULL: the installed one is the same */
	char *agent; /* command prefix: "sudo -n /opt/kubecdn/bin/kubecdn-node" */
	struct kc_host *next;
};

/* The host of a task that a session is open to, or NULL. */
struct kc_host *host_find(struct kc_hosts *h, const char *task);
/* The open session of a task's host; ssh is want.ssh or the recorded one. */
int host_open(struct kc_hosts *h, const struct kc_task *task, const json_t *ssh,
	      struct kc_host **ret, struct kc_err *err);
/* Does the program ssh connect to it? */
bool host_by_openssh(const json_t *ssh);
/* Where ssh (of a record or a manifest) leads; bastion is set if via is. Borrows from ssh. */
struct host_login {
	struct kc_ssh_target target, bastion;
	char *identity, *via;
};
int host_login(const json_t *ssh, struct host_login *ret, struct kc_err *err);
void host_login_done(struct host_login *l);
/* Log in, nothing more; hop: to the bastion of the host instead (KC_ENOTFOUND: it has none). */
int host_connect(struct kc_hosts *h, const json_t *ssh, bool hop, struct kc_ssh **ret,
		 struct kc_err *err);
/* host_blobs.c: no host is asked for blobs any more */
void host_seeds_free(struct kc_hosts *h);
/* It is closed: nobody may ask it any more. */
void host_seed_gone(struct kc_hosts *h, const struct kc_host *host);
/* host_route.c */
void host_routes_free(struct kc_route *list);
/* Drop a session that an error made useless. */
void host_forget(struct kc_hosts *h, struct kc_host *host);
void host_close(struct kc_host *host);

/* A word that nobody can know, for the line of an answer that counts. Owned. */
char *host_mark(void);
/* The words behind the mark in what was printed. Owned, or NULL. */
char *host_words(const char *out, const char *mark);
/* sh runs script with more words; name is its $0. Owned. */
char *host_sh_command(const char *script, const char *name, const char *words);
/* Tell kc_hosts.step; r: what came of it. */
void host_tell(const struct kc_hosts *h, const char *task, const char *what, int64_t since_ms,
	       int r);
/* The agent's verb ended with an exit code: its last line is why. */
int host_last_words(struct kc_host *host, const char *verb, int code, struct kc_err *err);

/* Run one verb of the agent with an envelope; its JSON answer. */
int host_call(struct kc_host *host, const struct kc_task *task, const char *verb,
	      const json_t *envelope, json_t **ret, struct kc_err *err);
/* apply and reset: events go to the task's progress as they come. */
int host_converge(struct kc_host *host, const struct kc_task *task, const char *verb,
		  const json_t *envelope, struct kc_err *err);
/* The blobs (SHA-256 of compressed bytes) that the agent lacks, from other hosts or from here. */
int host_bring_blobs(struct kc_hosts *h, struct kc_host *host, const struct kc_task *task,
		     const json_t *blobs, struct kc_err *err);

/* Sign what the agent asks for, checked against the spec and the inventory. {task id: PEM} */
int host_sign(struct kc_hosts *h, const json_t *spec, const json_t *node, const json_t *csrs,
	      json_t **ret_certs, struct kc_err *err);

#endif
