/*
 * Zstandard, streaming, for the bundle's blobs.
 *
 *	file --kc_zstd_compress_file--> file.zst --kc_zstd_decompress--> sink
 *
 * Compression is deterministic: the same input, level and library give the
 * same bytes whatever the number of processors. Decompression never trusts its
 * input: the caller names a ceiling for the output, frames that need more than
 * KC_ZSTD_WINDOW of window are refused, and a cut or changed stream is
 * KC_EINVAL. Memory: a few windows, whatever the size of the data. Only base
 * and libzstd are needed, because the node agent links this statically.
 */
#ifndef KC_CODEC_ZSTD_H
#define KC_CODEC_ZSTD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define KC_ZSTD_WINDOW_LOG 25 /* 32 MB: what level 19 and below never exceed */

/*
 * Compress src into a new file dst (mode 0644, replaced if it exists, not synced: the caller
 * renames it into place). level 1 to 19. cancel may be NULL; once true: KC_ECANCELED, no dst.
 */
int kc_zstd_compress_file(const char *src, const char *dst, int level, const atomic_bool *cancel,
			  struct kc_err *err);

/* Takes the output piece by piece; an error stops the decompression with it. */
typedef int kc_zstd_sink(void *cookie, const void *data, size_t len, struct kc_err *err);

/*
 * Decompress one stream (one or more frames) until end of file, at most max bytes of output.
 * what names the input in errors. ret_size may be NULL: bytes of output.
 */
int kc_zstd_decompress(int in, const char *what, uint64_t max, kc_zstd_sink *sink, void *cookie,
		       uint64_t *ret_size, struct kc_err *err);

/* The same of no more than the next len bytes of the input. */
int kc_zstd_decompress_part(int in, uint64_t len, const char *what, uint64_t max,
			    kc_zstd_sink *sink, void *cookie, uint64_t *ret_size,
			    struct kc_err *err);

#endif
