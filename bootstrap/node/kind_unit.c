/*
 * systemd units. What a unit runs with is written into it as one hash,
 * KUBECDN_INPUTS; find reads the hash that the running process started with, so
 * a changed file or certificate shows as a changed unit until it was restarted.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bootstrap/node/kinds.h"
#include "bootstrap/node/probe.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define UNIT_MAX  (1u << 20)
#define VAR	  "KUBECDN_INPUTS="
#define TRAILER	  "\n[Service]\nEnvironment=" VAR
#define UNIT_MODE 0644
#define WAIT_MS	  2000 /* ready's own patience, finer than the scheduler's sleeps */

/* Of the unit's text and of the revisions of what it runs with. Owned. */
static void inputs_hash(const json_t *want, char out[KC_SHA256_HEX])
{
	const json_t *inputs = json_object_get(want, "inputs");
	json_auto_t *all = NULL;

	if (json_is_string(inputs)) { /* normalized already */
		snprintf(out, KC_SHA256_HEX, "%s", json_string_value(inputs));
		return;
	}
	all = kc_pack("[s, O]", kc_json_get_str(want, "content", ""),
		      inputs ? inputs : json_null());
	kc_sha256_json(all, out);
}

/* The value of KEY=value among the lines (or NUL-separated words) of text. Owned, or NULL. */
static char *value_of(const char *text, size_t len, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text, *end = text + len; p < end;) {
		const char *stop = p;

		while (stop < end && *stop && *stop != '\n')
			stop++;
		if ((size_t)(stop - p) >= n && strncmp(p, key, n) == 0)
			return xstrndup(p + n, (size_t)(stop - p) - n);
		p = stop + 1;
	}
	return NULL;
}

struct status {
	char *active, *sub, *result, *env;
	long pid, job; /* 0: none */
};

static void status_done(struct status *s)
{
	free(s->active);
	free(s->sub);
	free(s->result);
	free(s->env);
}
#define _cleanup_status_ _cleanup_(status_done)

static int status_get(const char *name, struct status *ret, struct kc_err *err)
{
	_cleanup_free_ char *out = NULL, *pid = NULL, *job = NULL;
	size_t len;
	int r = kc_runl(&out, err, "systemctl", "show", "-p",
			"ActiveState,SubState,Result,MainPID,Job,Environment", name, NULL);

	if (r < 0)
		return r;
	out = out ? out : xstrdup("");
	len = strlen(out);
	ret->active = value_of(out, len, "ActiveState=");
	ret->sub = value_of(out, len, "SubState=");
	ret->result = value_of(out, len, "Result=");
	ret->env = value_of(out, len, "Environment=");
	pid = value_of(out, len, "MainPID=");
	if (!ret->active || !ret->sub)
		return kc_fail(err, KC_EFAIL, "systemctl show %s: no ActiveState", name);
	if (!pid || !kc_parse_long(pid, 1, 0x7fffffff, &ret->pid))
		ret->pid = 0;
	job = value_of(out, len, "Job=");
	if (!job || !kc_parse_long(job, 1, 0x7fffffff, &ret->job))
		ret->job = 0;
	return 0;
}

/* The hash a unit's main process started with; of a unit without one, what systemd loaded. */
static char *running_inputs(const struct status *s)
{
	_cleanup_free_ char *path = NULL, *env = NULL;
	size_t len;
	char *hash;

	if (s->pid) {
		path = xasprintf("/proc/%ld/environ", s->pid);
		if (kc_file_read(path, UNIT_MAX, &env, &len, NULL) < 0 || !env)
			return NULL;
		return value_of(env, len, VAR);
	}
	hash = s->env ? strstr(s->env, VAR) : NULL;
	return hash ? xstrndup(hash + strlen(VAR), strcspn(hash + strlen(VAR), " ")) : NULL;
}

/*
 * Are the words of exec, a unit's lines, those of argv, with a NUL behind each? A script becomes
 * another program, which says nothing.
 */
static bool same_words(char *exec, const char *argv, size_t len)
{
	const char *p = argv, *end = argv + len;
	char *save = NULL;

	for (char *w = strtok_r(exec, " \\\n", &save); w; w = strtok_r(NULL, " \\\n", &save)) {
		if (p >= end || !streq(w, p))
			return p == argv;
		p += strlen(p) + 1;
	}
	return p >= end;
}

/*
 * Does the process run with the command line of text? A unit may have been edited, restarted and
 * put back. Only where systemd takes the words as they stand.
 */
