#include "bootstrap/node/marker.h"

#include <inttypes.h>
#include <string.h>

#include "bootstrap/node/protocol.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

int kc_marker_read(json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL;
	json_auto_t *marker = NULL;
	const char *uid;
	int64_t fence;
	size_t len;
	int r;

	if (!kc_exists(KC_NODE_MARKER))
		return 0;
	r = kc_file_read(KC_NODE_MARKER, 65536, &text, &len, err);
	if (r == 0)
		r = kc_json_parse(text ? text : "", len, KC_NODE_MARKER, &marker, err);
	if (r == 0)
		r = kc_json_str(marker, KC_NODE_MARKER, "uid", &uid, err);
	if (r == 0)
		r = kc_json_int(marker, KC_NODE_MARKER, "fence", &fence, err);
	if (r < 0)
		return r;
	*ret = TAKE(marker);
	return 0;
}

int kc_marker_check(const char *uid, uint64_t fence, struct kc_err *err)
{
	json_auto_t *marker = NULL;
	uint64_t seen;
	int r = kc_marker_read(&marker, err);

	if (r < 0 || !marker)
		return r;
	if (!streq(kc_json_get_str(marker, "uid", ""), uid))
		return kc_fail(err, KC_ECONFLICT,
			       "this host belongs to cluster %s (uid %s); delete that cluster "
			       "first, or take another host",
			       kc_json_get_str(marker, "cluster", "?"),
			       kc_json_get_str(marker, "uid", "?"));
	seen = (uint64_t)kc_json_get_int(marker, "fence", 0);
	if (fence < seen)
		return kc_fail(err, KC_ECANCELED,
			       "a newer operator (fence %" PRIu64 ") works on this host; this one "
			       "(fence %" PRIu64 ") must stop",
			       seen, fence);
	return 0;
}

int kc_marker_claim(const char *uid, const char *cluster, uint64_t fence, struct kc_err *err)
{
	json_auto_t *marker = kc_pack("{s:i, s:s, s:s, s:I}", "format", KC_NODE_FORMAT, "uid", uid,
				      "cluster", cluster, "fence", (json_int_t)fence);
	_cleanup_free_ char *text = kc_json_text(marker);
	json_auto_t *now = NULL;
	int r = kc_marker_check(uid, fence, err);

	if (r == 0)
		r = kc_marker_read(&now, err);
	if (r == 0 && now && json_equal(now, marker))
		return 0;
	if (r == 0)
		r = kc_mkdir_p(KC_NODE_STATE, 0700, err);
	return r < 0 ? r : kc_file_write(KC_NODE_MARKER, text, strlen(text), 0600, err);
}
