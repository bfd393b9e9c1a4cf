/* bootstrap/bundle: pins, images and compiled parts, as far as they need no network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>

#include "bootstrap/bundle/internal.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

static char home[] = "/tmp/kc-bundle-build-XXXXXX";
static char *user_go; /* the user's Go caches, if they have the sources of the CNI plugins */

static const json_t *named(const json_t *array, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(array, i, v)
		if (streq(kc_json_get_str(v, "name", ""), name))
			return v;
	return NULL;
}

/* Every pinned sum is in the go.sum that the compiler will check. */
static void check_pins(const char *kubernetes)
{
	static const char *const sections[] = { "components", "images" };
	json_auto_t *pins = NULL;
	const json_t *part;
	size_t i, modules = 0;

	assert_int_equal(kc_bundle_pins(kubernetes, &pins, NULL), 0);
	for (size_t s = 0; s < ARRAY_SIZE(sections); s++)
		json_array_foreach(json_object_get(pins, sections[s]), i, part) {
			const struct kc_asset *sum =
				kc_bundle_asset(kc_json_get_str(part, "dir", ""), "go.sum");
			_cleanup_free_ char *line =
				xasprintf("%s v%s %s\n", kc_json_get_str(part, "module", ""),
					  kc_json_get_str(part, "version", ""),
					  kc_json_get_str(part, "sum", ""));

			if (!json_object_get(part, "module"))
				continue;
			modules++;
			assert_non_null(sum);
			if (!strstr(sum->data, line))
				fail_msg("not in gomod/%s/go.sum: %s", sum->dir, line);
			assert_non_null(kc_bundle_asset(sum->dir, "go.mod"));
		}
	assert_int_equal(modules, 7);
	assert_non_null(named(json_object_get(pins, "images"), "pause"));
}

static void test_pins(void **state)
{
	json_auto_t *pins = NULL;
	const json_t *release;
	size_t i;

	assert_int_equal(kc_pins_load(&pins, NULL), 0);
	json_array_foreach(json_object_get(pins, "kubernetes"), i, release)
		check_pins(kc_json_get_str(release, "version", ""));
	assert_int_equal(i, 2);
}

static void test_versions(void **state)
{
	json_auto_t *pins = NULL, *none = NULL;
	_cleanup_free_ char *text =
		kc_pins_expand("-X v{version} {major}/{minor} {other}", "1.37.2");
	struct kc_err err;

	assert_string_equal(text, "-X v1.37.2 1/37 {other}");
	assert_int_equal(kc_bundle_pins("v1.37.2", &pins, NULL), 0);
	assert_string_equal(kc_json_get_str(pins, "kubernetes", ""), "1.37.2");
	assert_int_equal(kc_bundle_pins("1.37", &none, &err), KC_EINVAL);
	assert_string_equal(err.msg, "Kubernetes 1.37 is not supported; supported: 1.37.2, 1.36.3");
}

static void parts_init(struct kc_parts *p, const char *cache, const json_t *pins)
{
	*p = (struct kc_parts){ .arch = kc_bundle_host_arch(), .pins = pins };
	p->cache = xasprintf("%s/%s", home, cache);
	assert_int_equal(kc_mkdir_p(p->cache, 0700, NULL), 0);
}

static void parts_done(struct kc_parts *p)
{
	free(p->cache);
	free(p->go);
	free(p->go_version);
}

