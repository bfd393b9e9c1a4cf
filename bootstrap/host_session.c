/* One host over SSH: log in, see that the right agent is there, talk to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bootstrap/agent_lines.h"
#include "bootstrap/hosts_priv.h"
#include "bootstrap/node/protocol.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

/* Who are we there, may we become root, which agent is installed, and can it unpack one. */
static const char probe_script[] =
	"u=$(id -u); s=no; [ \"$u\" = 0 ] && s=root; "
	"[ $s = no ] && sudo -n true >/dev/null 2>&1 && s=sudo; "
	"h=$(sha256sum " KC_NODE_AGENT " 2>/dev/null | cut -d\" \" -f1); "
	"g=-; command -v gzip >/dev/null 2>&1 && g=gzip; "
	"echo \"$0 $s ${h:--} $g\"";

/*
 * A private directory that programs may be run from. It lives as long as the
 * connection: when that ends, also because we were killed, so does our input.
 */
static const char tmp_script[] = "umask 077; trap \"\" HUP PIPE; "
				 "for d in /dev/shm /var/tmp \"$HOME\"; do "
				 "t=$(mktemp -d \"$d/.kubecdn.XXXXXX\" 2>/dev/null) || continue; "
				 "echo exit 0 >\"$t/x\"; chmod 700 \"$t/x\"; "
				 "if sh -c \"exec $t/x\" >/dev/null 2>&1; then rm -f \"$t/x\"; "
				 "echo \"$0 $t\"; cat >/dev/null; "
				 "rm -rf \"$t\" || { sleep 1; rm -rf \"$t\"; }; exit 0; fi; "
				 "rm -rf \"$t\"; done; exit 1";

/*
 * A login shell may print whatever it likes before our command runs: what counts begins with a
 * word that nobody can know. Owned.
 */
char *host_mark(void)
{
	unsigned char bytes[8];
	char hex[17];

	kc_random(bytes, sizeof(bytes));
	kc_hex(bytes, sizeof(bytes), hex);
	return xasprintf("KUBECDN-%s", hex);
}

/* sh runs script with more words; name is its $0. Owned. */
char *host_sh_command(const char *script, const char *name, const char *words)
{
	_cleanup_free_ char *quoted = kc_ssh_quote(script);

	return xasprintf("sh -c %s %s%s%s", quoted, name, *words ? " " : "", words);
}

/* The words behind the mark. Owned, or NULL. */
char *host_words(const char *out, const char *mark)
{
	const char *line = strstr(out, mark);

	line = line ? line + strlen(mark) : NULL;
	return line && *line == ' ' ? xstrndup(line + 1, strcspn(line + 1, "\r\n")) : NULL;
}

static int run_script(struct kc_ssh *ssh, const char *script, char **ret_words, struct kc_err *err)
{
	_cleanup_free_ char *mark = host_mark(), *command = host_sh_command(script, mark, ""),
			    *out = NULL;
	int r;

	r = kc_ssh_run(ssh, command, &out, err);
	if (r < 0)
		return r;
	*ret_words = host_words(out, mark);
	return *ret_words
		       ? 0
		       : kc_fail(err, KC_EFAIL, "%s: the login shell does not run sh -c commands",
				 kc_ssh_name(ssh));
}

static int make_tmp(struct kc_ssh *ssh, char **ret_dir, struct kc_err *err)
{
	_cleanup_free_ char *mark = host_mark(), *out = NULL;
	_cleanup_free_ char *command = host_sh_command(tmp_script, mark, "");
	int r = kc_ssh_hold(ssh, command, mark, &out, err);

	if (r == 0)
		*ret_dir = host_words(out, mark);
	return r < 0 || *ret_dir ? r : kc_fail(err, KC_EFAIL, "an odd answer");
}

