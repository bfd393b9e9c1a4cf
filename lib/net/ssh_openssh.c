/*
 * The transport openssh: the program ssh, with everything that its configuration says.
 *
 * One process is the connection (a control master); it runs `cat` there, whose input is a pipe of
 * ours: however we end, so does that, and with it the connection. Commands, and sockets that are
 * forwarded, are sessions through its control socket, in a private directory.
 *
 * BatchMode, always: many hosts log in at the same time, and ssh would ask for each by itself.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/net/ssh_child.h"
#include "lib/net/ssh_impl.h"

/* LOSS_MS: a connection that breaks is seen by its sessions before its own process ends. */
enum { ARGS_MAX = 40, LOSS_MS = 500 };
#define MARK "KUBECDN-CONNECTED"

struct openssh {
	char *dir, *config, *control; /* paths */
	char *host;
	struct ssh_child master, held[KC_SSH_HOLDS];
	char *forwarded; /* "host:port" that dir/forward leads to; or NULL */
};

/* Words of a command line; what is formatted is freed with it. */
struct args {
	const char *v[ARGS_MAX];
	char *owned[ARGS_MAX];
	size_t n, n_owned;
};

static void args_done(struct args *a)
{
	while (a->n_owned)
		free(a->owned[--a->n_owned]);
}

static void add(struct args *a, const char *word)
{
	if (a->n + 1 < ARGS_MAX)
		a->v[a->n++] = word;
}

/* Takes text. */
static void add_option(struct args *a, char *text)
{
	add(a, "-o");
	add(a, text);
	if (a->n_owned < ARGS_MAX)
		a->owned[a->n_owned++] = text;
	else
		free(text);
}

static void add_common(struct args *a, const struct openssh *o)
{
	add(a, "ssh");
	add(a, "-F");
	add(a, o->config);
	add(a, "-S");
	add(a, o->control);
}

char *ssh_user_config(void)
{
	struct passwd pw, *found = NULL;
	char buf[1024];

	getpwuid_r(getuid(), &pw, buf, sizeof(buf), &found);
	return xasprintf("%s/.ssh/config", found ? found->pw_dir : "~");
}

/*
 * First what must hold whatever the user's files say, also for a jump host; then those files; and
 * last what holds unless they say something else. ssh takes the first value it finds.
 */
static int write_config(struct openssh *o, const struct kc_ssh_target *t, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL, *known = NULL, *own = ssh_user_config();
	const char *identity = t->identity_file;

	text = xasprintf("BatchMode yes\nStrictHostKeyChecking %s\nServerAliveInterval %ld\n"
			 "ServerAliveCountMax 4\nControlPersist no\nForwardAgent no\n"
			 "ForwardX11 no\nRequestTTY no\nRemoteCommand none\nClearAllForwardings "
			 "no\n"
			 "LogLevel ERROR\n%s%s%s%s"
			 "Include \"%s\"\nInclude /etc/ssh/ssh_config\nMatch all\n"
			 "User root\nPort 22\n",
			 t->accept_new ? "accept-new" : "yes", t->keepalive_s ? t->keepalive_s : 15,
			 identity ? "IdentityFile \"" : "", identity ? identity : "",
			 identity ? "\"\nIdentitiesOnly yes\n" : "",
			 t->no_agent ? "IdentityAgent none\n" : "", own);
	o->config = xasprintf("%s/config", o->dir);
	if (t->host_key) {
		_cleanup_free_ char *path = xasprintf("%s/known_hosts", o->dir);
		int r;

		known = xasprintf("kubecdn-host %s\n", t->host_key);
		r = kc_file_write(path, known, strlen(known), 0600, err);
		if (r < 0)
			return r;
	}
	return kc_file_write(o->config, text, strlen(text), 0600, err);
}

