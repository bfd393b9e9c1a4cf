/* Between cmd_dns.c (the verbs) and the other files of `kubecdn dns`. */
#ifndef KC_CLI_DNS_H
#define KC_CLI_DNS_H

#include <jansson.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/opt.h"

/* The policy of -f FILE, checked. KC_EXIT_USAGE without one. */
int kc_cli_dns_policy(const struct kc_args *args, json_t **ret, struct kc_err *err);

int kc_cli_dns_export(const struct kc_args *args, struct kc_err *err);
int kc_cli_dns_ns(const struct kc_args *args, struct kc_err *err);
int kc_cli_dns_simulate(const struct kc_args *args, struct kc_err *err);
int kc_cli_dns_status(const struct kc_args *args, struct kc_err *err);

/* A line for each of kc_publish_refused(). Owned. */
char *kc_cli_dns_refused(const json_t *refused);
/* Findings (dns/lint.h), "warning: ...", a line each; errors: those too. */
void kc_cli_dns_findings(const json_t *findings, bool errors);

#endif