static int upload_agent(struct kc_hosts *h, struct kc_host *host, bool gzip, struct kc_err *err)
{
	_cleanup_free_ char *dir = NULL, *remote = NULL;
	int r;

	gzip = gzip && h->agent_gzip;
	r = make_tmp(host->ssh, &dir, err);
	if (r < 0)
		return kc_wrap(err,
			       "%s: no directory to run the agent from (/dev/shm, /var/tmp and the "
			       "home directory are read-only or noexec)",
			       kc_ssh_name(host->ssh));
	remote = xasprintf("%s/kubecdn-node", dir);
	host->tmp = TAKE(dir);
	if (gzip)
		r = kc_ssh_put_gzip(host->ssh, h->agent_gzip, h->agent_sha256, remote, 0700, err);
	/* The cache may be damaged, or what the host calls gzip. */
	if (!gzip || r == KC_EFAIL)
		r = kc_ssh_put(host->ssh, h->agent, remote, 0700, err);
	return r < 0 ? kc_wrap(err, "uploading the node agent") : 0;
}

static int find_agent(struct kc_hosts *h, struct kc_host *host, struct kc_err *err)
{
	_cleanup_free_ char *words = NULL;
	char how[16] = "", sha[80] = "", unpack[8] = "";
	int r;

	r = run_script(host->ssh, probe_script, &words, err);
	if (r < 0)
		return r;
	if (sscanf(words, "%15s %79s %7s", how, sha, unpack) != 3)
		return kc_fail(err, KC_EFAIL, "%s: odd answer \"%s\"", kc_ssh_name(host->ssh),
			       words);
	if (streq(how, "no"))
		return kc_fail(err, KC_EAUTH,
			       "%s: not root, and sudo needs a password or is not there; log in as "
			       "root or allow passwordless sudo for this user",
			       kc_ssh_name(host->ssh));
	if (!streq(sha, h->agent_sha256)) {
		r = upload_agent(h, host, streq(unpack, "gzip"), err);
		if (r < 0)
			return r;
	}
	free(host->agent);
	host->agent = xasprintf("%s%s%s", streq(how, "sudo") ? "sudo -n " : "",
				host->tmp ? host->tmp : KC_NODE_BIN, "/kubecdn-node");
	return 0;
}

/* Asked by the session for as long as it lives, so it must not look at a task. */
static bool host_canceled(void *cookie)
{
	const struct kc_hosts *h = cookie;

	return h->cancel && atomic_load(h->cancel) && !h->closing;
}

/* "user@host:port" in parts of text, which is changed and must outlive target. */
static void parse_bastion(char *text, struct kc_ssh_target *target)
{
	char *at = strrchr(text, '@'), *host = at ? at + 1 : text, *colon = strrchr(host, ':');

	if (at)
		*at = '\0';
	if (colon)
		*colon = '\0';
	target->user = at ? text : "root";
	target->host = host;
	target->port = colon ? atoi(colon + 1) : 22;
}

bool host_by_openssh(const json_t *ssh)
{
	return streq(kc_json_get_str(ssh, "transport", ""), "openssh");
}

int host_login(const json_t *ssh, struct host_login *ret, struct kc_err *err)
{
	const char *file = kc_json_get_str(ssh, "identityFile", ""),
		   *key = kc_json_get_str(ssh, "hostKey", ""),
		   *via = kc_json_get_str(ssh, "bastion", "");

	*ret = (struct host_login){
		.target = {
			.host = kc_json_get_str(ssh, "host", NULL),
			.port = (int)kc_json_get_int(ssh, "port", 22),
			.user = kc_json_get_str(ssh, "user", "root"),
			.host_key = *key ? key : NULL,
			.openssh = host_by_openssh(ssh),
		},
	};
	if (!ret->target.host || !*ret->target.host)
		return kc_fail(err, KC_EINVAL, "no address to reach the host at");
	if (*file)
		ret->target.identity_file = ret->identity = kc_expand_home(file);
	if (*via) {
		ret->bastion = ret->target;
		ret->bastion.host_key = NULL; /* that is the host's; known_hosts has this one */
		parse_bastion(ret->via = xstrdup(via), &ret->bastion);
	}
	return 0;
}

