/* doctor: is this machine fit to run kubecdn, and are the hosts of a manifest within reach? */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "bootstrap/bundle/bundle.h"
#include "cli/doctor.h"
#include "cli/verb.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/store/store.h"

enum { CACHE_MIB = 2048 };

static const struct kc_opt doctor_opts[] = {
	{ "file", 'f', KC_OPT_STRING, .meta = "FILE",
	  .doc = "Also log in to the hosts of this Cluster manifest, and out again" },
	{ NULL },
};

static const struct kc_opt *const doctor_lists[] = { doctor_opts, kc_cli_output, NULL };

void kc_doctor_say(json_t *checks, const char *id, const char *level, const char *fix,
		   const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(checks, kc_pack("{s:s, s:s, s:s, s:s}", "id", id, "level", level,
					      "text", text, "fix", fix ? fix : ""));
}

static void look_at_agent(json_t *checks, const char *self_dir)
{
	_cleanup_free_ char *path = kc_agent_path(self_dir);

	if (path)
		kc_doctor_say(checks, "program", "ok", NULL,
			      "kubecdn " KC_VERSION ", with its agent");
	else
		kc_doctor_say(checks, "program", "bad", "install kubecdn-node beside kubecdn",
			      "no kubecdn-node beside the program in %s", self_dir);
}

static void look_at_state(json_t *checks, const char *url)
{
	_cleanup_store_ struct kc_store *store = NULL;
	json_auto_t *keys = NULL;
	const char *dir = kc_startswith(url, "dir://") ? url + strlen("dir://") : url;
	struct kc_err err;
	int r = kc_store_open(url, &store, &err);

	if (r == 0)
		r = kc_store_list(store, "clusters/", &keys, &err);
	if (r < 0)
		kc_doctor_say(checks, "state", "bad", "name another with --state or KUBECDN_STATE",
			      "%s", err.msg);
	else if (kc_exists(dir) && access(dir, W_OK) < 0)
		kc_doctor_say(checks, "state", "bad", "name another with --state or KUBECDN_STATE",
			      "%s cannot be written: %s", dir, strerror(errno));
	else
		kc_doctor_say(checks, "state", "ok", NULL, "%s", url);
}

/* The directory, or what it would be made in. */
static void look_at_cache(json_t *checks)
{
	_cleanup_free_ char *dir = kc_cache_dir(), *at = xstrdup(dir);
	struct statvfs v;
	long mib;

	while (strlen(at) > 1 && !kc_exists(at))
		*strrchr(at, '/') = '\0';
	if (statvfs(*at ? at : "/", &v) < 0 || access(*at ? at : "/", W_OK) < 0) {
		kc_doctor_say(checks, "cache", "bad", "set XDG_CACHE_HOME to another place",
			      "%s: %s", at, strerror(errno));
		return;
	}
	mib = (long)(v.f_bavail * v.f_frsize >> 20);
	if (mib < CACHE_MIB)
		kc_doctor_say(checks, "cache", "bad",
			      "free some space, or set XDG_CACHE_HOME to another place",
			      "%s has %ld MiB left; building a bundle takes %d", dir, mib,
			      CACHE_MIB);
	else
		kc_doctor_say(checks, "cache", "ok", NULL, "%s, %ld MiB free", dir, mib);
}

static void look_at_bundles(json_t *checks)
{
	json_auto_t *list = NULL;
	const json_t *b;
	struct kc_err err;
	bool any = false;
	size_t i;

	if (kc_bundle_list(&list, &err) < 0) {
		kc_doctor_say(checks, "bundle", "bad", NULL, "%s", err.msg);
		return;
	}
	json_array_foreach(json_object_get(list, "bundles"), i, b) {
		const char *error = kc_json_get_str(b, "error", NULL);

		any = true;
		if (error)
			kc_doctor_say(checks, "bundle", "bad", "kubecdn bundle build makes it anew",
				      "%s", error);
		else
			kc_doctor_say(checks, "bundle", "ok", NULL, "Kubernetes %s for %s in %s",
				      kc_json_get_str(b, "kubernetes", "?"),
				      kc_json_get_str(b, "arch", "?"),
				      kc_json_get_str(b, "dir", "?"));
	}
	if (!any)
		kc_doctor_say(checks, "bundle", "note", "kubecdn bundle build --from gomod",
			      "no bundle is here; clusters are made of one");
}