static void add_target(struct args *a, const struct openssh *o, const struct kc_ssh_target *t)
{
	if (t->host_key) {
		add_option(a, xstrdup("HostKeyAlias=kubecdn-host"));
		add_option(a, xasprintf("UserKnownHostsFile=%s/known_hosts", o->dir));
		add_option(a, xstrdup("GlobalKnownHostsFile=/dev/null"));
		add_option(a, xstrdup("StrictHostKeyChecking=yes"));
	} else if (t->known_hosts) {
		add_option(a, xasprintf("UserKnownHostsFile=%s", t->known_hosts));
	}
	/* The manifest's defaults are what ssh_config may say otherwise. */
	if (t->user && !streq(t->user, "root"))
		add_option(a, xasprintf("User=%s", t->user));
	if (t->port && t->port != 22)
		add_option(a, xasprintf("Port=%d", t->port));
	if (t->bastion)
		add_option(a,
			   xasprintf("ProxyJump=%s@%s:%d",
				     t->bastion->user ? t->bastion->user : "root", t->bastion->host,
				     t->bastion->port ? t->bastion->port : 22));
	add_option(a,
		   xasprintf("ConnectTimeout=%ld",
			     (t->connect_timeout_ms ? t->connect_timeout_ms : 10000) / 1000 + 1));
}

static int make_dir(struct openssh *o, struct kc_err *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	_cleanup_free_ char *dir =
		xasprintf("%s/kubecdn-ssh-XXXXXX", runtime && *runtime == '/' ? runtime : "/tmp");

	if (!mkdtemp(dir))
		return kc_fail_errno(err, errno, "%s", dir);
	o->dir = TAKE(dir);
	/* ssh adds 17 letters while it makes it; a socket's path has at most 107. */
	o->control = xasprintf("%s/c", o->dir);
	return 0;
}

/* ssh says what went wrong on standard error, in its last line. */
static int not_connected(struct kc_ssh *s, const struct kc_err *why, struct kc_err *err)
{
	static const struct {
		const char *word;
		int code;
		const char *hint;
	} known[] = {
		{ "Host key verification failed", KC_EAUTH,
		  "; compare its fingerprint and connect once by hand, or use "
		  "--accept-new-host-keys for a host that is new" },
		{ "Permission denied", KC_EAUTH,
		  "; put the key into authorized_keys there, load it into ssh-agent if it is "
		  "encrypted, or name another one" },
		{ "Could not resolve", KC_EINVAL, "" },
		{ "Bad configuration option", KC_EINVAL, "" },
	};
	_cleanup_free_ char *line = ssh_last_line(&s->errs);
	const char *said;

	if (why->code != KC_EFAIL)
		return kc_fail(err, why->code == KC_ETIMEOUT ? KC_EAGAIN : why->code, "%s: ssh: %s",
			       s->name, why->msg);
	said = kc_startswith(line, "ssh: ") ? line + strlen("ssh: ") : line;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strstr(kc_buf_get(&s->errs), known[i].word))
			return kc_fail(err, known[i].code, "%s: ssh: %s%s", s->name, said,
				       known[i].hint);
	return kc_fail(err, KC_EAGAIN, "%s: ssh: %s", s->name, *said ? said : "it ended");
}

static int connect_master(struct kc_ssh *s, const struct kc_ssh_target *t, struct kc_err *err)
{
	struct openssh *o = s->openssh;
	int64_t deadline =
		kc_now_ms() + (t->connect_timeout_ms ? t->connect_timeout_ms : 10000) + 2000;
	_cleanup_(args_done) struct args a = { 0 };
	_cleanup_buf_ struct kc_buf out = { .max = 1 << 20 };
	struct kc_err why;
	int r;

	add_common(&a, o);
	add(&a, "-M");
	add_target(&a, o, t);
	add(&a, "--");
	add(&a, o->host);
	add(&a, "sh -c 'echo " MARK "; cat >/dev/null'");
	r = ssh_child_start(&o->master, a.v, err);
	if (r < 0)
		return kc_wrap(err, "%s", s->name);
	r = ssh_child_until(&o->master, MARK, &out, &s->errs, deadline, t->canceled, t->cookie,
			    &why);
	return r < 0 ? not_connected(s, &why, err) : 0;
}