void host_login_done(struct host_login *l)
{
	free(l->identity);
	free(l->via);
}

static void attend(struct kc_ssh_target *t, struct kc_hosts *h)
{
	t->accept_new = h->accept_new_host_keys;
	t->phrases = h->phrases;
	t->phrases_cookie = h->phrases_cookie;
	t->canceled = host_canceled;
	t->cookie = h;
}

int host_connect(struct kc_hosts *h, const json_t *ssh, bool hop, struct kc_ssh **ret,
		 struct kc_err *err)
{
	_cleanup_(host_login_done) struct host_login l = { 0 };
	int r = host_login(ssh, &l, err);

	if (r < 0)
		return r;
	if (hop && !l.via)
		return kc_fail(err, KC_ENOTFOUND, "%s has no bastion", l.target.host);
	attend(&l.target, h);
	attend(&l.bastion, h);
	if (l.via)
		l.target.bastion = &l.bastion;
	return kc_ssh_open(hop ? &l.bastion : &l.target, ret, err);
}

struct kc_host *host_find(struct kc_hosts *h, const char *task)
{
	struct kc_host *host;

	pthread_mutex_lock(&h->lock);
	for (host = h->list; host && !streq(host->task, task); host = host->next)
		;
	pthread_mutex_unlock(&h->lock);
	return host;
}

void host_tell(const struct kc_hosts *h, const char *task, const char *what, int64_t since_ms,
	       int r)
{
	if (h->step)
		h->step(h->step_cookie, task, what, since_ms, r == 0);
}

int host_open(struct kc_hosts *h, const struct kc_task *task, const json_t *ssh,
	      struct kc_host **ret, struct kc_err *err)
{
	struct kc_host *host = host_find(h, task->id);
	int64_t since = kc_now_ms();
	int r;

	if (host) {
		*ret = host;
		return 0;
	}
	host = xcalloc(1, sizeof(*host));
	host->hosts = h;
	r = host_connect(h, ssh, false, &host->ssh, err);
	host_tell(h, task->id, "connect", since, r);
	since = kc_now_ms();
	if (r == 0) {
		r = find_agent(h, host, err);
		host_tell(h, task->id, host->tmp ? "upload the agent" : "find the agent", since, r);
	}
	if (r < 0) {
		host_close(host);
		return r;
	}
	host->task = xstrdup(task->id);
	pthread_mutex_lock(&h->lock);
	host->next = h->list;
	h->list = host;
	pthread_mutex_unlock(&h->lock);
	*ret = host;
	return 0;
}

void host_close(struct kc_host *host)
{
	kc_ssh_close(host->ssh);
	free(host->task);
	free(host->tmp);
	free(host->agent);
	free(host);
}

void host_forget(struct kc_hosts *h, struct kc_host *host)
{
	pthread_mutex_lock(&h->lock);
	for (struct kc_host **p = &h->list; *p; p = &(*p)->next)
		if (*p == host) {
			*p = host->next;
			break;
		}
	pthread_mutex_unlock(&h->lock);
	host_seed_gone(h, host);
	host_close(host);
}

int host_last_words(struct kc_host *host, const char *verb, int code, struct kc_err *err)
{
	_cleanup_free_ char *text = xstrdup(kc_ssh_stderr(host->ssh));
	char *nl;
	size_t n = strlen(text);

	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		text[--n] = '\0';
	nl = strrchr(text, '\n');
	return kc_fail(err,
		       code == KC_NODE_EXIT_FENCED || code == KC_NODE_EXIT_FOREIGN ? KC_ECONFLICT
										   : KC_EFAIL,
		       "%s: the agent's %s ended with exit code %d%s%s", kc_ssh_name(host->ssh),
		       verb, code, *text ? ": " : "", nl ? nl + 1 : text);
}

