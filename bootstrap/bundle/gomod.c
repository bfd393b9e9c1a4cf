#include "bootstrap/bundle/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

#define COMPILE_MS 7200000 /* Kubernetes, from nothing, on a slow machine */

static int put_asset(const char *dir, const struct kc_asset *a, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, a->name);

	return kc_file_write(path, a->data, (size_t)(a->end - a->data), 0644, err);
}

/* The module directory of a part, as it is committed; go.sum must have the pinned hash. */
static int put_module(const json_t *part, const char *src, struct kc_err *err)
{
	const char *name = kc_json_get_str(part, "dir", "");
	const struct kc_asset *sum = kc_bundle_asset(name, "go.sum");
	_cleanup_free_ char *line =
		xasprintf("%s v%s %s\n", kc_json_get_str(part, "module", ""),
			  kc_json_get_str(part, "version", ""), kc_json_get_str(part, "sum", ""));
	int r;

	if (!sum || !memmem(sum->data, (size_t)(sum->end - sum->data), line, strlen(line)))
		return kc_fail(err, KC_EINVAL, "gomod/%s/go.sum does not have the line \"%.*s\"",
			       name, (int)strlen(line) - 1, line);
	r = kc_mkdir_p(src, 0755, err);
	for (size_t i = 0; r == 0 && i < kc_bundle_n_assets; i++)
		if (streq(kc_bundle_assets[i].dir, name))
			r = put_asset(src, &kc_bundle_assets[i], err);
	return r;
}

static int go(const struct kc_parts *p, bool cgo, const char *dir, const char *const *argv,
	      char **ret_out, struct kc_err *err)
{
	_cleanup_strv_ char **env = kc_toolchain_env(p, cgo);
	struct kc_run run = { .argv = argv,
			      .env = (const char *const *)env,
			      .dir = dir,
			      .timeout_ms = COMPILE_MS,
			      .cancel = p->cancel };

	return kc_run(&run, ret_out, err);
}

/* text without the import lines of the dropped packages; each must be there once. */
static int drop_imports(const char *text, const json_t *drop, const char *path, struct kc_buf *out,
			struct kc_err *err)
{
	size_t dropped = 0, i;
	const json_t *d;

	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\n");
		_cleanup_free_ char *line = xstrndup(p, n);
		bool gone = false;

		json_array_foreach(drop, i, d) {
			_cleanup_free_ char *end = xasprintf("%s\"", json_string_value(d));

			gone |= kc_startswith(line, "\t_ \"") && kc_endswith(line, end);
		}
		dropped += gone;
		if (!gone)
			kc_buf_printf(out, "%s\n", line);
		p += n + (p[n] == '\n');
	}
	if (dropped != json_array_size(drop))
		return kc_fail(err, KC_EINVAL, "%s: %zu of %zu imports to drop found", path,
			       dropped, json_array_size(drop));
	return 0;
}

/* main with each key of edits, which must be there once, become its value. */
static int replace_texts(struct kc_buf *main, const json_t *edits, const char *path,
			 struct kc_err *err)
{
	const char *from;
	const json_t *to;

	json_object_foreach((json_t *)edits, from, to) {
		char *at = main->data ? strstr(main->data, from) : NULL;
		_cleanup_free_ char *rest = at ? xstrdup(at + strlen(from)) : NULL;

		if (!at || strstr(rest, from))
			return kc_fail(err, KC_EINVAL, "%s: \"%s\" is not there exactly once", path,
				       from);
		main->len = (size_t)(at - main->data);
		kc_buf_printf(main, "%s%s", json_string_value(to), rest);
	}
	return 0;
}

/*
 * Parts with "main": the module's own main.go, less the imports that cannot be built, with the
 * edits that components.yaml explains.
 */
static int put_main(const struct kc_parts *p, const json_t *part, const char *src,
		    struct kc_err *err)
{
	const json_t *drop = kc_json_at(part, "main.drop");
	_cleanup_free_ char *module = xasprintf("%s@v%s", kc_json_get_str(part, "module", ""),
						kc_json_get_str(part, "version", ""));
	const char *argv[] = { p->go, "mod", "download", "-json", module, NULL }, *dir;
	_cleanup_free_ char *out = NULL, *path = NULL, *text = NULL, *to = NULL;
	_cleanup_buf_ struct kc_buf main = { 0 };
	json_auto_t *info = NULL;
	int r;

	if (!drop)
		return 0;
	r = go(p, false, src, argv, &out, err);
	if (r == 0)
		r = kc_json_parse(out, strlen(out), "go mod download", &info, err);
	if (r == 0)
		r = kc_json_str(info, "go mod download", "Dir", &dir, err);
	if (r < 0)
		return r;
	path = xasprintf("%s/main.go", dir);
	r = kc_file_read(path, 1 << 20, &text, NULL, err);
	if (r == 0)
		r = drop_imports(text, drop, path, &main, err);
	if (r == 0)
		r = replace_texts(&main, kc_json_at(part, "main.replace"), path, err);
	if (r < 0)
		return r;
	to = xasprintf("%s/main.go", src);
	return kc_file_write(to, kc_buf_get(&main), main.len, 0644, err);
}

static char *ldflags_of(const json_t *part)
{
	_cleanup_free_ char *own = kc_pins_expand(kc_json_get_str(part, "ldflags", ""),
						  kc_json_get_str(part, "version", ""));

	return xasprintf("-s -w -buildid= %s", own);
}

