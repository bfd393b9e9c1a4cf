/* Is an object ready? From its status, as kubectl rollout status reads it. */
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/objects/impl.h"

static int64_t num(const json_t *o, const char *key)
{
	return kc_json_get_int(o, key, 0);
}

static char *short_of(int64_t have, int64_t want, const char *what)
{
	return have < want
		       ? xasprintf("%lld of %lld pods %s", (long long)have, (long long)want, what)
		       : NULL;
}

/* Deployments and StatefulSets. */
static char *replicas(const json_t *live, const json_t *status)
{
	int64_t want = kc_json_get_int(json_object_get(live, "spec"), "replicas", 1);
	char *w = short_of(num(status, "updatedReplicas"), want, "updated");

	if (!w)
		w = short_of(num(status, "availableReplicas"), want, "available");
	if (!w && num(status, "replicas") > want)
		w = xstrdup("old pods are still stopping");
	return w;
}

static char *daemons(const json_t *live, const json_t *status)
{
	int64_t want = num(status, "desiredNumberScheduled");
	char *w = short_of(num(status, "updatedNumberScheduled"), want, "updated");

	return w ? w : short_of(num(status, "numberAvailable"), want, "available");
}

static char *condition(const json_t *status, const char *type)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(status, "conditions"), i, v)
		if (streq(kc_json_get_str(v, "type", ""), type) &&
		    streq(kc_json_get_str(v, "status", ""), "True"))
			return NULL;
	return xasprintf("not %s yet", type);
}

char *kube_waits_for(const json_t *live)
{
	const char *kind = kc_json_get_str(live, "kind", "");
	const json_t *status = json_object_get(live, "status");
	bool deployment = streq(kind, "Deployment") || streq(kind, "StatefulSet"),
	     daemon = streq(kind, "DaemonSet");

	if (streq(kind, "CustomResourceDefinition"))
		return condition(status, "Established");
	if (streq(kind, "APIService"))
		return condition(status, "Available");
	if (!deployment && !daemon)
		return NULL;
	if (num(status, "observedGeneration") <
	    num(json_object_get(live, "metadata"), "generation"))
		return xstrdup("its controller has not seen it yet");
	return deployment ? replicas(live, status) : daemons(live, status);
}
