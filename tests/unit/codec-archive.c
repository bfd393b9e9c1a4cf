/* lib/codec/archive.h: reproducible tar, and hostile archives refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
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
	_cleanup_free_ char *path = in_dir(tar), *tree = in_dir("tree");
	struct kc_tar *t = NULL;

	assert_int_equal(kc_tar_open(path, &t, NULL), 0);
	assert_int_equal(kc_tar_add_tree(t, "", tree, NULL), 0);
	assert_int_equal(kc_tar_add_data(t, "made/by/hand", "data", 4, 0600, NULL), 0);
	assert_int_equal(kc_tar_close(t, NULL), 0);
}

static int note_name(void *cookie, const char *name, mode_t mode, const void *data, size_t len,
		     const char *target, struct kc_err *err)
{
	kc_buf_printf(cookie, "%s %o%s%s%s%.*s\n", name, (unsigned)mode & 07777,
		      target ? " -> " : "", target ? target : "", data && len ? " = " : "",
		      data ? (int)len : 0, data ? (const char *)data : "");
	return 0;
}

static void test_reproducible(void **state)
{
	_cleanup_free_ char *one = in_dir("one.tar"), *two = in_dir("two.tar"), *a = NULL,
			    *b = NULL;
	_cleanup_free_ char *z = in_dir("tree/z"), *link = in_dir("tree/link");
	_cleanup_buf_ struct kc_buf names = { 0 };
	size_t a_len, b_len;

	put("tree/b/two", "2", 0640);
	put("tree/b/one", "1", 0777);
	put("tree/a", "0", 0600);
	put("tree/z", "", 0600);
	assert_int_equal(symlink("b/one", link), 0);
	write_tree("one.tar");
	/* Other times, another order of making: the same archive. */
	unlink(z);
	put("tree/z", "", 0644);
	write_tree("two.tar");
	assert_int_equal(kc_file_read(one, 1 << 20, &a, &a_len, NULL), 0);
	assert_int_equal(kc_file_read(two, 1 << 20, &b, &b_len, NULL), 0);
	assert_int_equal(a_len, b_len);
	assert_memory_equal(a, b, a_len);
	/* ustar: uid at 108, gid at 116, mtime at 136, all octal zero. */
	assert_memory_equal(a + 108, "000000 ", 7);
	assert_memory_equal(a + 116, "000000 ", 7);
	assert_memory_equal(a + 136, "00000000000", 11);
	assert_int_equal(kc_archive_walk(one, NULL, 100, note_name, &names, NULL), 0);
	assert_string_equal(kc_buf_get(&names), "a 644 = 0\nb 755\nb/one 755 = 1\nb/two 644 = 2\n"
						"link 777 -> b/one\nz 644\nmade 755\nmade/by 755\n"
						"made/by/hand 600 = data\n");
}

static void test_extract(void **state)
{
	_cleanup_free_ char *tar = in_dir("one.tar"), *to = in_dir("out"), *text = NULL;
	_cleanup_free_ char *file = in_dir("out/b/one"), *link = in_dir("out/link");
	struct stat st;

	write_tree("one.tar");
	assert_int_equal(kc_mkdir_p(to, 0700, NULL), 0);
	assert_int_equal(kc_archive_extract(tar, to, NULL, NULL), 0);
	assert_int_equal(kc_file_read(link, 10, &text, NULL, NULL), 0);
	assert_string_equal(text, "1");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_uid, getuid());
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