static bool runs_as_told(long pid, const char *text)
{
	_cleanup_free_ char *path = xasprintf("/proc/%ld/cmdline", pid), *argv = NULL, *exec = NULL;
	const char *start = strstr(text, "\nExecStart="), *stop;
	size_t len;

	if (!pid || !start)
		return true;
	start += strlen("\nExecStart=");
	for (stop = strchr(start, '\n'); stop && stop[-1] == '\\'; stop = strchr(stop + 1, '\n'))
		;
	exec = stop ? xstrndup(start, (size_t)(stop - start)) : xstrdup(start);
	if (strpbrk(exec, "\"'%$;") || kc_file_read(path, UNIT_MAX, &argv, &len, NULL) < 0 || !argv)
		return true;
	return same_words(exec, argv, len);
}

/* What others added to the unit of ours: the files of its drop-in directory. */
static char *dropins_dir(const struct kc_node_host *h, const char *name)
{
	return xasprintf("%s/%s.d", h->units, name);
}

static json_t *dropins_of(const struct kc_node_host *h, const char *name)
{
	_cleanup_free_ char *path = dropins_dir(h, name);
	json_t *list = json_array();
	const struct dirent *e;
	DIR *dir = opendir(path);

	while (dir && (e = readdir(dir)))
		if (kc_endswith(e->d_name, ".conf"))
			json_array_append_new(list, json_sprintf("%s/%s", path, e->d_name));
	if (dir)
		closedir(dir);
	return list;
}

static int remove_dropins(const struct kc_node_host *h, const char *name, const json_t *list,
			  struct kc_err *err)
{
	_cleanup_free_ char *path = dropins_dir(h, name);
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v)
		if (unlink(json_string_value(v)) < 0 && errno != ENOENT)
			return kc_fail_errno(err, errno, "rm %s", json_string_value(v));
	rmdir(path); /* unless somebody keeps more there */
	return 0;
}

/* The target's wants folder and our link in it, for each WantedBy= of the text. */
static json_t *wants_links(const struct kc_node_host *h, const char *name, const char *content)
{
	_cleanup_free_ char *copy = xstrdup(content);
	json_t *links = json_array();
	char *line_save = NULL, *save = NULL;

	for (char *l = strtok_r(copy, "\n", &line_save); l; l = strtok_r(NULL, "\n", &line_save))
		if (kc_startswith(l, "WantedBy="))
			for (char *w = strtok_r(l + 9, " ", &save); w;
			     w = strtok_r(NULL, " ", &save))
				json_array_append_new(links, json_sprintf("%s/%s.wants/%s",
									  h->units, w, name));
	return links;
}

static bool is_enabled(const struct kc_node_host *h, const char *name, const char *content)
{
	json_auto_t *links = wants_links(h, name, content);
	json_t *l;
	size_t i;

	json_array_foreach(links, i, l)
		if (!kc_exists(json_string_value(l)))
			return false;
	return json_array_size(links) > 0;
}

static int set_enabled(struct kc_node_host *h, const char *name, const char *content, bool on,
		       struct kc_err *err)
{
	_cleanup_free_ char *target = xasprintf("%s/%s", h->units, name);
	json_auto_t *links = wants_links(h, name, content);
	json_t *l;
	size_t i;
	int r = 0;

	/* What `systemctl enable` does, without its reload of all units. */
	json_array_foreach(links, i, l) {
		const char *path = json_string_value(l);

		if (!on) {
			if (unlink(path) == 0)
				kc_host_rmparents(h, path);
			continue;
		}
		r = kc_host_mkparents(h, path, err);
		if (r == 0 && symlink(target, path) < 0 && errno != EEXIST)
			r = kc_fail_errno(err, errno, "%s", path);
		if (r < 0)
			return r;
	}
	return 0;
}

bool kc_node_unit_is_ours(const char *path)
{
	_cleanup_free_ char *text = NULL;

	return kc_file_read(path, UNIT_MAX, &text, NULL, NULL) == 0 && text &&
	       strstr(text, TRAILER);
}

/* The text as the spec gave it: without what we appended. */
static char *unit_text(const struct kc_node_host *h, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", h->units, name);
	char *text = NULL, *trailer;

	if (kc_file_read(path, UNIT_MAX, &text, NULL, NULL) < 0 || !text)
		return NULL;
	trailer = strstr(text, TRAILER);
	if (trailer)
		*trailer = '\0';
	return text;
}