static void look_at_clock(json_t *checks)
{
	struct timex t = { 0 };

	if (adjtimex(&t) < 0 || (t.status & STA_UNSYNC))
		kc_doctor_say(checks, "clock", "note",
			      "run chrony or systemd-timesyncd; hosts are compared with this clock",
			      "the kernel says that nobody keeps this clock right");
	else
		kc_doctor_say(checks, "clock", "ok", NULL, "synchronised");
}

static void look_at_ssh(json_t *checks)
{
	static const char *const names[] = { "id_ed25519", "id_ecdsa", "id_rsa" };
	const char *agent = getenv("SSH_AUTH_SOCK");
	struct stat st;

	if (agent && *agent)
		kc_doctor_say(checks, "ssh", access(agent, W_OK) == 0 ? "ok" : "bad",
			      "start ssh-agent again, or unset SSH_AUTH_SOCK", "ssh-agent at %s",
			      agent);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *home = xasprintf("~/.ssh/%s", names[i]),
				    *path = kc_expand_home(home), *fix = NULL;

		if (stat(path, &st) < 0)
			continue;
		fix = xasprintf("chmod 600 %s", path);
		if (st.st_mode & 077)
			kc_doctor_say(checks, "ssh", "bad", fix, "%s may be read by others", path);
		else
			kc_doctor_say(checks, "ssh", "ok", NULL, "key %s", path);
		return;
	}
	if (!agent || !*agent)
		kc_doctor_say(checks, "ssh", "note",
			      "ssh-keygen -t ed25519, or name a key in each host's "
			      "ssh.identityFile",
			      "no key of the usual names, and no ssh-agent");
}

static int look_at_hosts(const struct kc_verb_run *v, json_t *checks, struct kc_err *err)
{
	json_auto_t *hosts = NULL;
	const json_t *h;
	size_t i;
	int r = kc_cluster_login(&v->opts, &v->io, &hosts, err);

	if (r < 0)
		return r;
	json_array_foreach(hosts, i, h) {
		bool ok = kc_json_get_bool(h, "ok", false);
		_cleanup_free_ char *id = xasprintf("host/%s", kc_json_get_str(h, "name", "?"));

		kc_doctor_say(checks, id, ok ? "ok" : "bad", NULL, "%s",
			      kc_json_get_str(h, "text", ""));
	}
	return 0;
}

/* Returns whether anything is bad. */
static bool print_checks(const json_t *checks, bool text)
{
	const json_t *c;
	bool bad = false;
	size_t i;

	json_array_foreach(checks, i, c) {
		const char *level = kc_json_get_str(c, "level", "?"),
			   *fix = kc_json_get_str(c, "fix", "");
		bool ok = streq(level, "ok");

		bad |= streq(level, "bad");
		if (text)
			printf("%-4s  %-18s %s%s%s\n", streq(level, "bad") ? "BAD" : level,
			       kc_json_get_str(c, "id", "?"), kc_json_get_str(c, "text", ""),
			       *fix && !ok ? "; fix: " : "", ok ? "" : fix);
	}
	return bad;
}

static int run_doctor(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	json_auto_t *checks = json_array(), *result = NULL;
	bool text = kc_cli_wants_text(args), bad;
	int r = kc_verb_begin(&v, args, err);

	if (r != 0)
		return r;
	look_at_agent(checks, v.self_dir);
	look_at_state(checks, v.state);
	look_at_cache(checks);
	look_at_bundles(checks);
	look_at_clock(checks);
	look_at_ssh(checks);
	kc_doctor_clouds(checks);
	if (v.opts.file)
		r = look_at_hosts(&v, checks, err);
	kc_ui_pause(v.ui);
	if (r < 0)
		return r;
	bad = print_checks(checks, text);
	if (!text) {
		result = kc_pack("{s:b, s:O}", "ok", !bad, "checks", checks);
		r = kc_cli_print(args, result, err);
	}
	if (r < 0)
		return r;
	return bad ? KC_EXIT_PENDING : 0;
}

const struct kc_verb kc_cli_doctor[] = {
	{ .path = "doctor",
	  .summary = "Look at this machine: program, state, cache, keys, credentials",
	  .description = "Changes nothing. Exit 0: fit (a note is about what you may not need). 2: "
			 "something\n"
			 "is bad. For a cluster that does not work: `kubecdn cluster why`.",
	  .examples = "kubecdn doctor\n"
		      "kubecdn doctor -f cluster.yaml",
	  .looks = true,
	  .opts = doctor_lists,
	  .run = run_doctor },
	{ NULL },
};
