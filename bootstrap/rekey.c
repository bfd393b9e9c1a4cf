/* Sealing the state of a cluster with another key, for the first time, or no more. */
#include "bootstrap/session.h"

int kc_cluster_rekey(const struct kc_cluster_opts *o, bool unseal, bool writing, json_t **ret_keys,
		     struct kc_err *err)
{
	enum kc_reseal how = unseal ? KC_RESEAL_OFF : KC_RESEAL;
	_cleanup_session_ struct session s;
	_cleanup_free_ char *below = NULL;
	json_auto_t *keys = NULL, *done = NULL;
	int r;

	r = session_open(&s, o, NULL, err);
	if (r == 0 && !s.name)
		r = kc_fail(err, KC_EINVAL, "which cluster? give its name");
	if (r == 0)
		r = session_stored(&s, &s.cluster, err);
	if (r < 0)
		return r;
	below = xasprintf("%s/", s.prefix);
	/* Can all of it be opened? Only then is anything changed. */
	r = kc_store_reseal(s.store, below, how, false, NULL, &keys, err);
	if (r == 0 && writing)
		r = session_begin(&s, "cluster rekey", true, err); /* migrating seals, too */
	if (r == 0 && writing)
		r = kc_store_reseal(s.store, below, how, true, s.lock, &done, err);
	if (r < 0)
		return kc_wrap(err, "cluster %s", s.name);
	*ret_keys = TAKE(keys);
	return 0;
}