/* plan and apply may work in silence for minutes; who only looks does not wait for a host that
 * hangs. */
static long total_ms(const char *verb)
{
	return streq(verb, "probe") || streq(verb, "reach") || streq(verb, "doctor") ? 10000 : 0;
}

/* silent: it failed, and with no word that is the agent's. */
static int run_agent(struct kc_host *host, struct kc_agent_lines *l, const char *verb,
		     const json_t *envelope, bool *ret_silent, struct kc_err *err)
{
	_cleanup_free_ char *mark = host_mark(),
			    *words = xasprintf("%s %s %s", mark, host->agent, verb),
			    *command = host_sh_command("echo \"$1\"; shift; exec \"$@\"",
						       "kubecdn-node", words);
	_cleanup_wiped_ char *input = kc_json_text(envelope);
	int code = 0, r;
	struct kc_ssh_exec exec = {
		.command = command,
		.input = input,
		.input_len = strlen(input),
		.out = kc_agent_lines_add,
		.cookie = l,
		.idle_ms = 300000,
		.total_ms = total_ms(verb),
	};

	l->mark = mark;
	r = kc_ssh_exec(host->ssh, &exec, &code, err);
	l->mark = NULL;
	*ret_silent = code && !l->failed;
	if (r < 0)
		return r;
	if (l->failed) {
		*err = l->error;
		return kc_wrap(err, "%s", kc_ssh_name(host->ssh));
	}
	return code ? host_last_words(host, verb, code, err) : 0;
}

/* plan and facts say who answers. */
static int check_agent(struct kc_host *host, const json_t *answer, struct kc_err *err)
{
	const json_t *agent = json_object_get(answer, "agent");
	int64_t protocol = kc_json_get_int(agent, "protocol", 0);

	if (!agent || protocol == KC_NODE_PROTOCOL)
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "%s: the agent that was brought (kubecdn-node %s) speaks protocol %lld, "
		       "this "
		       "kubecdn speaks %d; install both from one release",
		       kc_ssh_name(host->ssh), kc_json_get_str(agent, "version", "?"),
		       (long long)protocol, KC_NODE_PROTOCOL);
}

/*
 * The reset of a run that was killed goes on without it, and in the end takes away the installed
 * agent, which we found when we connected. Then ours is brought.
 */
static bool brought_anew(struct kc_host *host)
{
	return !host->tmp && find_agent(host->hosts, host, NULL) == 0 && host->tmp;
}

int host_call(struct kc_host *host, const struct kc_task *task, const char *verb,
	      const json_t *envelope, json_t **ret, struct kc_err *err)
{
	struct kc_agent_lines l = { .task = task };
	_cleanup_free_ char *what = xasprintf("agent: %s", verb);
	int64_t since = kc_now_ms();
	bool silent = false;
	int r = run_agent(host, &l, verb, envelope, &silent, err);

	if (r < 0 && silent && brought_anew(host)) {
		kc_buf_done(&l.buf);
		r = run_agent(host, &l, verb, envelope, &silent, err);
	}
	kc_buf_done(&l.buf);
	if (r == 0 && !l.last)
		r = kc_fail(err, KC_EFAIL, "%s: the agent's %s gave no answer",
			    kc_ssh_name(host->ssh), verb);
	if (r == 0)
		r = check_agent(host, l.last, err);
	if (!streq(verb, "probe")) /* asked again and again */
		host_tell(host->hosts, task->id, what, since, r);
	if (r == 0)
		*ret = TAKE(l.last);
	json_decref(l.last);
	return r;
}

int host_converge(struct kc_host *host, const struct kc_task *task, const char *verb,
		  const json_t *envelope, struct kc_err *err)
{
	json_auto_t *result = NULL;

	return host_call(host, task, verb, envelope, &result, err);
}
