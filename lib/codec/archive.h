/*
 * Archives: tar that is the same bytes whoever writes it.
 *
 *	kc_tar_open -> kc_tar_add… -> kc_tar_close          (written in the order of the calls)
 *
 * Entries have uid, gid and mtime 0 and no names of users.
 *
 *	a .tar.gz of somebody else's --kc_archive_take--> the one file that is wanted
 *	file --kc_gzip_file--> file.gz, for hosts that have gzip and nothing better
 */
#ifndef KC_CODEC_ARCHIVE_H
#define KC_CODEC_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_tar;

/* Create path (0644, replaced); after an error the caller removes it. */
int kc_tar_open(const char *path, struct kc_tar **ret, struct kc_err *err);
/* Names are relative, without "." and ".."; folders are added as they are needed (0755). */
int kc_tar_add_file(struct kc_tar *t, const char *name, const char *src, mode_t mode,
		    struct kc_err *err);
int kc_tar_add_data(struct kc_tar *t, const char *name, const void *data, size_t len, mode_t mode,
		    struct kc_err *err);
int kc_tar_add_link(struct kc_tar *t, const char *name, const char *target, struct kc_err *err);
int kc_tar_add_dir(struct kc_tar *t, const char *name, mode_t mode, struct kc_err *err);
/* Write the end; the file is complete only if this returns 0. Frees t in any case. */
int kc_tar_close(struct kc_tar *t, struct kc_err *err);
/* Free without an end. NULL is accepted. */
void kc_tar_free(struct kc_tar *t);
KC_DEFINE_CLEANUP(struct kc_tar *, kc_tar_free)
#define _cleanup_tar_ _cleanup_(kc_tar_freep)

/*
 * Write the regular file called name ("bin/etcd", as the archive says it, or with "./" before it)
 * to path (0644, replaced). No name in the archive is used as a path here. Nothing of that name:
 * KC_ENOTFOUND; more than max bytes, a link, or not an archive (tar, with gzip, xz or zstd around
 * it): KC_EINVAL.
 */
int kc_archive_take(const char *archive, const char *name, const char *path, uint64_t max,
		    struct kc_err *err);

/*
 * Compress the regular file src into dst (0644, replaced): the same bytes each time. After an
 * error the caller removes dst.
 */
int kc_gzip_file(const char *src, const char *dst, struct kc_err *err);

#endif
