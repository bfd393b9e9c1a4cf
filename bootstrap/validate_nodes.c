/* The second half of validate: what only the nodes themselves can say, asked over SSH. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap/nodespec.h"
#include "bootstrap/validate.h"
#include "lib/base/each.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { DAY = 24 * 3600, THREADS_MAX = 32 };

/* Updates renew certificates past two thirds of their year: with less than 60 days left nobody has
 * run one for months. The kubelet renews its own when 70 to 90 % of the year are over. */
enum { OURS_DAYS = 60, KUBELETS_DAYS = 30 };

#define KUBELET_CLIENT "/var/lib/kubelet/pki/kubelet-client-current.pem"
#define DNS_NAME       "kubernetes.default"

struct ask {
	const char *id; /* of the node's task */
	const json_t *task;
	json_t *answer;
	struct kc_err err;
	int r;
};

struct round {
	struct session *s;
	const json_t *question;
	struct ask *asks;
	size_t n;
};

static void ask_node(void *cookie, size_t i)
{
	struct round *round = cookie;
	struct ask *a = &round->asks[i];

	a->r = kc_hosts_probe(&round->s->hosts, a->id, a->task, round->question, &a->answer,
			      &a->err);
}

__attribute__((format(printf, 5, 6))) static void say(json_t *checks, const char *what,
						      const char *node, bool ok, const char *fmt,
						      ...)
{
	_cleanup_free_ char *id = xasprintf("%s/%s", what, node);
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	validate_verdict(checks, id, ok, text);
}

static int judge_dns(json_t *checks, const char *node, const char *server, const json_t *answer,
		     struct kc_err *err)
{
	const json_t *dns;
	int r = kc_json_obj(answer, "the agent's answer", "dns", &dns, err);

	if (r < 0)
		return r;
	if (kc_json_get_bool(dns, "ok", false))
		say(checks, "dns", node, true, DNS_NAME " resolves through %s", server);
	else
		say(checks, "dns", node, false,
		    DNS_NAME " does not resolve through %s: %s; look at kube-proxy on %s, then at "
			     "CoreDNS",
		    server, kc_json_get_str(dns, "why", "?"), node);
	return 0;
}

static bool kubelets(const char *path)
{
	return streq(path, KUBELET_CLIENT);
}

static void tell_late(json_t *checks, const char *node, const char *cluster, const char *path,
		      long long days)
{
	_cleanup_free_ char *when =
		days < 0 ? xstrdup("has expired") : xasprintf("expires in %lld days", days);

	if (kubelets(path))
		say(checks, "certificates", node, false,
		    "%s %s; the kubelet should have renewed it: see `journalctl -u kubelet` on %s",
		    path, when, node);
	else
		say(checks, "certificates", node, false,
		    "%s %s; `kubecdn cluster update %s` renews those past two thirds of their life",
		    path, when, cluster);
}

static int judge_certs(json_t *checks, const char *node, const char *cluster, const json_t *answer,
		       time_t now, struct kc_err *err)
{
	const char *first = NULL, *late = NULL, *path;
	long long first_days = 0, late_days = 0, days;
	const json_t *certs, *cert;
	size_t i;
	int r = kc_json_arr(answer, "the agent's answer", "certs", &certs, err);

	json_array_foreach(certs, i, cert) {
		const json_t *end = json_object_get(cert, "notAfter");

		if (r == 0)
			r = kc_json_str(cert, "the agent's answer", "path", &path, err);
		if (r < 0)
			return r;
		if (!json_is_integer(end)) {
			say(checks, "certificates", node, false,
			    "%s is not there or no certificate; `kubecdn cluster update %s` "
			    "repairs it",
			    path, cluster);
			return 0;
		}
		days = (json_integer_value(end) - (long long)now) / DAY;
		if (json_integer_value(end) < (long long)now)
			days = -1;
		if (!first || days < first_days)
			first = path, first_days = days;
		if (days < (kubelets(path) ? KUBELETS_DAYS : OURS_DAYS) &&
		    (!late || days < late_days))
			late = path, late_days = days;
	}
	if (r < 0)
		return r;
	if (!first)
		say(checks, "certificates", node, false,
		    "the node's record has none; `kubecdn cluster update %s` makes them", cluster);
	else if (late)
		tell_late(checks, node, cluster, late, late_days);
	else
		say(checks, "certificates", node, true, "the first expires in %lld days (%s)",
		    first_days, first);
	return 0;
}

int validate_judge(json_t *checks, const char *node, const char *cluster, const char *server,
		   const json_t *answer, time_t now, struct kc_err *err)
{
	int r = judge_dns(checks, node, server, answer, err);

	return r < 0 ? r : judge_certs(checks, node, cluster, answer, now, err);
}

static void prepare(struct session *s, struct round *round)
{
	const json_t *task;
	const char *id;

	round->asks = xcalloc(json_object_size(kc_state_tasks(s->state)) + 1, sizeof(*round->asks));
	json_object_foreach((json_t *)kc_state_tasks(s->state), id, task)
		if (streq(kc_json_get_str(task, "kind", ""), "node"))
			round->asks[round->n++] = (struct ask){ .id = id, .task = task };
}

static int judge_round(struct round *round, const char *server, json_t *checks, struct kc_err *err)
{
	for (size_t i = 0; i < round->n; i++) {
		struct ask *a = &round->asks[i];
		const char *node = a->id + strlen("node/");

		if (a->r == KC_ECANCELED) {
			*err = a->err;
			return a->r;
		}
		if (a->r == 0)
			a->r = validate_judge(checks, node, round->s->name, server, a->answer,
					      time(NULL), &a->err);
		if (a->r < 0)
			say(checks, "ssh", node, false, "%s", a->err.msg);
	}
	return 0;
}

int validate_nodes(struct session *s, json_t *checks, struct kc_err *err)
{
	struct round round = { .s = s };
	json_auto_t *question = NULL;
	char server[46];
	int r = kc_service_address(s->cluster, 10, server, err);

	if (r < 0)
		return r;
	question = kc_pack("{s:{s:s, s:s}, s:[s]}", "dns", "server", server, "name",
			   DNS_NAME ".svc." KC_CLUSTER_DOMAIN ".", "certs", KUBELET_CLIENT);
	round.question = question;
	prepare(s, &round);
	kc_each(round.n, THREADS_MAX, ask_node, &round);
	r = judge_round(&round, server, checks, err);
	for (size_t i = 0; i < round.n; i++)
		json_decref(round.asks[i].answer);
	free(round.asks);
	return r;
}
