/* bootstrap/bundle/bundle.h: reading and verifying bundles, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "bootstrap/bundle/internal.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/zstd.h"
#include "lib/crypto/hash.h"

static char home[] = "/tmp/kc-bundle-XXXXXX";
static char *dir; /* a small bundle, made anew for each test */

#define CONTENT "#!/bin/sh\necho this stands for a program\n"

/* One blob of this text in dir; returns its entry. */
static json_t *make_blob(const char *text)
{
	_cleanup_free_ char *plain = xasprintf("%s/plain", home),
			    *packed = xasprintf("%s/packed", home);
	_cleanup_free_ char *to = NULL;
	char sha[KC_SHA256_HEX], blob[KC_SHA256_HEX];
	uint64_t size;

	assert_int_equal(kc_file_write(plain, text, strlen(text), 0600, NULL), 0);
	assert_int_equal(kc_zstd_compress_file(plain, packed, 3, NULL, NULL), 0);
	kc_sha256(text, strlen(text), sha);
	assert_int_equal(kc_sha256_file(packed, blob, &size, NULL), 0);
	to = xasprintf("%s/blobs/sha256/%s", dir, blob);
	assert_int_equal(rename(packed, to), 0);
	return kc_pack("{s:s, s:I, s:s, s:I}", "sha256", sha, "size", (json_int_t)strlen(text),
		       "blob", blob, "blobSize", (json_int_t)size);
}

static void write_json(const json_t *j)
{
	_cleanup_free_ char *path = xasprintf("%s/bundle.json", dir), *text = kc_json_text(j);

	assert_int_equal(kc_file_write(path, text, strlen(text), 0600, NULL), 0);
}

static json_t *bundle; /* its bundle.json, to change and write again */

static int make(void **state)
{
	_cleanup_free_ char *blobs = NULL;
	json_auto_t *pins = NULL;
	json_t *file, *image;

	assert_int_equal(kc_bundle_pins(NULL, &pins, NULL), 0);
	dir = xasprintf("%s/bundle", home);
	blobs = xasprintf("%s/blobs/sha256", dir);
	assert_int_equal(kc_mkdir_p(blobs, 0700, NULL), 0);
	file = make_blob(CONTENT);
	json_object_set_new(file, "path", json_string("etcd"));
	json_object_set_new(file, "mode", json_string("0755"));
	image = make_blob("not really a tar\n");
	json_object_set_new(image, "ref", json_string("kubecdn.io/coredns:1.14.6"));
	json_object_set_new(image, "digest",
			    json_sprintf("sha256:%s", kc_json_get_str(image, "sha256", "")));
	bundle = kc_pack("{s:i, s:O, s:s, s:[{s:s, s:s, s:[o], s:{s:s}}], s:{s:o}}", "format", 1,
			 "kubernetes", json_object_get(pins, "kubernetes"), "arch", "amd64",
			 "components", "name", "etcd", "version", "3.6.16", "blobs", file, "links",
			 "etcdctl", "etcd", "images", "coredns", image);
	write_json(bundle);
	return 0;
}

static int unmake(void **state)
{
	json_decref(bundle);
	kc_rm_rf(dir, NULL);
	free(dir);
	return 0;
}

static const char *etcd_blob(void)
{
	return json_string_value(json_object_get(
		json_array_get(kc_json_at(json_array_get(json_object_get(bundle, "components"), 0),
					  "blobs"),
			       0),
		"blob"));
}

static char *blob_path(const char *hash)
{
	return xasprintf("%s/blobs/sha256/%s", dir, hash);
}

static void test_open(void **state)
{
	_cleanup_bundle_ struct kc_bundle *b = NULL;
	_cleanup_close_ int fd = -1;
	struct kc_err err;
	struct stat st;
	uint64_t size;

	assert_int_equal(kc_bundle_open(dir, NULL, &b, &err), 0);
	assert_string_equal(kc_bundle_version(b), "1.37.2");
	assert_string_equal(kc_bundle_arch(b), "amd64");
	assert_null(kc_bundle_image(b, "busybox"));
	assert_int_equal(kc_bundle_blob(b, etcd_blob(), &fd, &size, &err), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, size);
}

