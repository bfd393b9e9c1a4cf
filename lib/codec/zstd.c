#include "lib/codec/zstd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"

KC_DEFINE_CLEANUP(ZSTD_CCtx *, ZSTD_freeCCtx)
KC_DEFINE_CLEANUP(ZSTD_DCtx *, ZSTD_freeDCtx)

/*
 * A context whose output depends on the input and level alone. One worker or sixteen give the
 * same bytes, none gives others: so there is always at least one.
 */
static int compressor(int level, uint64_t size, ZSTD_CCtx **ret, struct kc_err *err)
{
	_cleanup_(ZSTD_freeCCtxp) ZSTD_CCtx *c = ZSTD_createCCtx();
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t z;

	if (!c)
		abort();
	if (level < 1 || level > 19)
		return kc_fail(err, KC_EINVAL, "zstd level %d: must be 1 to 19", level);
	z = ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
	if (!ZSTD_isError(z))
		z = ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	if (!ZSTD_isError(z))
		z = ZSTD_CCtx_setParameter(c, ZSTD_c_nbWorkers,
					   cpus < 1    ? 1
					   : cpus > 16 ? 16
						       : (int)cpus);
	if (!ZSTD_isError(z))
		z = ZSTD_CCtx_setPledgedSrcSize(c, size);
	if (ZSTD_isError(z))
		return kc_fail(err, KC_EFAIL, "zstd: %s", ZSTD_getErrorName(z));
	*ret = TAKE(c);
	return 0;
}

static int read_some(int fd, void *data, size_t len, const char *what, size_t *ret,
		     struct kc_err *err)
{
	ssize_t n;

	do
		n = read(fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return kc_fail_errno(err, errno, "reading %s", what);
	*ret = (size_t)n;
	return 0;
}

static int compress_fd(ZSTD_CCtx *c, int in, const char *src, int out, const char *dst,
		       const atomic_bool *cancel, struct kc_err *err)
{
	size_t in_cap = ZSTD_CStreamInSize(), out_cap = ZSTD_CStreamOutSize(), n, left;
	_cleanup_free_ char *in_buf = xmalloc(in_cap), *out_buf = xmalloc(out_cap);
	int r;

	do {
		ZSTD_inBuffer i = { .src = in_buf };

		if (cancel && atomic_load(cancel))
			return kc_fail(err, KC_ECANCELED, "stopped");
		r = read_some(in, in_buf, in_cap, src, &n, err);
		if (r < 0)
			return r;
		i.size = n;
		do {
			ZSTD_outBuffer o = { .dst = out_buf, .size = out_cap };

			left = ZSTD_compressStream2(c, &o, &i, n ? ZSTD_e_continue : ZSTD_e_end);
			if (ZSTD_isError(left))
				return kc_fail(err, KC_EFAIL, "compressing %s: %s", src,
					       ZSTD_getErrorName(left));
			r = kc_write_all(out, out_buf, o.pos, err);
			if (r < 0)
				return kc_wrap(err, "writing %s", dst);
		} while (n ? i.pos < i.size : left > 0);
	} while (n);
	return 0;
}

int kc_zstd_compress_file(const char *src, const char *dst, int level, const atomic_bool *cancel,
			  struct kc_err *err)
{
	_cleanup_close_ int in = open(src, O_RDONLY | O_CLOEXEC), out = -1;
	_cleanup_(ZSTD_freeCCtxp) ZSTD_CCtx *c = NULL;
	struct stat st;
	int r;

	if (in < 0 || fstat(in, &st) < 0)
		return kc_fail_errno(err, errno, "%s", src);
	r = compressor(level, (uint64_t)st.st_size, &c, err);
	if (r < 0)
		return r;
	out = open(dst, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (out < 0)
		return kc_fail_errno(err, errno, "%s", dst);
	r = compress_fd(c, in, src, out, dst, cancel, err);
	if (r < 0)
		unlink(dst);
	return r;
}

/* Where a decompression stands. */
struct unpack {
	ZSTD_DCtx *ctx;
	const char *what;
	uint64_t max, total;
	size_t pending; /* what ZSTD_decompressStream said last: 0 between two frames */
	kc_zstd_sink *sink;
	void *cookie;
	char *out;
	size_t out_cap;
};

static int unpack_init(struct unpack *u, struct kc_err *err)
{
	size_t z;

	u->ctx = ZSTD_createDCtx();
	if (!u->ctx)
		abort();
	u->out_cap = ZSTD_DStreamOutSize();
	u->out = xmalloc(u->out_cap);
	/* A stream without any frame is cut, too. */
	u->pending = 1;
	z = ZSTD_DCtx_setParameter(u->ctx, ZSTD_d_windowLogMax, KC_ZSTD_WINDOW_LOG);
	if (ZSTD_isError(z))
		return kc_fail(err, KC_EFAIL, "zstd: %s", ZSTD_getErrorName(z));
	return 0;
}

static void unpack_done(struct unpack *u)
{
	ZSTD_freeDCtx(u->ctx);
	free(u->out);
}

static int unpack_feed(struct unpack *u, const void *data, size_t len, struct kc_err *err)
{
	ZSTD_inBuffer i = { .src = data, .size = len };
	int r;

	for (bool full = false; i.pos < i.size || full;) {
		ZSTD_outBuffer o = { .dst = u->out, .size = u->out_cap };

		u->pending = ZSTD_decompressStream(u->ctx, &o, &i);
		if (ZSTD_isError(u->pending))
			return kc_fail(err, KC_EINVAL, "%s: not a good zstd stream: %s", u->what,
				       ZSTD_getErrorName(u->pending));
		if (o.pos > u->max - u->total)
			return kc_fail(err, KC_EINVAL,
				       "%s: unpacks to more than the %" PRIu64 " bytes allowed",
				       u->what, u->max);
		u->total += o.pos;
		r = o.pos ? u->sink(u->cookie, u->out, o.pos, err) : 0;
		if (r < 0)
			return r;
		/* A full buffer may hide more output that needs no more input. */
		full = o.pos == o.size && u->pending != 0;
	}
	return 0;
}

static int unpack_end(const struct unpack *u, uint64_t *ret_size, struct kc_err *err)
{
	if (u->pending != 0)
		return kc_fail(err, KC_EINVAL, "%s: the zstd stream is cut short", u->what);
	if (ret_size)
		*ret_size = u->total;
	return 0;
}

int kc_zstd_decompress_part(int in, uint64_t len, const char *what, uint64_t max,
			    kc_zstd_sink *sink, void *cookie, uint64_t *ret_size,
			    struct kc_err *err)
{
	_cleanup_(unpack_done) struct unpack u = {
		.what = what, .max = max, .sink = sink, .cookie = cookie
	};
	size_t cap = ZSTD_DStreamInSize(), n;
	_cleanup_free_ char *buf = xmalloc(cap);
	int r;

	r = unpack_init(&u, err);
	while (r == 0 && len) {
		r = read_some(in, buf, len < cap ? (size_t)len : cap, what, &n, err);
		if (r < 0 || n == 0)
			break;
		len -= n;
		r = unpack_feed(&u, buf, n, err);
	}
	return r < 0 ? r : unpack_end(&u, ret_size, err);
}

int kc_zstd_decompress(int in, const char *what, uint64_t max, kc_zstd_sink *sink, void *cookie,
		       uint64_t *ret_size, struct kc_err *err)
{
	return kc_zstd_decompress_part(in, UINT64_MAX, what, max, sink, cookie, ret_size, err);
}
