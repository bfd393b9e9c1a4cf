/* lib/codec/zstd.h: round trips, and every kind of bad stream refused. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/zstd.h"
#include "lib/base/mem.h"

static char dir[] = "/tmp/kc-zstd-XXXXXX";

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

/* Text that compresses, but not to nothing. */
static char *sample(size_t n)
{
	char *s = xmalloc(n + 1);
	uint32_t x = 12345;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		s[i] = (char)('a' + (x >> 28));
	}
	s[n] = '\0';
	return s;
}

/* Write data to a file, compress it, read the result. */
static char *compress(const void *data, size_t n, int level, size_t *ret_len)
{
	_cleanup_free_ char *plain = in_dir("plain"), *packed = in_dir("packed");
	char *out = NULL;

	assert_int_equal(kc_file_write(plain, data, n, 0600, NULL), 0);
	assert_int_equal(kc_zstd_compress_file(plain, packed, level, NULL, NULL), 0);
	assert_int_equal(kc_file_read(packed, 64 << 20, &out, ret_len, NULL), 0);
	return out;
}

static int to_buf(void *cookie, const void *data, size_t len, struct kc_err *err)
{
	return kc_buf_add(cookie, data, len, err);
}

/* Decompress what stands in memory; *ret stays as it is on failure. */
static int unpack(const void *data, size_t n, const char *what, size_t max, char **ret,
		  size_t *ret_len, struct kc_err *err)
{
	_cleanup_free_ char *path = in_dir("stream");
	_cleanup_buf_ struct kc_buf out = { 0 };
	_cleanup_close_ int fd = -1;
	uint64_t size = 0;
	int r;

	assert_int_equal(kc_file_write(path, data, n, 0600, NULL), 0);
	fd = open(path, O_RDONLY);
	r = kc_zstd_decompress(fd, what, max, to_buf, &out, &size, err);
	if (r < 0)
		return r;
	assert_int_equal(size, out.len);
	*ret_len = out.len;
	*ret = kc_buf_steal(&out);
	return 0;
}

static void test_round_trip(void **state)
{
	/* Around the library's buffer size: nothing is lost or waited for at its edges. */
	static const size_t sizes[] = { 0, 1, 131071, 131072, 131073, 262144, 3000000 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *data = sample(sizes[i]), *zst = NULL, *back = NULL;
		size_t len, back_len;

		zst = compress(data, sizes[i], 3, &len);
		assert_int_equal(unpack(zst, len, "it", sizes[i], &back, &back_len, NULL), 0);
		assert_int_equal(back_len, sizes[i]);
		assert_memory_equal(back, data, sizes[i]);
	}
}

static void test_same_bytes_twice(void **state)
{
	_cleanup_free_ char *data = sample(9000000), *a = NULL, *b = NULL;
	size_t a_len, b_len;

	a = compress(data, 9000000, 5, &a_len);
	b = compress(data, 9000000, 5, &b_len);
	assert_int_equal(a_len, b_len);
	assert_memory_equal(a, b, a_len);
	assert_true(a_len < 9000000 * 6 / 10);
}

static void unpack_fails(const void *data, size_t len, size_t max, const char *why)
{
	char *out = (char *)"untouched";
	struct kc_err err = { 0 };
	size_t n;

	assert_int_equal(unpack(data, len, "thing.zst", max, &out, &n, &err), KC_EINVAL);
	if (!strstr(err.msg, why))
		fail_msg("\"%s\" is not in \"%s\"", why, err.msg);
	assert_non_null(strstr(err.msg, "thing.zst"));
	assert_string_equal(out, "untouched");
}

static void test_cut_short(void **state)
{
	_cleanup_free_ char *data = sample(400000), *zst = NULL;
	size_t len;

	zst = compress(data, 400000, 3, &len);
	for (size_t n = 0; n < len; n += 1 + len / 50)
		unpack_fails(zst, n, 1 << 20, "cut short");
	unpack_fails(zst, len - 1, 1 << 20, "cut short");
}

static void test_changed(void **state)
{
	_cleanup_free_ char *data = sample(100000), *zst = NULL;
	size_t len;

	zst = compress(data, 100000, 3, &len);
	zst[len / 2] ^= 1;
	unpack_fails(zst, len, 1 << 20, "not a good zstd stream");
	zst[len / 2] ^= 1;
	/* Nothing may follow the last frame but another one. */
	zst = xrealloc(zst, len + 8);
	memcpy(zst + len, "garbage!", 8);
	unpack_fails(zst, len + 8, 1 << 20, "not a good zstd stream");
	unpack_fails("plain text", 10, 1 << 20, "not a good zstd stream");
}