static void test_absent(void **state)
{
	struct kc_bundle *b = NULL;
	struct kc_err err;

	assert_int_equal(kc_bundle_open("/nonexistent", NULL, &b, &err), KC_ENOTFOUND);
	assert_non_null(strstr(err.msg, "kubecdn bundle build"));
	assert_null(b);
}

/* Set one member (by path; "" removes a top-level key) to a value and see it refused. */
static void refused(const char *parent, const char *key, json_t *value, const char *why)
{
	json_auto_t *bad = json_deep_copy(bundle);
	json_t *o = *parent ? kc_json_at(bad, parent) : bad;
	struct kc_bundle *b = NULL;
	struct kc_err err = { 0 };

	if (streq(parent, "component"))
		o = json_array_get(json_object_get(bad, "components"), 0);
	if (streq(parent, "file"))
		o = json_array_get(kc_json_at(json_array_get(json_object_get(bad, "components"), 0),
					      "blobs"),
				   0);
	assert_true(json_is_object(o));
	if (value)
		json_object_set_new(o, key, value);
	else
		json_object_del(o, key);
	write_json(bad);
	assert_int_equal(kc_bundle_open(dir, NULL, &b, &err), KC_EINVAL);
	if (!strstr(err.msg, why))
		fail_msg("%s.%s: \"%s\" is not in \"%s\"", parent, key, why, err.msg);
}

static void test_bad_json(void **state)
{
	refused("", "format", json_integer(2), "format 2");
	refused("", "format", NULL, "format");
	refused("", "kubernetes", json_integer(1), "kubernetes");
	refused("", "arch", NULL, "arch");
	refused("", "components", json_object(), "components");
	refused("", "images", json_array(), "images");
	refused("component", "name", NULL, "name");
	refused("component", "blobs", NULL, "blobs");
	refused("component", "links", json_pack("{s:s}", "../x", "etcd"), "not a safe link");
	refused("component", "links", json_pack("{s:s}", "etcdctl", "/bin/sh"), "not a safe link");
	refused("component", "links", json_pack("{s:i}", "etcdctl", 1), "not a safe link");
	refused("file", "path", json_string("../../etc/passwd"), "not a safe path");
	refused("file", "path", json_string("/etc/passwd"), "not a safe path");
	refused("file", "path", json_string("cni//ptp"), "not a safe path");
	refused("file", "mode", json_string("4755"), "not a mode");
	refused("file", "mode", json_string("0799"), "not a mode");
	refused("file", "sha256", json_string("abc"), "not a SHA-256");
	refused("file", "blob", json_string("../../../x"), "not a SHA-256");
	refused("file", "size", json_integer(-1), "out of range");
	refused("file", "blobSize", json_integer(1LL << 40), "out of range");
	refused("file", "size", json_string("12"), "size");
	refused("images.coredns", "digest", json_string("md5:1"), "not a digest");
	refused("images.coredns", "ref", NULL, "ref");
	refused("images.coredns", "blob", NULL, "blob");
}

static void test_not_json(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/bundle.json", dir);
	struct kc_bundle *b = NULL;
	struct kc_err err;

	assert_int_equal(kc_file_write(path, "{\"format\": 1", 12, 0600, NULL), 0);
	assert_true(kc_bundle_open(dir, NULL, &b, &err) < 0);
	assert_non_null(strstr(err.msg, "bundle.json"));
}

static void count(void *cookie, const char *line)
{
	++*(int *)cookie;
}

static void test_verify_good(void **state)
{
	struct kc_err err = { 0 };
	int lines = 0;

	assert_int_equal(kc_bundle_verify(dir, NULL, count, &lines, NULL, &err), 0);
	assert_int_equal(lines, 2);
}

static void test_verify_canceled(void **state)
{
	atomic_bool cancel = true;
	int lines = 0;

	assert_int_equal(kc_bundle_verify(dir, NULL, count, &lines, &cancel, NULL), KC_ECANCELED);
	assert_int_equal(lines, 0);
}

