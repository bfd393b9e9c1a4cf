#include "lib/objects/lease.h"

#include <stdio.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define API "coordination.k8s.io/v1"

void kc_lease_done(struct kc_lease *l)
{
	free(l->holder);
	free(l->version);
	l->holder = l->version = NULL;
}

bool kc_lease_held(const struct kc_lease *l)
{
	return kc_boottime_ms() < atomic_load(&l->until);
}

/* MicroTime of the API: RFC 3339 with six digits. */
static void micro_time(char out[32])
{
	int64_t ms = kc_realtime_ms();
	char seconds[21];

	kc_time_format((time_t)(ms / 1000), seconds);
	seconds[19] = '\0'; /* the Z */
	snprintf(out, 32, "%s.%06dZ", seconds, (int)(ms % 1000) * 1000);
}

static bool is_ours(const struct kc_lease *l)
{
	return l->holder && streq(l->holder, l->identity);
}

static int lease_path(const struct kc_lease *l, struct kc_kube *k, const char *name, char **ret,
		      struct kc_err *err)
{
	return kc_kube_path(k, API, "Lease", l->namespace, name, ret, err);
}

/* What it says now. A change of whatever kind is a sign of life of who holds it. */
static int observe(struct kc_lease *l, const json_t *lease, struct kc_err *err)
{
	const json_t *spec = json_object_get(lease, "spec"),
		     *metadata = json_object_get(lease, "metadata");
	const char *version, *holder;
	int r = kc_json_str(metadata, "the Lease", "resourceVersion", &version, err);

	if (r < 0)
		return r;
	if (strsame(l->version, version))
		return 0;
	free(l->version);
	free(l->holder);
	holder = kc_json_get_str(spec, "holderIdentity", "");
	l->version = xstrdup(version);
	l->holder = *holder ? xstrdup(holder) : NULL;
	l->seconds = kc_json_get_int(spec, "leaseDurationSeconds", KC_LEASE_S);
	l->transitions = kc_json_get_int(spec, "leaseTransitions", 0);
	l->seen = kc_boottime_ms();
	return 0;
}

static json_t *spec_of(const struct kc_lease *l, bool held)
{
	json_int_t transitions = l->transitions + (held && l->version && !is_ours(l));
	char now[32];
	json_t *spec;

	micro_time(now);
	spec = kc_pack("{s:s, s:i, s:s, s:I}", "holderIdentity", held ? l->identity : "",
		       "leaseDurationSeconds", held ? KC_LEASE_S : 1, "renewTime", now,
		       "leaseTransitions", transitions);
	if (held && !is_ours(l))
		json_object_set_new(spec, "acquireTime", json_string(now));
	return spec;
}

static int create(struct kc_lease *l, struct kc_kube *k, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = NULL;
	json_auto_t *lease = kc_pack("{s:s, s:s, s:{s:s, s:s}, s:o}", "apiVersion", API, "kind",
				     "Lease", "metadata", "name", l->name, "namespace",
				     l->namespace, "spec", spec_of(l, true));
	int r = lease_path(l, k, NULL, &path, err);

	return r < 0 ? r : kc_kube_create(k, path, lease, ret, err);
}

static int write_spec(struct kc_lease *l, struct kc_kube *k, const char *path, bool held,
		      json_t **ret, struct kc_err *err)
{
	json_auto_t *patch = kc_pack("{s:{s:s}, s:o}", "metadata", "resourceVersion", l->version,
				     "spec", spec_of(l, held));

	return kc_kube_merge(k, path, patch, ret, err);
}

int kc_lease_try(struct kc_lease *l, struct kc_kube *k, struct kc_err *err)
{
	json_auto_t *now = NULL, *after = NULL;
	_cleanup_free_ char *path = NULL;
	int64_t sent;
	int r = lease_path(l, k, l->name, &path, err);

	if (r == 0)
		r = kc_kube_get(k, path, &now, err);
	if (r < 0 && r != KC_ENOTFOUND)
		return r;
	if (r == 0) {
		r = observe(l, now, err);
		if (r < 0)
			return r;
		if (!is_ours(l))
			atomic_store(&l->until, 0);
		if (l->holder && !is_ours(l) && kc_boottime_ms() < l->seen + l->seconds * 1000)
			return 0;
	} else {
		kc_lease_done(l); /* somebody deleted it */
	}
	sent = kc_boottime_ms();
	r = l->version ? write_spec(l, k, path, true, &after, err) : create(l, k, &after, err);
	if (r == KC_ECONFLICT)
		return 0; /* another was first: the next look says who */
	if (r == 0)
		r = observe(l, after, err);
	if (r == 0)
		atomic_store(&l->until, sent + KC_LEASE_DEADLINE_MS);
	return r;
}

int kc_lease_release(struct kc_lease *l, struct kc_kube *k, struct kc_err *err)
{
	_cleanup_free_ char *path = NULL;
	int r;

	if (!kc_lease_held(l))
		return 0;
	atomic_store(&l->until, 0);
	r = lease_path(l, k, l->name, &path, err);
	return r < 0 ? r : write_spec(l, k, path, false, NULL, err);
}
