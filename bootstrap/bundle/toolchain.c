/*
 * Which Go compiles. The first that is new enough of: go in PATH, the one kept in the cache; else
 * any go fetches the pinned toolchain, which is a module: the checksum database vouches for it.
 */
#include "bootstrap/bundle/internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

void kc_strv_free(char **v)
{
	for (char **s = v; s && *s; s++)
		free(*s);
	free(v);
}

/*
 * Everything that could change the output is said; where modules come from (GOPROXY, GOSUMDB, ...)
 * is the user's affair.
 */
char **kc_toolchain_env(const struct kc_parts *p, bool cgo)
{
	char **env = xcalloc(16, sizeof(*env));
	size_t n = 0;

	env[n++] = xasprintf("GOCACHE=%s/go/build", p->cache);
	env[n++] = xasprintf("GOMODCACHE=%s/go/mod", p->cache);
	env[n++] = xasprintf("GOARCH=%s", p->arch);
	env[n++] = xasprintf("CGO_ENABLED=%d", cgo);
	env[n++] = xstrdup("GOOS=linux");
	env[n++] = xstrdup("GOTOOLCHAIN=local");
	env[n++] = xstrdup("GO111MODULE=on");
	env[n++] = xstrdup("GOFLAGS=");
	env[n++] = xstrdup("GOWORK=off");
	env[n++] = xstrdup("GOAMD64=v1");
	env[n++] = xstrdup("GOARM64=v8.0");
	env[n++] = xstrdup("GOEXPERIMENT=");
	env[n++] = xstrdup("GOFIPS140=off");
	/* A toolchain that was fetched finds its own files, whatever GOROOT says. */
	env[n++] = xstrdup("GOROOT=");
	return env;
}

static int go_run(const struct kc_parts *p, const char *const *argv, char **ret_out,
		  struct kc_err *err)
{
	_cleanup_strv_ char **env = kc_toolchain_env(p, false);
	struct kc_run run = { .argv = argv,
			      .env = (const char *const *)env,
			      .dir = p->cache,
			      .timeout_ms = 1800000,
			      .cancel = p->cancel };

	return kc_run(&run, ret_out, err);
}

/* "go1.26.8" to 1026008; 0 if it is something else. */
static long version_number(const char *s)
{
	int major = 0, minor = 0, patch = 0;

	if (kc_startswith(s, "go"))
		s += 2;
	if (sscanf(s, "%d.%d.%d", &major, &minor, &patch) < 2)
		return 0;
	return major * 1000000L + minor * 1000L + patch;
}

/* The version of this go, or NULL if it does not run. Owned. */
static char *go_version(const struct kc_parts *p, const char *go)
{
	const char *argv[] = { go, "env", "GOVERSION", NULL };
	char *out = NULL;

	if (go_run(p, argv, &out, NULL) < 0) {
		free(out);
		return NULL;
	}
	out[strcspn(out, "\r\n")] = '\0';
	return out;
}

static bool try_go(struct kc_parts *p, const char *go)
{
	const char *min = kc_json_get_str(kc_json_at(p->pins, "go"), "minimum", "");
	_cleanup_free_ char *version = go_version(p, go);

	if (!version || version_number(version) < version_number(min))
		return false;
	p->go = xstrdup(go);
	p->go_version = TAKE(version);
	return true;
}

/* Modules are unpacked without x bits and read-only. */
static int make_executable(const char *dir, struct kc_err *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return kc_fail_errno(err, errno, "%s", dir);
	while (r == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.' && fchmodat(dirfd(d), e->d_name, 0755, 0) < 0)
			r = kc_fail_errno(err, errno, "%s/%s", dir, e->d_name);
	closedir(d);
	return r;
}

/*
 * A module zip cannot hold a go.mod that is not its own: the toolchain's two are named _go.mod and
 * renamed by whoever unpacks it, as the go command itself does.
 */
static int restore_go_mod(const char *root, const char *sub, struct kc_err *err)
{
	_cleanup_free_ char *dir = xasprintf("%s/%s", root, sub), *text = NULL;
	_cleanup_free_ char *from = xasprintf("%s/_go.mod", dir), *to = xasprintf("%s/go.mod", dir);
	size_t len;
	int r;

	if (!kc_exists(from) || kc_exists(to))
		return 0;
	if (chmod(dir, 0755) < 0)
		return kc_fail_errno(err, errno, "%s", dir);
	r = kc_file_read(from, 1 << 20, &text, &len, err);
	return r < 0 ? r : kc_file_write(to, text, len, 0644, err);
}

static int finish_toolchain(const char *root, const char *arch, struct kc_err *err)
{
	_cleanup_free_ char *bin = xasprintf("%s/bin", root);
	_cleanup_free_ char *tool = xasprintf("%s/pkg/tool/linux_%s", root, arch);
	int r;

	r = make_executable(bin, err);
	if (r == 0)
		r = make_executable(tool, err);
	if (r == 0)
		r = restore_go_mod(root, "src", err);
	if (r == 0)
		r = restore_go_mod(root, "src/cmd", err);
	return r;
}

/* Let an old go download the pinned toolchain; *ret_go is the new one. */
static int fetch_toolchain(const struct kc_parts *p, const char *old, char **ret_go,
			   struct kc_err *err)
{
	const char *arch = kc_bundle_host_arch();
	_cleanup_free_ char *module =
		xasprintf("%s.linux-%s",
			  kc_json_get_str(kc_json_at(p->pins, "go"), "toolchain", ""), arch);
	const char *argv[] = { old, "mod", "download", "-json", module, NULL }, *dir;
	_cleanup_free_ char *out = NULL;
	json_auto_t *info = NULL;
	int r;

	kc_parts_say(p, "go: this host's is too old, fetching %s", module);
	r = go_run(p, argv, &out, err);
	if (r < 0)
		return kc_wrap(err, "fetching the Go toolchain %s", module);
	r = kc_json_parse(out, strlen(out), "go mod download", &info, err);
	if (r == 0)
		r = kc_json_str(info, "go mod download", "Dir", &dir, err);
	if (r == 0)
		r = finish_toolchain(dir, arch, err);
	if (r == 0)
		*ret_go = xasprintf("%s/bin/go", dir);
	return r;
}

int kc_toolchain_find(struct kc_parts *p, struct kc_err *err)
{
	_cleanup_free_ char *kept = xasprintf("%s/go/toolchain/bin/go", p->cache), *old = NULL;
	_cleanup_free_ char *fetched = NULL;
	int r;

	if (p->go || try_go(p, "go") || try_go(p, kept))
		return 0;
	old = go_version(p, "go");
	r = kc_parts_canceled(p, err); /* a Go that was stopped is not one that does not run */
	if (r < 0)
		return r;
	if (!old)
		return kc_fail(err, KC_ENOTFOUND,
			       "no Go to compile the bundle with: install Debian's golang-go (any "
			       "version; a newer one is fetched with it), or unpack Go %s to "
			       "%s/go/toolchain",
			       kc_json_get_str(kc_json_at(p->pins, "go"), "minimum", ""), p->cache);
	r = fetch_toolchain(p, "go", &fetched, err);
	if (r < 0)
		return r;
	if (!try_go(p, fetched))
		return kc_fail(err, KC_EFAIL, "the Go toolchain fetched to %s does not run",
			       fetched);
	return 0;
}
