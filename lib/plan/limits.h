/*
 * How much a provider stands, in one table: calls at a time, calls a second, and
 * how often something that becomes ready is looked at.
 *
 * The numbers are data about providers, but stand here, because everybody who
 * runs kinds (clouds, Kubernetes objects, hosts, the agent) sees this room and
 * no other one in common. A provider takes its row with kc_limits("its name");
 * the scheduler keeps to it. A row's comment says where its numbers come from.
 */
#ifndef KC_PLAN_LIMITS_H
#define KC_PLAN_LIMITS_H

struct kc_limits {
	const char *provider;
	int parallel;	    /* calls at a time; 0: 16 */
	double rate, burst; /* token bucket of calls a second; 0: none */
	/* The longest pause between two looks while something becomes ready, ms; 0: 30 s. Short for
	 * what is near and cheap to ask, so that waiting does not cost more than the work. */
	long poll_max_ms;
};

/* A provider's row; NULL (all zero) if it has none. */
const struct kc_limits *kc_limits(const char *provider);
/* How many calls at a time, with limits or without. */
int kc_limits_parallel(const struct kc_limits *limits);

#endif