int ssh_openssh_open(struct kc_ssh *s, const struct kc_ssh_target *t, struct kc_err *err)
{
	struct openssh *o = xcalloc(1, sizeof(*o));
	int r;

	s->openssh = o;
	o->host = xstrdup(t->host);
	s->host_key = xstrdup(t->host_key ? t->host_key : "");
	r = make_dir(o, err);
	if (r == 0)
		r = write_config(o, t, err);
	if (r == 0)
		r = connect_master(s, t, err);
	if (r == 0)
		kc_debug("ssh", "%s: open, by the program ssh", s->name);
	return r;
}

bool ssh_openssh_alive(struct kc_ssh *s)
{
	return ssh_child_alive(&s->openssh->master);
}

/* A session through the master. Without it, ssh would connect anew by itself. */
static int start_session(struct kc_ssh *s, const char *command, struct ssh_child *c,
			 struct kc_err *err)
{
	_cleanup_(args_done) struct args a = { 0 };

	if (!ssh_openssh_alive(s))
		return kc_fail(err, KC_EAGAIN, "%s: the connection is lost", s->name);
	add_common(&a, s->openssh);
	add(&a, "--");
	add(&a, s->openssh->host);
	add(&a, command);
	return ssh_child_start(c, a.v, err);
}

int ssh_openssh_exec(struct kc_ssh *s, const struct kc_ssh_exec *x, int *ret_code,
		     struct kc_err *err)
{
	struct ssh_child c;
	int status = 0, r = start_session(s, x->command, &c, err);

	if (r == 0)
		r = ssh_child_talk(&c, x, &s->errs, s->name, &status, err);
	if (r < 0)
		return r;
	*ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	/* 255 is ssh's own, or the command's, or that of a signal there. */
	for (int64_t end = kc_now_ms() + LOSS_MS; *ret_code == 255 && kc_now_ms() < end;) {
		if (!ssh_openssh_alive(s))
			return kc_fail(err, KC_EAGAIN, "%s: the connection was lost", s->name);
		kc_sleep_ms(10);
	}
	return 0;
}

int ssh_openssh_hold(struct kc_ssh *s, const char *command, const char *mark, struct kc_buf *out,
		     struct kc_err *err)
{
	struct ssh_child *held = &s->openssh->held[s->holds];
	struct kc_err why;
	int r = start_session(s, command, held, err);

	if (r < 0)
		return r;
	r = ssh_child_until(held, mark, out, &s->errs, kc_now_ms() + 30000, s->canceled, s->cookie,
			    &why);
	if (r < 0)
		ssh_child_end(held, 0);
	return r < 0 ? kc_fail(err, r, "%s: the command: %s", s->name, why.msg) : 0;
}

/* dir/forward leads to host:port, from there. */
static int set_forward(struct kc_ssh *s, const char *host, int port, const char *path,
		       struct kc_err *err)
{
	struct openssh *o = s->openssh;
	_cleanup_free_ char *to = xasprintf("%s:%d", host, port), *spec = NULL;
	int r;

	if (o->forwarded && streq(o->forwarded, to))
		return 0;
	unlink(path);
	spec = xasprintf("%s:%s", path, to);
	r = kc_runl(NULL, err, "ssh", "-F", o->config, "-S", o->control, "-O", "forward", "-L",
		    spec, o->host, NULL);
	if (r < 0)
		return kc_wrap(err, "%s: forwarding", s->name);
	free(o->forwarded);
	o->forwarded = TAKE(to);
	return 0;
}

int ssh_openssh_dial(struct kc_ssh *s, const char *host, int port, int *ret_fd, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/forward", s->openssh->dir);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = set_forward(s, host, port, path, err);

	if (r < 0)
		return err->code = KC_EAGAIN;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return kc_fail_errno(err, errno, "%s", path);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

void ssh_openssh_close(struct kc_ssh *s)
{
	struct openssh *o = TAKE(s->openssh);

	if (!o)
		return;
	for (int i = s->holds; i > 0; i--)
		ssh_child_end(&o->held[i - 1], 2000);
	if (o->master.pid)
		ssh_child_end(&o->master, 1000);
	if (o->dir)
		kc_rm_rf(o->dir, NULL);
	free(o->dir);
	free(o->config);
	free(o->control);
	free(o->host);
	free(o->forwarded);
	free(o);
}
