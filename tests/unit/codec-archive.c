/* lib/codec/archive.h: tar that is the same bytes whoever writes it, as tar(1) reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/archive.h"

static char dir[] = "/tmp/kc-archive-XXXXXX";

static int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	return kc_rm_rf(dir, NULL);
}

static char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void put(const char *name, const char *text, mode_t mode)
{
	_cleanup_free_ char *path = in_dir(name);
	_cleanup_free_ char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));

	assert_int_equal(kc_mkdir_p(parent, 0700, NULL), 0);
	assert_int_equal(kc_file_write(path, text, strlen(text), mode, NULL), 0);
}

static void write_tree(const char *tar)
{
	_cleanup_free_ char *path = in_dir(tar), *a = in_dir("tree/a"), *one = in_dir("tree/b/one");
	struct kc_tar *t = NULL;

	assert_int_equal(kc_tar_open(path, &t, NULL), 0);
	assert_int_equal(kc_tar_add_file(t, "a", a, 0644, NULL), 0);
	assert_int_equal(kc_tar_add_file(t, "b/one", one, 0755, NULL), 0);
	assert_int_equal(kc_tar_add_link(t, "link", "b/one", NULL), 0);
	assert_int_equal(kc_tar_add_data(t, "made/by/hand", "data", 4, 0600, NULL), 0);
	assert_int_equal(kc_tar_close(t, NULL), 0);
}

static void test_reproducible(void **state)
{
	_cleanup_free_ char *one = in_dir("one.tar"), *two = in_dir("two.tar"), *a = NULL,
			    *b = NULL;
	_cleanup_buf_ struct kc_buf names = { 0 };
	_cleanup_free_ char *list = NULL;
	size_t a_len, b_len;
	char *save = NULL;

	put("tree/b/one", "1", 0777);
	put("tree/a", "0", 0600);
	write_tree("one.tar");
	/* Other times and modes: the same archive. */
	put("tree/a", "0", 0640);
	write_tree("two.tar");
	assert_int_equal(kc_file_read(one, 1 << 20, &a, &a_len, NULL), 0);
	assert_int_equal(kc_file_read(two, 1 << 20, &b, &b_len, NULL), 0);
	assert_int_equal(a_len, b_len);
	assert_memory_equal(a, b, a_len);
	/* ustar: uid at 108, gid at 116, mtime at 136, all octal zero. */
	assert_memory_equal(a + 108, "000000 ", 7);
	assert_memory_equal(a + 116, "000000 ", 7);
	assert_memory_equal(a + 136, "00000000000", 11);
	assert_int_equal(kc_runl(&list, NULL, "tar", "--numeric-owner", "-tvf", one, NULL), 0);
	for (char *l = strtok_r(list, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		const char *name = strstr(l, "1970-01-01");

		assert_non_null(name);
		kc_buf_printf(&names, "%.10s %s\n", l, name + strlen("1970-01-01 00:00 "));
	}
	assert_string_equal(kc_buf_get(&names), "-rw-r--r-- a\ndrwxr-xr-x b/\n-rwxr-xr-x b/one\n"
						"lrwxrwxrwx link -> b/one\ndrwxr-xr-x made/\n"
						"drwxr-xr-x made/by/\n-rw------- made/by/hand\n");
}

static void test_content(void **state)
{
	_cleanup_free_ char *tar = in_dir("one.tar"), *to = in_dir("out"), *text = NULL;
	_cleanup_free_ char *link = in_dir("out/link");

	write_tree("one.tar");
	assert_int_equal(kc_mkdir_p(to, 0700, NULL), 0);
	assert_int_equal(kc_runl(NULL, NULL, "tar", "-xf", tar, "-C", to, NULL), 0);
	assert_int_equal(kc_file_read(link, 10, &text, NULL, NULL), 0);
	assert_string_equal(text, "1");
}

static void test_names_refused(void **state)
{
	static const char *const bad[] = { "", "/etc/x", "../x", "a/../b", "a//b", "./a", "a/" };
	_cleanup_free_ char *path = in_dir("bad-names.tar");
	_cleanup_tar_ struct kc_tar *t = NULL;
	struct kc_err err;

	assert_int_equal(kc_tar_open(path, &t, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(kc_tar_add_data(t, bad[i], "x", 1, 0644, &err), KC_EINVAL);
}

/* Somebody else's archive: the one file, or an error; a link or a path out of it is never followed.
 */
static void test_take(void **state)
{
	_cleanup_free_ char *gz = in_dir("other.tgz"), *out = in_dir("taken"), *text = NULL;
	_cleanup_free_ char *cut = in_dir("cut.tgz");
	struct kc_err err;
	size_t len;

	put("other/bin/etcd", "program", 0755);
	assert_int_equal(kc_runl(NULL, &err, "sh", "-c",
				 "cd \"$0\"/other && ln -s /etc/passwd bin/link && "
				 "tar -czf ../other.tgz . && head -c 100 ../other.tgz >../cut.tgz",
				 dir, NULL),
			 0);
	assert_int_equal(kc_archive_take(gz, "bin/etcd", out, 100, &err), 0);
	assert_int_equal(kc_file_read(out, 100, &text, &len, NULL), 0);
	assert_string_equal(text, "program");
	assert_int_equal(unlink(out), 0);

	assert_int_equal(kc_archive_take(gz, "bin/etcdctl", out, 100, &err), KC_ENOTFOUND);
	assert_int_equal(kc_archive_take(gz, "bin/link", out, 100, &err), KC_EINVAL);
	assert_int_equal(kc_archive_take(gz, "bin", out, 100, &err), KC_ENOTFOUND);
	assert_int_equal(kc_archive_take(gz, "bin/etcd", out, 6, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "more than the 6 bytes"));
	assert_int_equal(kc_archive_take(cut, "bin/etcd", out, 100, &err), KC_EINVAL);
	put("text", "no archive at all", 0600);
	free(cut);
	cut = in_dir("text");
	assert_int_equal(kc_archive_take(cut, "bin/etcd", out, 100, &err), KC_EINVAL);
	assert_false(kc_exists(out));
}

static void test_gzip(void **state)
{
	_cleanup_free_ char *from = in_dir("plain"), *gz = in_dir("plain.gz"),
			    *again = in_dir("again.gz"), *none = in_dir("none"), *a = NULL,
			    *b = NULL, *text = xcalloc(1, 700001), *back = NULL;
	struct kc_err err = { 0 };
	size_t a_len, b_len;

	for (size_t i = 0; i < 700000; i++)
		text[i] = (char)('a' + i % 23);
	assert_int_equal(kc_file_write(from, text, 700000, 0600, NULL), 0);
	if (kc_gzip_file(from, gz, &err) < 0 || kc_gzip_file(from, again, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(kc_runl(&back, NULL, "gzip", "-dc", gz, NULL), 0);
	assert_string_equal(back, text);
	assert_int_equal(kc_file_read(gz, 700000, &a, &a_len, NULL), 0);
	assert_int_equal(kc_file_read(again, 700000, &b, &b_len, NULL), 0);
	assert_int_equal(a_len, b_len);
	assert_memory_equal(a, b, a_len);
	assert_true(a_len < 70000);
	assert_int_equal(kc_gzip_file(none, gz, &err), KC_ENOTFOUND);
	assert_int_equal(kc_gzip_file(dir, gz, &err), KC_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reproducible),  cmocka_unit_test(test_content),
		cmocka_unit_test(test_names_refused), cmocka_unit_test(test_take),
		cmocka_unit_test(test_gzip),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
