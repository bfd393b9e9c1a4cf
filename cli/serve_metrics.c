/* What /metrics, /healthz and /readyz say. Prometheus' text format 0.0.4. */
#include <string.h>

#include "cli/serve.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* A round may wait for the API, probes and servers that are silent. */
enum { ROUND_MS = 120000 };

static void head(struct kc_buf *b, const char *name, const char *type, const char *help)
{
	kc_buf_printf(b, "# HELP kubecdn_dns_%s %s\n# TYPE kubecdn_dns_%s %s\n", name, help, name,
		      type);
}

static void one(struct kc_buf *b, const char *name, const char *type, const char *help, double v)
{
	head(b, name, type, help);
	kc_buf_printf(b, "kubecdn_dns_%s %.15g\n", name, v);
}

static void add_state(const struct serve_metrics *m, struct kc_buf *b)
{
	size_t up = 0, down = 0;
	const char *what;
	const json_t *v;

	head(b, "peer_up", "gauge", "Whether this agent reaches an address of another region.");
	json_object_foreach(m->state, what, v) {
		bool is_up = streq(json_string_value(v), "up");

		if (kc_startswith(what, "region "))
			kc_buf_printf(b, "kubecdn_dns_peer_up{region=\"%s\"} %d\n",
				      what + strlen("region "), is_up);
		else if (kc_startswith(what, "address "))
			*(is_up ? &up : &down) += 1;
	}
	head(b, "addresses", "gauge", "Addresses that the cluster names, by health.");
	kc_buf_printf(b,
		      "kubecdn_dns_addresses{health=\"up\"} %zu\n"
		      "kubecdn_dns_addresses{health=\"down\"} %zu\n",
		      up, down);
}

static char *metrics(struct serve *s)
{
	struct serve_metrics *m = &s->metrics;
	struct kc_buf b = { 0 };

	pthread_mutex_lock(&m->lock);
	head(&b, "rounds_total", "counter", "Rounds of the agent.");
	kc_buf_printf(&b,
		      "kubecdn_dns_rounds_total{result=\"ok\"} %lld\n"
		      "kubecdn_dns_rounds_total{result=\"failed\"} %lld\n",
		      (long long)(m->rounds - m->failed), (long long)m->failed);
	one(&b, "last_success_timestamp_seconds", "gauge", "When a round last went well.",
	    (double)m->last_success_ms / 1000);
	one(&b, "api_errors_total", "counter", "Rounds that could not read the Kubernetes API.",
	    (double)m->api_errors);
	one(&b, "claim_epoch", "gauge", "Epoch of the region's claim.", (double)m->epoch);
	add_state(m, &b);
	one(&b, "copies_refused", "gauge", "Copies of the zone that could not be read or changed.",
	    (double)m->refused);
	one(&b, "leader", "gauge", "Whether this replica may write.", kc_lease_held(&s->lease));
	head(&b, "apply_duration_seconds", "summary", "How long changes of the copies took.");
	kc_buf_printf(&b,
		      "kubecdn_dns_apply_duration_seconds_sum %.3f\n"
		      "kubecdn_dns_apply_duration_seconds_count %lld\n",
		      (double)m->apply_ms / 1000, (long long)m->applies);
	pthread_mutex_unlock(&m->lock);
	return kc_buf_steal(&b);
}

int serve_page(void *cookie, const char *path, char **ret_text)
{
	struct serve *s = cookie;
	struct serve_metrics *m = &s->metrics;
	bool alive, ready;

	if (streq(path, "/metrics")) {
		*ret_text = metrics(s);
		return 200;
	}
	pthread_mutex_lock(&m->lock);
	alive = kc_now_ms() < m->last_end_ms + s->interval_ms + ROUND_MS;
	ready = kc_realtime_ms() < m->last_success_ms + s->interval_ms + ROUND_MS;
	pthread_mutex_unlock(&m->lock);
	if (!streq(path, "/healthz") && !streq(path, "/readyz"))
		return 404;
	alive = streq(path, "/healthz") ? alive : ready;
	*ret_text = xstrdup(alive ? "ok\n" : "no round went well for two minutes\n");
	return alive ? 200 : 503;
}
