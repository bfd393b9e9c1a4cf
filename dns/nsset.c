/* The delegation of a zone with several providers. */
#include "dns/nsset.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* EACH: from a copy, if there is room: two, for one server may be down. MOST: a delegation that
 * still fits an answer of 512 bytes. */
enum { EACH = 2, MOST = 13 };

struct share {
	size_t offered, n;
	bool fixed;
};

static size_t size_of(const json_t *copy)
{
	return json_array_size(json_object_get(copy, "offered"));
}

/* Of all providers' limits the least, and whose it is. */
static size_t least_limit(const json_t *copies, const char **ret_whose)
{
	size_t least = MOST, i;
	const json_t *c;

	*ret_whose = "DNS";
	json_array_foreach((json_t *)copies, i, c) {
		size_t most = (size_t)kc_json_get_int(c, "most", 0);

		if (most && most < least) {
			least = most;
			*ret_whose = kc_json_get_str(c, "provider", "?");
		}
	}
	return least;
}

/* "azure 4, clouddns 1". Owned. */
static char *told(const json_t *copies, const struct share *shares)
{
	struct kc_buf out = { 0 };
	const json_t *c;
	size_t i;

	json_array_foreach((json_t *)copies, i, c)
		kc_buf_printf(&out, "%s%s %zu", i ? ", " : "", kc_json_get_str(c, "provider", "?"),
			      shares[i].n);
	return kc_buf_steal(&out);
}

/* What each copy has to have. */
static int take_least(const json_t *copies, struct share *shares, size_t *ret_sum,
		      struct kc_err *err)
{
	const json_t *c;
	size_t i;

	json_array_foreach((json_t *)copies, i, c) {
		size_t want = (size_t)kc_json_get_int(c, "want", 0);
		const char *provider = kc_json_get_str(c, "provider", "?");

		shares[i] = (struct share){ .offered = size_of(c),
					    .fixed = kc_json_get_bool(c, "fixed", false) };
		if (!shares[i].offered && !kc_json_get_bool(c, "shared", false))
			return kc_fail(err, KC_EINVAL,
				       "%s (spec.publish[%zu]) names no server for the zone; is it "
				       "there?",
				       provider, i);
		if (want > shares[i].offered ||
		    (shares[i].fixed && want && want < shares[i].offered))
			return kc_fail(err, KC_EINVAL,
				       "spec.publish[%zu].ns is %zu, and %s has %zu servers for "
				       "the "
				       "zone%s",
				       i, want, provider, shares[i].offered,
				       shares[i].fixed ? ", none of which can be taken out" : "");
		shares[i].n = shares[i].fixed ? shares[i].offered : want ? want : 1;
		*ret_sum += shares[i].n;
	}
	return 0;
}

/* One after the other, those without a wish first up to EACH. */
static void spread(const json_t *copies, struct share *shares, size_t room)
{
	bool again = true;

	while (room && again) {
		const json_t *c;
		size_t i;

		again = false;
		json_array_foreach((json_t *)copies, i, c)
			if (room && !shares[i].fixed && !kc_json_get_int(c, "want", 0) &&
			    shares[i].n < shares[i].offered && shares[i].n < EACH) {
				shares[i].n++;
				room--;
				again = true;
			}
	}
}

int kc_nsset_solve(const json_t *copies, json_t **ret, struct kc_err *err)
{
	size_t n = json_array_size(copies), sum = 0, limit, i, k;
	_cleanup_free_ struct share *shares = xcalloc(n + 1, sizeof(*shares));
	json_auto_t *names = json_array();
	const char *whose;
	const json_t *c;
	int r = take_least(copies, shares, &sum, err);

	if (r < 0)
		return r;
	/* A zone with one copy keeps what its provider gave it. */
	if (n == 1 && !kc_json_get_int(json_array_get(copies, 0), "want", 0))
		shares[0].n = shares[0].offered;
	limit = least_limit(copies, &whose);
	if (sum > limit) {
		_cleanup_free_ char *all = told(copies, shares);

		return kc_fail(err, KC_EINVAL,
			       "%zu name servers are needed at least (%s), and %s takes %zu in one "
			       "zone; lower ns, or leave a copy out",
			       sum, all, whose, limit);
	}
	spread(copies, shares, limit - sum);
	json_array_foreach((json_t *)copies, i, c)
		for (k = 0; k < shares[i].n; k++)
			json_array_append(names, json_array_get(json_object_get(c, "offered"), k));
	kc_json_sort(names);
	*ret = TAKE(names);
	return 0;
}