static int compile(struct kc_parts *p, const json_t *part, const json_t *program, const char *src,
		   const char *dir, struct kc_err *err)
{
	const char *path = kc_json_get_str(program, "path", "");
	_cleanup_free_ char *out = xasprintf("%s/%s", dir, path), *ldflags = ldflags_of(part);
	_cleanup_free_ char *parent = xstrndup(out, (size_t)(strrchr(out, '/') - out));
	const char *argv[] = { p->go,
			       "build",
			       "-mod=readonly",
			       "-trimpath",
			       "-buildvcs=false",
			       "-tags",
			       kc_json_get_str(part, "tags", ""),
			       "-ldflags",
			       ldflags,
			       "-o",
			       out,
			       kc_json_get_str(program, "package", ""),
			       NULL };
	int64_t start = kc_now_ms();
	int r;

	r = kc_mkdir_p(parent, 0755, err);
	if (r == 0)
		r = go(p, kc_json_get_bool(part, "cgo", false), src, argv, NULL, err);
	if (r < 0)
		return kc_wrap(err, "compiling %s", path);
	kc_parts_say(p, "%s %s: compiled %s in %.1f s", kc_json_get_str(part, "name", ""),
		     kc_json_get_str(part, "version", ""), path,
		     (double)(kc_now_ms() - start) / 1000);
	return 0;
}

/* The first line of `cc --version`: what else a cgo program's bytes depend on. */
static int cc_version(char **ret, struct kc_err *err)
{
	_cleanup_free_ char *out = NULL;
	int r = kc_runl(&out, err, "cc", "--version", NULL);

	if (r < 0)
		return kc_wrap(err, "a C compiler is needed for a part of the bundle: install gcc");
	*ret = xstrndup(out, strcspn(out, "\n"));
	return 0;
}

/* Everything the output depends on, hashed: the name of its cache entry. */
static int part_key(struct kc_parts *p, const json_t *part, char key[KC_SHA256_HEX],
		    struct kc_err *err)
{
	const char *dir = kc_json_get_str(part, "dir", "");
	json_auto_t *all = kc_pack("{s:O, s:s, s:s, s:{}}", "part", part, "go", p->go_version,
				   "arch", p->arch, "files");
	_cleanup_free_ char *cc = NULL, *flags = ldflags_of(part);
	int r;

	json_object_set_new(all, "ldflags", json_string(flags));
	for (size_t i = 0; i < kc_bundle_n_assets; i++) {
		const struct kc_asset *a = &kc_bundle_assets[i];
		char hash[KC_SHA256_HEX];

		if (!streq(a->dir, dir))
			continue;
		kc_sha256(a->data, (size_t)(a->end - a->data), hash);
		json_object_set_new(json_object_get(all, "files"), a->name, json_string(hash));
	}
	if (kc_json_get_bool(part, "cgo", false)) {
		r = cc_version(&cc, err);
		if (r < 0)
			return r;
		json_object_set_new(all, "cc", json_string(cc));
	}
	kc_sha256_json(all, key);
	return 0;
}

int kc_part_build(struct kc_parts *p, const json_t *part, char **ret_dir, struct kc_err *err)
{
	const char *name = kc_json_get_str(part, "name", "");
	_cleanup_free_ char *dir = NULL, *tmp = NULL, *src = NULL;
	const json_t *program;
	char key[KC_SHA256_HEX];
	size_t i;
	int r;

	r = kc_parts_canceled(p, err);
	if (r == 0)
		r = kc_toolchain_find(p, err);
	if (r == 0)
		r = part_key(p, part, key, err);
	if (r == 0)
		r = kc_parts_entry(p, name, key, &dir, &tmp, err);
	if (r < 0)
		return r;
	if (r == 0) {
		kc_parts_say(p, "%s %s: compiling", name, kc_json_get_str(part, "version", ""));
		src = xasprintf("%s/.src", tmp);
		r = put_module(part, src, err);
		if (r == 0)
			r = put_main(p, part, src, err);
		json_array_foreach(json_object_get(part, "programs"), i, program)
			if (r == 0)
				r = compile(p, part, program, src, tmp, err);
		if (r == 0)
			r = kc_rm_rf(src, err);
		if (r == 0)
			r = kc_parts_commit(tmp, dir, err);
	}
	if (r < 0)
		return kc_wrap(err, "%s %s", name, kc_json_get_str(part, "version", ""));
	*ret_dir = TAKE(dir);
	return 0;
}

int kc_part_pause(struct kc_parts *p, char **ret_dir, struct kc_err *err)
{
	const struct kc_asset *a = kc_bundle_asset("", "pause.c");
	_cleanup_free_ char *dir = NULL, *tmp = NULL, *cc = NULL, *text = NULL;
	char key[KC_SHA256_HEX];
	int r;

	r = cc_version(&cc, err);
	if (r < 0)
		return r;
	text = xasprintf("%s\n%s\n%s", cc, p->arch, a->data);
	kc_sha256(text, strlen(text), key);
	r = kc_parts_entry(p, "pause", key, &dir, &tmp, err);
	if (r == 0) {
		const char *argv[] = { "cc", "-Os",   "-static", "-s", "-Wl,--build-id=none",
				       "-o", "pause", "pause.c", NULL };

		r = put_asset(tmp, a, err);
		if (r == 0)
			r = kc_run(&(struct kc_run){ .argv = argv,
						     .dir = tmp,
						     .cancel = p->cancel },
				   NULL, err);
		if (r == 0)
			r = kc_parts_commit(tmp, dir, err);
	}
	if (r < 0)
		return kc_wrap(err, "compiling pause");
	*ret_dir = TAKE(dir);
	return 0;
}
