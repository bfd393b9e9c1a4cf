#include "lib/plan/limits.h"

#include <stddef.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"

#define PARALLEL 16

static const struct kc_limits table[] = {
	/* The agent on its own host: system calls and systemd; a look costs nothing. */
	{ .provider = "host", .parallel = PARALLEL, .poll_max_ms = 100 },
	/*
	 * kube-apiserver's --max-mutating-requests-inflight is 200 and --max-requests-inflight 400
	 * (its reference, defaults), and who is in system:masters is exempt from API priority and
	 * fairness (its "exempt" level): 16 of ours are far below, and no rate is needed.
	 */
	{ .provider = "kube", .parallel = PARALLEL, .poll_max_ms = 250 },
	/* Containers on this host: processes and mounts, bounded by its cores and disk. */
	{ .provider = "local", .parallel = PARALLEL },
	/*
	 * One session a host, so sshd's MaxStartups (sshd_config(5): 10:30:100 a host) is never
	 * near. The number is ours: hosts wait for each other seldom, and one's upload shares our
	 * uplink.
	 */
	{ .provider = "ssh", .parallel = 32 },
	/* Key pairs, which cost CPU time, and small objects of the state store. */
	{ .provider = "state", .parallel = 8 },
};

const struct kc_limits *kc_limits(const char *provider)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (streq(table[i].provider, provider))
			return &table[i];
	return NULL;
}

int kc_limits_parallel(const struct kc_limits *limits)
{
	return limits && limits->parallel > 0 ? limits->parallel : PARALLEL;
}
