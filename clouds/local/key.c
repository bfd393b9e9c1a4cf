/* local/key: the SSH key pair that the cluster's machines accept. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clouds/local/priv.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

int local_keygen(const char *dir, const char *name, const char *comment, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

	/* The empty word is the passphrase: the file's mode protects it, as a machine's own. */
	return kc_runl(NULL, err, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment,
		       "-f", path, NULL);
}

int local_public_key(const char *path, char **ret, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL;
	char *blank;
	int r;

	r = local_read(path, &text, err);
	if (r < 0)
		return r;
	blank = strchr(text, ' ');
	blank = blank ? strchr(blank + 1, ' ') : NULL;
	if (blank)
		*blank = '\0';
	if (!kc_startswith(text, "ssh-ed25519 "))
		return kc_fail(err, KC_EFAIL, "%s is no ed25519 public key", path);
	*ret = TAKE(text);
	return 0;
}

static int key_find(void *ctx, const struct kc_task *task, json_t **ret_actual, struct kc_err *err)
{
	const struct local *l = ctx;
	_cleanup_free_ char *path = xasprintf("%s/key/id_ed25519", l->dir), *pub = NULL;
	_cleanup_free_ char *pubfile = xasprintf("%s.pub", path);
	bool exists;
	int r;

	r = local_dir_check(l, &exists, err);
	if (r < 0 || !exists || !kc_exists(path))
		return r;
	r = local_public_key(pubfile, &pub, err);
	if (r < 0)
		return r;
	*ret_actual = kc_pack("{s:s, s:s, s:s}", "type", "ed25519", "path", path, "public", pub);
	return 0;
}

static int key_apply(void *ctx, const struct kc_task *task, const json_t *actual,
		     const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	struct local *l = ctx;
	_cleanup_free_ char *dir = xasprintf("%s/key", l->dir);
	_cleanup_free_ char *tmp = xasprintf("%s/.key-XXXXXX", l->dir);
	_cleanup_free_ char *comment = xasprintf("kubecdn-%s", l->cluster);
	int r;

	r = local_dir_make(l, err);
	if (r < 0)
		return r;
	if (!kc_exists(dir)) {
		/* A name of its own: the ssh-keygen of a killed run may still be writing. */
		if (!mkdtemp(tmp))
			return kc_fail_errno(err, errno, "%s", tmp);
		r = local_keygen(tmp, "id_ed25519", comment, err);
		if (r == 0 && rename(tmp, dir) < 0)
			r = kc_fail_errno(err, errno, "%s", dir);
		if (r < 0) {
			kc_rm_rf(tmp, NULL);
			return r;
		}
	}
	return key_find(ctx, task, ret_actual, err);
}

static int key_remove(void *ctx, const struct kc_task *task, const json_t *actual,
		      struct kc_err *err)
{
	const struct local *l = ctx;
	_cleanup_free_ char *dir = xasprintf("%s/key", l->dir);
	bool exists;
	int r;

	r = local_dir_check(l, &exists, err);
	if (r < 0 || !exists)
		return r;
	r = kc_rm_rf(dir, err);
	local_dir_drop(l);
	return r;
}

static int key_list(void *ctx, const char *owner, json_t **ret_by_id, struct kc_err *err)
{
	return local_list_one(ctx, owner, &local_key_kind, ret_by_id, err);
}

const struct kc_kind local_key_kind = {
	.name = "local/key",
	.immutable = (const char *const[]){ "type", NULL },
	.list = key_list,
	.find = key_find,
	.apply = key_apply,
	.remove = key_remove,
};
