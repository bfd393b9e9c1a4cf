/*
 * Files: bounded reads, and writes that survive kill -9 and power loss
 * (temporary file, fsync, rename, fsync of the directory).
 */
#ifndef KC_BASE_FILE_H
#define KC_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"

/* The whole file, NUL-terminated; more than max bytes is KC_EINVAL. ret_len may be NULL. */
int kc_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len,
		 struct kc_err *err);
/* The same for a file with a key. Like ssh with its keys: nobody else may read it, and nobody else
 * can have put it there (KC_EAUTH). */
int kc_file_read_private(const char *path, size_t max, char **ret_text, size_t *ret_len,
			 struct kc_err *err);
/* Replace path atomically and durably; a reader sees the old or the new content. Whoever is killed
   in the middle leaves a half beside it whose name starts with a dot. */
int kc_file_write(const char *path, const void *data, size_t len, mode_t mode, struct kc_err *err);
/* The same with what somebody has written to tmp, in the same folder. After an error the caller
   removes tmp. */
int kc_file_publish(const char *tmp, const char *path, struct kc_err *err);
/* mkdir -p with this mode for what is made; an existing directory is left as it is. */
int kc_mkdir_p(const char *path, mode_t mode, struct kc_err *err);
/* rm -rf that never crosses into another file system and never follows links; absent is success. */
int kc_rm_rf(const char *path, struct kc_err *err);
bool kc_exists(const char *path);
int kc_write_all(int fd, const void *data, size_t len, struct kc_err *err);
/* "~/x" to "$HOME/x"; other paths are copied. Owned. */
char *kc_expand_home(const char *path);
/* Where big things that can be made again live: $XDG_CACHE_HOME/kubecdn, else ~/.cache/kubecdn.
 * Owned. */
char *kc_cache_dir(void);

#endif