/* What an image's tar has, by name: the text of what is small. */
static void unpack(const char *tar, json_t *files)
{
	_cleanup_free_ char *to = xasprintf("%s/unpacked", home), *list = NULL;
	char *save = NULL;

	assert_int_equal(kc_mkdir_p(to, 0700, NULL), 0);
	assert_int_equal(kc_runl(&list, NULL, "tar", "-xvf", tar, "-C", to, NULL), 0);
	for (char *s = strtok_r(list, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
		_cleanup_free_ char *path = xasprintf("%s/%s", to, s), *text = NULL;
		size_t len;

		if (kc_endswith(s, "/"))
			continue;
		if (kc_file_read(path, 1 << 16, &text, &len, NULL) == 0)
			json_object_set_new(files, s, json_stringn(text, len));
		else
			json_object_set_new(files, s, json_null());
	}
}

static json_t *blob_json(const json_t *files, const json_t *descriptor)
{
	const char *digest = kc_json_get_str(descriptor, "digest", "");
	char sha[KC_SHA256_HEX];
	const char *text;
	json_t *out = NULL;
	char name[200];

	assert_true(kc_startswith(digest, "sha256:"));
	snprintf(name, sizeof(name), "blobs/sha256/%s", digest + 7);
	text = json_string_value(json_object_get(files, name));
	assert_non_null(text);
	kc_sha256(text, strlen(text), sha);
	assert_string_equal(sha, digest + 7);
	assert_int_equal(strlen(text), kc_json_get_int(descriptor, "size", -1));
	assert_int_equal(kc_json_parse(text, strlen(text), "blob", &out, NULL), 0);
	return out;
}

/* pause: the program works, the image is a good layout, and all of it twice the same. */
static void test_pause_image(void **state)
{
	json_auto_t *pins = NULL, *entry = json_object(), *files = json_object(),
		    *again = json_object();
	json_auto_t *index = NULL, *manifest = NULL, *config = NULL;
	_cleanup_free_ char *tar = xasprintf("%s/pause.tar", home), *dir = NULL, *dir2 = NULL;
	char sha[2][KC_SHA256_HEX];
	struct kc_parts p, q;
	const json_t *image, *list;
	const char *text;

	assert_int_equal(kc_bundle_pins(NULL, &pins, NULL), 0);
	image = named(json_object_get(pins, "images"), "pause");
	parts_init(&p, "one", pins);
	parts_init(&q, "two", pins);
	assert_int_equal(kc_part_pause(&p, &dir, NULL), 0);
	assert_int_equal(kc_image_write(&p, image, dir, tar, entry, NULL), 0);
	assert_int_equal(kc_sha256_file(tar, sha[0], NULL, NULL), 0);
	unpack(tar, files);
	assert_int_equal(kc_part_pause(&q, &dir2, NULL), 0);
	assert_int_equal(kc_image_write(&q, image, dir2, tar, again, NULL), 0);
	assert_int_equal(kc_sha256_file(tar, sha[1], NULL, NULL), 0);
	assert_string_equal(sha[0], sha[1]);
	assert_true(json_equal(entry, again));

	assert_string_equal(json_string_value(json_object_get(files, "oci-layout")),
			    "{\"imageLayoutVersion\":\"1.0.0\"}");
	text = json_string_value(json_object_get(files, "index.json"));
	assert_int_equal(kc_json_parse(text, strlen(text), "index", &index, NULL), 0);
	list = json_object_get(index, "manifests");
	assert_int_equal(json_array_size(list), 2);
	manifest = blob_json(files, json_array_get(list, 0));
	assert_string_equal(kc_json_get_str(entry, "digest", ""),
			    kc_json_get_str(json_array_get(list, 0), "digest", "?"));
	text = json_string_value(
		json_object_get(json_object_get(json_array_get(list, 0), "annotations"),
				"io.containerd.image.name"));
	assert_string_equal(text, kc_json_get_str(entry, "ref", ""));
	text = json_string_value(
		json_object_get(json_object_get(json_array_get(list, 1), "annotations"),
				"io.containerd.image.name"));
	assert_true(kc_startswith(text, "kubecdn.io/pause@sha256:"));
	config = blob_json(files, json_object_get(manifest, "config"));
	assert_string_equal(json_string_value(
				    json_array_get(kc_json_at(config, "config.Entrypoint"), 0)),
			    "/pause");
	/* One uncompressed layer: its digest is the diff id. */
	assert_string_equal(kc_json_get_str(json_array_get(json_object_get(manifest, "layers"), 0),
					    "digest", ""),
			    json_string_value(
				    json_array_get(kc_json_at(config, "rootfs.diff_ids"), 0)));
	parts_done(&p);
	parts_done(&q);
}

/* SIGTERM ends pause with success at once, even when it comes before anything else. */
static void test_pause_program(void **state)
{
	_cleanup_free_ char *dir = NULL, *path = NULL;
	json_auto_t *pins = NULL;
	struct kc_parts p;
	sigset_t term;
	int status;
	pid_t pid;

	assert_int_equal(kc_bundle_pins(NULL, &pins, NULL), 0);
	parts_init(&p, "one", pins);
	assert_int_equal(kc_part_pause(&p, &dir, NULL), 0);
	path = xasprintf("%s/pause", dir);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pid = fork();
	if (pid == 0) {
		/* Blocked until pause waits for it: a signal sent now is not lost. */
		sigprocmask(SIG_BLOCK, &term, NULL);
		kill(getpid(), SIGTERM);
		execl(path, "pause", NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	parts_done(&p);
}

/* Packing: the same content is the same blob; a packed file that was damaged is made again. */
static void test_pack(void **state)
{
	_cleanup_free_ char *file = xasprintf("%s/file", home), *blobs = xasprintf("%s/b", home);
	_cleanup_free_ char *kept = NULL, *blob = NULL;
	json_auto_t *one = json_object(), *two = json_object();
	char sha[KC_SHA256_HEX];
	struct kc_parts p;

	parts_init(&p, "pack", NULL);
	assert_int_equal(kc_mkdir_p(blobs, 0700, NULL), 0);
	assert_int_equal(kc_file_write(file, "some content", 12, 0600, NULL), 0);
	assert_int_equal(kc_part_pack(&p, file, blobs, one, NULL), 0);
	kept = xasprintf("%s/packed/%s.zst", p.cache, kc_json_get_str(one, "blob", ""));
	blob = xasprintf("%s/%s", blobs, kc_json_get_str(one, "blob", ""));
	assert_int_equal(unlink(blob), 0);
	assert_int_equal(kc_file_write(kept, "damaged", 7, 0600, NULL), 0);
	assert_int_equal(kc_part_pack(&p, file, blobs, two, NULL), 0);
	assert_true(json_equal(one, two));
	assert_int_equal(kc_sha256_file(blob, sha, NULL, NULL), 0);
	assert_string_equal(sha, kc_json_get_str(one, "blob", ""));
	parts_done(&p);
}

/*
 * The CNI plugins compiled twice from the sources in the user's module cache (never the network):
 * equal bytes whatever the folder. Skipped where no bundle was ever built.
 */
static void test_compile_twice(void **state)
{
	static const char *const caches[] = { "go1", "another/longer/go2" };
	json_auto_t *pins = NULL;
	char sha[2][KC_SHA256_HEX];
	struct kc_err err = { 0 };
	const json_t *cni;

	if (!user_go) {
		print_message("no bundle was built here: its sources are missing\n");
		skip(); /* a jump: nothing may be owned yet */
	}
	assert_int_equal(kc_bundle_pins(NULL, &pins, NULL), 0);
	cni = named(json_object_get(pins, "components"), "cni");
	setenv("GOPROXY", "off", 1);
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *dir = NULL, *file = NULL, *link = NULL;
		struct kc_parts p;
		int r;

		parts_init(&p, caches[i], pins);
		link = xasprintf("%s/go", p.cache);
		assert_int_equal(symlink(user_go, link), 0);
		r = kc_part_build(&p, cni, &dir, &err);
		if (r < 0)
			print_message("%s\n", err.msg);
		assert_int_equal(r, 0);
		file = xasprintf("%s/cni/host-local", dir);
		assert_int_equal(kc_sha256_file(file, sha[i], NULL, NULL), 0);
		parts_done(&p);
	}
	assert_string_equal(sha[0], sha[1]);
}

/* No Go at all is one clear line; nothing is left behind as if it were built. */
static void test_no_go(void **state)
{
	_cleanup_free_ char *path = xstrdup(getenv("PATH")), *dir = NULL;
	json_auto_t *pins = NULL;
	struct kc_err err = { 0 };
	struct kc_parts p;

	assert_int_equal(kc_bundle_pins(NULL, &pins, NULL), 0);
	parts_init(&p, "none", pins);
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(kc_part_build(&p, named(json_object_get(pins, "components"), "cni"), &dir,
				       &err),
			 KC_ENOTFOUND);
	setenv("PATH", path, 1);
	assert_non_null(
		strstr(err.msg, "no Go to compile the bundle with: install Debian's golang-go"));
	parts_done(&p);
}

static int setup(void **state)
{
	_cleanup_free_ char *cache = kc_cache_dir(), *go = xasprintf("%s/go", cache);
	_cleanup_free_ char *module = NULL;
	json_auto_t *pins = NULL;
	const json_t *cni;

	if (kc_bundle_pins(NULL, &pins, NULL) < 0)
		return -1;
	cni = named(json_object_get(pins, "components"), "cni");
	module = xasprintf("%s/mod/%s@v%s", go, kc_json_get_str(cni, "module", "?"),
			   kc_json_get_str(cni, "version", "?"));
	if (kc_exists(module))
		user_go = TAKE(go);
	return mkdtemp(home) ? 0 : -1;
}

static int teardown(void **state)
{
	free(user_go);
	return kc_rm_rf(home, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pins),	      cmocka_unit_test(test_versions),
		cmocka_unit_test(test_pause_image),   cmocka_unit_test(test_pause_program),
		cmocka_unit_test(test_pack),	      cmocka_unit_test(test_no_go),
		cmocka_unit_test(test_compile_twice),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
