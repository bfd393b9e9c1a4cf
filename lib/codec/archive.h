/*
 * Archives: tar that is the same bytes whoever writes it, and careful reading.
 *
 *	kc_tar_open -> kc_tar_add… -> kc_tar_close          (written in the order of the calls)
 *	archive --kc_archive_extract--> a directory of its own
 *
 * Written entries have uid, gid and mtime 0 and no names of users. Reading
 * treats the archive as hostile: absolute paths, "..", paths through links it
 * made itself, devices and more than the ceilings are KC_EINVAL. The format
 * (tar, zip) and compression of what is read are recognised by content.
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

/* All files below dir, in sorted order, as names below prefix ("" for none); links stay links. */
int kc_tar_add_tree(struct kc_tar *t, const char *prefix, const char *dir, struct kc_err *err);

struct kc_archive_limits {
	uint64_t bytes;	  /* of all files together; 0: 1 GiB */
	uint64_t entries; /* 0: 100000 */
};

/* Unpack path into the existing empty directory dir. Owners and times are not restored. */
int kc_archive_extract(const char *path, const char *dir, const struct kc_archive_limits *limits,
		       struct kc_err *err);

/* Called for every entry: its name, what it is (S_IFREG, S_IFDIR, S_IFLNK), its permissions, its
 * data (NULL unless a file of at most max_data bytes) or the link's target. */
typedef int kc_archive_visit(void *cookie, const char *name, mode_t mode, const void *data,
			     size_t len, const char *target, struct kc_err *err);
int kc_archive_walk(const char *path, const struct kc_archive_limits *limits, size_t max_data,
		    kc_archive_visit *visit, void *cookie, struct kc_err *err);

#endif