/* Its file is gone, and systemd has not been told yet. */
static bool is_loaded(const char *name, const char *path)
{
	_cleanup_free_ char *out = NULL;

	return kc_runl(&out, NULL, "systemctl", "show", "-p", "FragmentPath", "--value", name,
		       NULL) == 0 &&
	       out && strncmp(out, path, strlen(path)) == 0;
}

static int unit_find(void *ctx, const struct kc_task *t, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_status_ struct status s = { 0 };
	_cleanup_free_ char *text = NULL, *inputs = NULL, *path = NULL;
	struct kc_node_host *h = ctx;
	const json_t *probe;
	const char *name;
	struct stat st;
	int r;

	r = kc_node_need(t, NULL, "name", &name, err);
	if (r < 0)
		return r;
	path = xasprintf("%s/%s", h->units, name);
	text = unit_text(h, name);
	if (!text && t->leaving && !kc_exists(path) &&
	    (kc_host_remains(path) || is_loaded(name, path)))
		*ret_actual = kc_pack("{s:s}", "name", name);
	if (!text || stat(path, &st) < 0)
		return 0;
	r = status_get(name, &s, err);
	if (r < 0)
		return r;
	inputs = runs_as_told(s.pid, text) ? running_inputs(&s)
					   : xstrdup("(it runs with another command line)");
	*ret_actual = kc_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:o, s:o, s:o}", "name", name,
			      "content", text, "inputs", inputs ? inputs : "", "enabled",
			      is_enabled(h, name, text), "active", streq(s.active, "active"), "up",
			      !streq(s.active, "inactive") && !streq(s.active, "failed"), "mode",
			      kc_node_mode_text(st.st_mode), "owner", kc_host_owner_of(&st),
			      "dropIns", dropins_of(h, name));
	probe = json_object_get(t->want, "probe");
	if (probe) /* how we ask, not what is there */
		json_object_set_new(*ret_actual, "probe", json_deep_copy(probe));
	return 0;
}

static int write_unit(struct kc_node_host *h, const char *name, const json_t *want, bool existed,
		      struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", h->units, name), *text = NULL;
	const char *content = kc_json_get_str(want, "content", "");
	char hash[KC_SHA256_HEX];
	int r;

	inputs_hash(want, hash);
	text = xasprintf("%s%s%s\n", content, TRAILER, hash);
	r = kc_host_write(path, text, strlen(text), UNIT_MODE, err);
	if (r < 0)
		return r;
	/* systemd finds a new file by itself; one that it has loaded must be read again. */
	return existed ? kc_host_reload(h, err) : 0;
}

static int own_unit(const struct kc_node_host *h, const char *name, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", h->units, name);

	return kc_host_own(path, UNIT_MODE, err);
}

static int unit_apply(void *ctx, const struct kc_task *t, const json_t *actual,
		      const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	struct kc_node_host *h = ctx;
	const json_t *dropins = json_object_get(actual, "dropIns");
	bool active = kc_json_get_bool(t->want, "active", true), up, same;
	const char *name, *content, *verb = NULL;
	char hash[KC_SHA256_HEX];
	int r;

	r = kc_node_need(t, NULL, "name", &name, err);
	if (r == 0)
		r = kc_node_need(t, NULL, "content", &content, err);
	if (r < 0)
		return r;
	if (!kc_endswith(name, ".service") || strchr(name, '/'))
		return kc_fail(err, KC_EINVAL, "%s: %s is not the name of a service unit", t->id,
			       name);
	inputs_hash(t->want, hash);
	up = kc_json_get_bool(actual, "up", false);
	same = actual && streq(kc_json_get_str(actual, "inputs", ""), hash) &&
	       streq(kc_json_get_str(actual, "content", ""), content) &&
	       json_array_size(dropins) == 0;
	if (!same)
		r = remove_dropins(h, name, dropins, err);
	if (r == 0 && !same)
		r = write_unit(h, name, t->want, actual != NULL, err);
	else if (r == 0)
		r = own_unit(h, name, err);
	if (r == 0)
		r = set_enabled(h, name, content, kc_json_get_bool(t->want, "enabled", true), err);
	if (r < 0)
		return r;
	if (!active)
		verb = up ? "stop" : NULL;
	else if (!up)
		verb = "start";
	else if (!same)
		verb = "restart";
	if (verb)
		r = kc_runl(NULL, err, "systemctl", "--no-block", verb, name, NULL);
	return r < 0 ? kc_wrap(err, "%s", t->id) : unit_find(ctx, t, ret_actual, err);
}