static void test_bomb(void **state)
{
	size_t n = 48 << 20, len, got;
	_cleanup_free_ char *zeros = xcalloc(1, n), *zst = NULL, *out = NULL;

	zst = compress(zeros, n, 1, &len);
	assert_true(len < n / 1000);
	unpack_fails(zst, len, n - 1, "more than");
	unpack_fails(zst, len, 0, "more than");
	assert_int_equal(unpack(zst, len, "it", n, &out, &got, NULL), 0);
	assert_int_equal(got, n);
}

/* A frame that asks for 128 MB of window (RFC 8878, 3.1.1.1.2) before it has any content. */
static void test_window(void **state)
{
	unsigned char frame[] = { 0x28, 0xb5, 0x2f, 0xfd, 0, (27 - 10) << 3, 1, 0, 0 };
	_cleanup_free_ char *out = NULL;
	size_t len;

	unpack_fails(frame, sizeof(frame), 1 << 20, "not a good zstd stream");
	frame[5] = (KC_ZSTD_WINDOW_LOG - 10) << 3;
	assert_int_equal(unpack(frame, sizeof(frame), "it", 10, &out, &len, NULL), 0);
	assert_int_equal(len, 0);
}

/* Two frames are one stream. */
static void test_frames(void **state)
{
	_cleanup_free_ char *out = NULL, *zst = NULL, *two = NULL;
	size_t len, n;

	zst = compress("hello", 5, 19, &len);
	two = xmalloc(2 * len);
	memcpy(two, zst, len);
	memcpy(two + len, zst, len);
	assert_int_equal(unpack(two, 2 * len, "it", 10, &out, &n, NULL), 0);
	assert_int_equal(n, 10);
	assert_string_equal(out, "hellohello");
	unpack_fails(two, 2 * len, 9, "more than");
}

static void test_level(void **state)
{
	_cleanup_free_ char *plain = in_dir("plain"), *out = in_dir("out-of-level");

	assert_int_equal(kc_file_write(plain, "data", 4, 0600, NULL), 0);
	assert_int_equal(kc_zstd_compress_file(plain, out, 20, NULL, NULL), KC_EINVAL);
	assert_false(kc_exists(out));
}

static int stop(void *cookie, const void *data, size_t len, struct kc_err *err)
{
	++*(int *)cookie;
	return kc_fail(err, KC_ECANCELED, "enough");
}

static void test_sink_stops(void **state)
{
	_cleanup_free_ char *data = sample(1000000), *zst = NULL, *packed = in_dir("packed");
	_cleanup_close_ int fd = -1;
	struct kc_err err;
	size_t len;
	int calls = 0;

	zst = compress(data, 1000000, 1, &len);
	fd = open(packed, O_RDONLY);
	assert_int_equal(kc_zstd_decompress(fd, "it", 1 << 20, stop, &calls, NULL, &err),
			 KC_ECANCELED);
	assert_int_equal(calls, 1);
}

static void test_no_file(void **state)
{
	_cleanup_free_ char *none = in_dir("none"), *out = in_dir("out-of-none");
	struct kc_err err;

	assert_true(kc_zstd_compress_file(none, out, 3, NULL, &err) < 0);
	assert_non_null(strstr(err.msg, none));
	assert_false(kc_exists(out));
}

static void test_cancel(void **state)
{
	_cleanup_free_ char *plain = in_dir("plain"), *out = in_dir("out-of-canceled");
	atomic_bool cancel = true;

	assert_int_equal(kc_file_write(plain, "data", 4, 0600, NULL), 0);
	assert_int_equal(kc_zstd_compress_file(plain, out, 3, &cancel, NULL), KC_ECANCELED);
	assert_false(kc_exists(out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_same_bytes_twice),
		cmocka_unit_test(test_cut_short),  cmocka_unit_test(test_changed),
		cmocka_unit_test(test_bomb),	   cmocka_unit_test(test_window),
		cmocka_unit_test(test_frames),	   cmocka_unit_test(test_level),
		cmocka_unit_test(test_sink_stops), cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