/* A tar entry by hand (POSIX ustar), as a hostile writer would make it. */
static void entry(struct kc_buf *b, const char *name, char type, const char *target,
		  const char *data)
{
	char h[512] = { 0 }, pad[512] = { 0 };
	unsigned sum = 0;
	size_t n = strlen(data);

	snprintf(h, 100, "%s", name);
	memcpy(h + 100, "0000755\0000000000\0000000000", 24);
	snprintf(h + 124, 12, "%011o", (unsigned)n);
	memcpy(h + 136, "00000000000", 12);
	memset(h + 148, ' ', 8);
	h[156] = type;
	if (target)
		snprintf(h + 157, 100, "%s", target);
	memcpy(h + 257, "ustar\00000", 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	kc_buf_putn(b, h, 512);
	kc_buf_putn(b, data, n);
	if (n % 512)
		kc_buf_putn(b, pad, 512 - n % 512);
}

static void refused(struct kc_buf *tar, const struct kc_archive_limits *limits, const char *why)
{
	_cleanup_free_ char *path = in_dir("hostile.tar"), *to = in_dir("cage/in"),
			    *cage = in_dir("cage"), *out = in_dir("cage/escaped");
	struct kc_err err = { 0 };
	char end[1024] = { 0 };

	kc_buf_putn(tar, end, sizeof(end));
	assert_int_equal(kc_file_write(path, tar->data, tar->len, 0600, NULL), 0);
	assert_int_equal(kc_mkdir_p(to, 0700, NULL), 0);
	assert_int_equal(kc_archive_extract(path, to, limits, &err), KC_EINVAL);
	if (!strstr(err.msg, why))
		fail_msg("\"%s\" is not in \"%s\"", why, err.msg);
	assert_false(kc_exists(out));
	assert_int_equal(kc_rm_rf(cage, NULL), 0);
	kc_buf_clear(tar);
}

static void test_hostile(void **state)
{
	_cleanup_buf_ struct kc_buf t = { 0 };

	entry(&t, "../escaped", '0', NULL, "x");
	refused(&t, NULL, "not a safe path");
	entry(&t, "a/../../escaped", '0', NULL, "x");
	refused(&t, NULL, "not a safe path");
	entry(&t, "/tmp/kc-escaped", '0', NULL, "x");
	refused(&t, NULL, "not a safe path");
	entry(&t, "door", '2', "..", "");
	entry(&t, "door/escaped", '0', NULL, "x");
	refused(&t, NULL, "through a link");
	entry(&t, "hard", '1', "../../etc/passwd", "");
	refused(&t, NULL, "hard link");
	entry(&t, "null", '3', NULL, "");
	refused(&t, NULL, "neither file");
	kc_buf_puts(&t, "this is not an archive at all");
	refused(&t, NULL, "not a good archive");
}

static void test_ceilings(void **state)
{
	_cleanup_buf_ struct kc_buf t = { 0 };

	entry(&t, "a", '0', NULL, "12345");
	entry(&t, "b", '0', NULL, "67890");
	refused(&t, &(struct kc_archive_limits){ .bytes = 9 }, "more than allowed");
	entry(&t, "a", '0', NULL, "");
	entry(&t, "b", '0', NULL, "");
	refused(&t, &(struct kc_archive_limits){ .entries = 1 }, "more entries");
}

static void test_truncated(void **state)
{
	_cleanup_free_ char *path = in_dir("cut.tar"), *to = in_dir("cut");
	_cleanup_buf_ struct kc_buf t = { 0 };
	struct kc_err err;

	entry(&t, "a", '0', NULL, "12345");
	assert_int_equal(kc_file_write(path, t.data, 514, 0600, NULL), 0);
	assert_int_equal(kc_mkdir_p(to, 0700, NULL), 0);
	assert_int_equal(kc_archive_extract(path, to, NULL, &err), KC_EINVAL);
}

/* A stored zip member by hand (APPNOTE 4.3): zip is recognised, too. */
static void test_zip(void **state)
{
	static const unsigned char zip[] =
		"PK\3\4\24\0\0\0\0\0\0\0\0\0\x86\xa6\x10\x36\5\0\0\0\5\0\0\0\5\0\0\0d/txthello"
		"PK\1\2\24\3\24\0\0\0\0\0\0\0\0\0\x86\xa6\x10\x36\5\0\0\0\5\0\0\0\5\0\0\0\0\0\0\0\0"
		"\0"
		"\0\0\xa4\x81\0\0\0\0d/txt"
		"PK\5\6\0\0\0\0\1\0\1\0\x33\0\0\0\x28\0\0\0\0";
	_cleanup_free_ char *path = in_dir("x.zip"), *to = in_dir("zip"),
			    *file = in_dir("zip/d/txt");
	_cleanup_free_ char *text = NULL;

	assert_int_equal(kc_file_write(path, zip, sizeof(zip), 0600, NULL), 0);
	assert_int_equal(kc_mkdir_p(to, 0700, NULL), 0);
	assert_int_equal(kc_archive_extract(path, to, NULL, NULL), 0);
	assert_int_equal(kc_file_read(file, 10, &text, NULL, NULL), 0);
	assert_string_equal(text, "hello");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reproducible),  cmocka_unit_test(test_extract),
		cmocka_unit_test(test_names_refused), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_ceilings),      cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_zip),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