/* Why a unit does not come up, as its own last words. */
static int unit_failed(const char *name, const struct status *s, struct kc_err *err)
{
	_cleanup_free_ char *out = NULL;

	kc_runl(&out, NULL, "journalctl", "-q", "-u", name, "-n", "3", "-o", "cat", "--no-pager",
		NULL);
	for (char *p = out; p && *p; p++)
		*p = *p == '\n' ? ' ' : *p;
	return kc_fail(err, KC_EFAIL, "%s failed (%s): %.600s", name, s->result ? s->result : "?",
		       out ? out : "see journalctl -u");
}

/* One look: 0 when up and its probe answers. */
static int look(const char *name, const json_t *probe, const char *hash, struct kc_err *err)
{
	_cleanup_status_ struct status s = { 0 };
	_cleanup_free_ char *inputs = NULL;
	int r = status_get(name, &s, err);

	if (r < 0)
		return r;
	/* With a job queued it has only just been killed, for not stopping in time. */
	if (streq(s.active, "failed") && !s.job)
		return unit_failed(name, &s, err);
	if (!streq(s.active, "active"))
		return kc_fail(err, KC_EAGAIN, "%s is %s (%s)", name, s.active, s.sub);
	inputs = running_inputs(&s);
	if (inputs && !streq(inputs, hash))
		return kc_fail(err, KC_EAGAIN, "%s is still the old process", name);
	return probe ? kc_node_probe(probe, err) : 0;
}

static int unit_ready(void *ctx, const struct kc_task *t, const json_t *actual, struct kc_err *err)
{
	const json_t *probe = json_object_get(t->want, "probe");
	int64_t until = kc_now_ms() + WAIT_MS, nap = 5;
	const char *name;
	char hash[KC_SHA256_HEX];
	int r;

	if (!kc_json_get_bool(t->want, "active", true))
		return 0;
	r = kc_node_need(t, actual, "name", &name, err);
	if (r < 0)
		return r;
	inputs_hash(t->want, hash);
	for (;;) {
		r = probe ? kc_node_probe(probe, err) : 0; /* cheaper than asking systemd */
		if (r == 0)
			r = look(name, probe, hash, err);
		else if (kc_now_ms() >= until)
			r = look(name, NULL, hash, err) < 0 ? err->code : r;
		if (r != KC_EAGAIN || kc_now_ms() >= until || (t->canceled && t->canceled(t)))
			return r;
		kc_sleep_ms(nap);
		nap = nap < 40 ? nap * 2 : 50;
	}
}

static int unit_remove(void *ctx, const struct kc_task *t, const json_t *actual, struct kc_err *err)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	struct kc_node_host *h = ctx;
	const char *name;
	int r;

	r = kc_node_need(t, actual, "name", &name, err);
	if (r < 0)
		return r;
	path = xasprintf("%s/%s", h->units, name);
	text = unit_text(h, name);
	if (!text && kc_exists(path))
		return 0;
	if (!text) {
		r = kc_host_unlink(path, err);
		return r < 0 ? r : kc_host_reload(h, err);
	}
	r = kc_runl(NULL, err, "systemctl", "stop", name, NULL);
	if (r < 0)
		return r;
	set_enabled(h, name, text, false, NULL);
	/* While there is a file: without it a failed unit is nobody's. */
	kc_runl(NULL, NULL, "systemctl", "reset-failed", name, NULL);
	r = kc_host_unlink(path, err);
	return r < 0 ? r : kc_host_reload(h, err);
}

static void unit_normalize(json_t *want, json_t *actual)
{
	char hash[KC_SHA256_HEX];

	/* A reference that is not known yet cannot be hashed; it is shown as it is. */
	inputs_hash(want, hash);
	json_object_set_new(want, "inputs", json_string(hash));
	json_object_set_new(want, "mode", kc_node_mode_text(UNIT_MODE));
	json_object_set_new(want, "dropIns", json_array());
	kc_node_owned(want, actual);
}

const struct kc_kind kc_node_unit = {
	.name = "unit",
	.immutable = (const char *const[]){ "name", NULL },
	.find = unit_find,
	.apply = unit_apply,
	.ready = unit_ready,
	.remove = unit_remove,
	.normalize = unit_normalize,
};