/* Verification fails and names the hash, the file and why. */
static void verify_fails(const char *hash, const char *who, const char *why)
{
	struct kc_err err = { 0 };

	assert_true(kc_bundle_verify(dir, NULL, NULL, NULL, NULL, &err) < 0);
	if (!strstr(err.msg, hash) || !strstr(err.msg, who) || !strstr(err.msg, why))
		fail_msg("\"%s\" lacks %s, \"%s\" or \"%s\"", err.msg, hash, who, why);
}

static void test_verify_changed(void **state)
{
	_cleanup_free_ char *path = blob_path(etcd_blob()), *data = NULL;
	size_t len;

	assert_int_equal(kc_file_read(path, 1 << 20, &data, &len, NULL), 0);
	data[len / 2] ^= 4;
	assert_int_equal(kc_file_write(path, data, len, 0600, NULL), 0);
	verify_fails(etcd_blob(), "etcd/etcd", "damaged");
}

static void test_verify_cut(void **state)
{
	_cleanup_free_ char *path = blob_path(etcd_blob());

	assert_int_equal(truncate(path, 10), 0);
	verify_fails(etcd_blob(), "etcd/etcd", "has 10 bytes instead of");
}

static void test_verify_missing(void **state)
{
	_cleanup_free_ char *path = blob_path(etcd_blob());

	assert_int_equal(unlink(path), 0);
	verify_fails(etcd_blob(), "etcd/etcd", "No such file");
}

/* One blob, before it is sent: remembered while it is the same file, and read again once it is not.
 */
static void test_check_one(void **state)
{
	_cleanup_free_ char *path = blob_path(etcd_blob()), *data = NULL;
	_cleanup_bundle_ struct kc_bundle *b = NULL;
	json_auto_t *known = json_object(), *first = NULL;
	struct kc_err err = { 0 };
	size_t len;

	assert_int_equal(kc_bundle_open(dir, NULL, &b, &err), 0);
	assert_int_equal(kc_bundle_check(b, etcd_blob(), NULL, &err), 0);
	assert_int_equal(kc_bundle_check(b, etcd_blob(), known, &err), 0);
	assert_int_equal(json_object_size(known), 1);
	first = json_deep_copy(known);
	assert_int_equal(kc_bundle_check(b, etcd_blob(), known, &err), 0);
	assert_true(json_equal(known, first));
	assert_int_equal(kc_file_read(path, 1 << 20, &data, &len, NULL), 0);
	data[len / 2] ^= 4;
	assert_int_equal(kc_file_write(path, data, len, 0600, NULL), 0);
	assert_int_equal(kc_bundle_check(b, etcd_blob(), known, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, etcd_blob()));
	assert_non_null(strstr(err.msg, path));
	assert_true(json_equal(known, first));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(kc_bundle_check(b, etcd_blob(), known, &err), KC_ENOTFOUND);
	assert_non_null(strstr(err.msg, "rebuild"));
}

/* A blob that is what its name says, but not what bundle.json says is in it. */
static void test_verify_other_content(void **state)
{
	json_t *image = kc_json_at(bundle, "images.coredns");
	_cleanup_free_ char *blob = xstrdup(kc_json_get_str(image, "blob", ""));
	int64_t size = kc_json_get_int(image, "size", 0);
	char other[KC_SHA256_HEX];

	kc_sha256("other", 5, other);
	json_object_set_new(image, "sha256", json_string(other));
	write_json(bundle);
	verify_fails(blob, "image coredns", other);
	json_object_set_new(image, "size", json_integer(size - 1));
	write_json(bundle);
	verify_fails(blob, "image coredns", "more than");
}

/* build --from DIR: a verified copy, or nothing. */
static void test_from_dir(void **state)
{
	_cleanup_free_ char *out = xasprintf("%s/copy", home), *path = blob_path(etcd_blob());
	_cleanup_free_ char *tmp = xasprintf("%s.new", out), *made = NULL;
	struct kc_bundle_build o = { .from = dir, .out = out, .arch = "amd64" };
	struct kc_err err = { 0 };

	assert_int_equal(kc_bundle_build(&o, &made, &err), 0);
	assert_string_equal(made, out);
	assert_int_equal(kc_bundle_verify(out, NULL, NULL, NULL, NULL, &err), 0);
	/* Again, over the old one. */
	assert_int_equal(kc_bundle_build(&o, NULL, &err), 0);
	/* A bad source leaves the old bundle as it was. */
	assert_int_equal(unlink(path), 0);
	assert_true(kc_bundle_build(&o, NULL, &err) < 0);
	assert_int_equal(kc_bundle_verify(out, NULL, NULL, NULL, NULL, &err), 0);
	assert_false(kc_exists(tmp));
	assert_int_equal(kc_rm_rf(out, NULL), 0);
}

