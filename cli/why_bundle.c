/* What `cluster why --bundle FILE` writes: everything that was seen, without secrets, as a tar. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bootstrap/node/protocol.h"
#include "cli/why.h"
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/codec/archive.h"
#include "lib/codec/json.h"
#include "lib/codec/redact.h"

static int add_json(struct kc_tar *t, const char *name, const json_t *v, struct kc_err *err)
{
	_cleanup_free_ char *text = json_dumps(v, JSON_INDENT(1) | JSON_PRESERVE_ORDER);

	if (!text)
		return kc_fail(err, KC_EFAIL, "%s cannot be written as JSON", name);
	return kc_tar_add_data(t, name, text, strlen(text), 0600, err);
}

/* A unit's log as text, taken out of the evidence. */
static int add_log(struct kc_tar *t, const char *node, json_t *unit, struct kc_err *err)
{
	_cleanup_free_ char *name =
		xasprintf("why/logs/%s/%s.log", node, kc_json_get_str(unit, "name", "unit"));
	_cleanup_buf_ struct kc_buf text = { 0 };
	const json_t *line;
	size_t i;

	json_array_foreach(json_object_get(unit, "log"), i, line)
		kc_buf_printf(&text, "%s\n", json_string_value(line));
	json_object_del(unit, "log");
	return kc_tar_add_data(t, name, kc_buf_get(&text), text.len, 0600, err);
}

static int add_all(struct kc_tar *t, json_t *result, const json_t *cluster, struct kc_err *err)
{
	json_auto_t *version =
		kc_pack("{s:s, s:i}", "version", KC_VERSION, "protocol", KC_NODE_PROTOCOL);
	const json_t *host;
	json_t *unit;
	size_t i, k;
	int r = add_json(t, "why/version.json", version, err);

	json_array_foreach(kc_json_at(result, "evidence.hosts"), i, host)
		json_array_foreach(kc_json_at(host, "doctor.units"), k, unit)
			if (r == 0)
				r = add_log(t, kc_json_get_str(host, "name", "host"), unit, err);
	if (r == 0)
		r = add_json(t, "why/why.json", result, err);
	return r < 0 ? r : add_json(t, "why/cluster.json", cluster, err);
}

/* Nobody else may read it, from the first byte on; a half is never seen under path, and its own
 * name was nobody's before. */
static int make_half(const char *path, char **ret_half, struct kc_err *err)
{
	_cleanup_free_ char *half = xasprintf("%s.XXXXXX", path);
	int fd = mkostemp(half, O_CLOEXEC);

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	close(fd);
	*ret_half = TAKE(half);
	return 0;
}

int kc_why_bundle(const char *path, const json_t *result, const json_t *cluster, struct kc_err *err)
{
	_cleanup_free_ char *half = NULL;
	json_auto_t *safe = kc_redact(result), *safe_cluster = kc_redact(cluster);
	_cleanup_tar_ struct kc_tar *t = NULL;
	int r = make_half(path, &half, err);

	if (r < 0)
		return r;
	r = kc_tar_open(half, &t, err);
	if (r == 0)
		r = add_all(t, safe, safe_cluster, err);
	if (r == 0)
		r = kc_tar_close(TAKE(t), err);
	if (r == 0 && rename(half, path) < 0)
		r = kc_fail_errno(err, errno, "%s", path);
	if (r < 0)
		unlink(half);
	return r;
}