static void test_from_dir_refusals(void **state)
{
	_cleanup_free_ char *foreign = xasprintf("%s/foreign", home), *file = NULL;
	struct kc_bundle_build o = { .from = dir, .out = foreign, .arch = "amd64" };
	struct kc_err err = { 0 };

	file = xasprintf("%s/precious", foreign);
	assert_int_equal(kc_mkdir_p(foreign, 0700, NULL), 0);
	assert_int_equal(kc_file_write(file, "x", 1, 0600, NULL), 0);
	assert_int_equal(kc_bundle_build(&o, NULL, &err), KC_ECONFLICT);
	assert_non_null(strstr(err.msg, "is not a bundle"));
	assert_true(kc_exists(file));

	o.out = NULL;
	o.arch = "arm64";
	assert_int_equal(kc_bundle_build(&o, NULL, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "amd64, not 1.37.2 for arm64"));
	o.arch = "sparc";
	assert_int_equal(kc_bundle_build(&o, NULL, &err), KC_EINVAL);
	o.arch = NULL;
	o.kubernetes = "1.20.0";
	assert_int_equal(kc_bundle_build(&o, NULL, &err), KC_EINVAL);
	assert_non_null(
		strstr(err.msg, "Kubernetes 1.20.0 is not supported; supported: 1.37.2, 1.36.3"));
}

static void test_list(void **state)
{
	_cleanup_free_ char *out = xasprintf("%s/.cache/kubecdn/bundles/1.37.2-amd64", home);
	_cleanup_free_ char *broken = xasprintf("%s/.cache/kubecdn/bundles/broken", home);
	_cleanup_free_ char *older = xasprintf("%s/.cache/kubecdn/bundles/1.9.0-amd64", home);
	struct kc_bundle_build o = { .from = dir, .arch = "amd64" };
	json_auto_t *list = NULL;
	const json_t *b;

	assert_int_equal(kc_bundle_build(&o, NULL, NULL), 0);
	assert_int_equal(kc_mkdir_p(broken, 0700, NULL), 0);
	assert_int_equal(kc_mkdir_p(older, 0700, NULL), 0);
	assert_int_equal(kc_bundle_list(&list, NULL), 0);
	assert_true(kc_json_has_str(json_object_get(list, "supported"), "1.37.2"));
	b = json_array_get(json_object_get(list, "bundles"), 0);
	assert_string_equal(kc_json_get_str(b, "dir", ""), out);
	assert_int_equal(kc_json_get_int(b, "blobs", 0), 2);
	assert_true(kc_json_get_int(b, "core", 0) > 0);
	/* The newest version first; what is no version comes last. */
	b = json_array_get(json_object_get(list, "bundles"), 1);
	assert_string_equal(kc_json_get_str(b, "dir", ""), older);
	b = json_array_get(json_object_get(list, "bundles"), 2);
	assert_string_equal(kc_json_get_str(b, "dir", ""), broken);
	assert_non_null(strstr(kc_json_get_str(b, "error", ""), "no bundle in"));
}

static int setup(void **state)
{
	unsetenv("XDG_CACHE_HOME");
	return mkdtemp(home) && setenv("HOME", home, 1) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	return kc_rm_rf(home, NULL);
}

int main(void)
{
#define EACH(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)
	const struct CMUnitTest tests[] = {
		EACH(test_open),
		EACH(test_absent),
		EACH(test_bad_json),
		EACH(test_not_json),
		EACH(test_verify_good),
		EACH(test_verify_canceled),
		EACH(test_verify_changed),
		EACH(test_verify_cut),
		EACH(test_verify_missing),
		EACH(test_from_dir),
		EACH(test_verify_other_content),
		EACH(test_list),
		EACH(test_from_dir_refusals),
		EACH(test_check_one),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
