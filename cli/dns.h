/* Between cmd_dns.c (the verbs) and the other files of `kubecdn dns`. */
#ifndef KC_CLI_DNS_H
#define KC_CLI_DNS_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/base/opt.h"

/* The policy of -f FILE, checked. KC_EXIT_USAGE without one. */
int kc_cli_dns_policy(const struct kc_args *args, json_t **ret, struct kc_err *err);

int kc_cli_dns_ns(const struct kc_args *args, struct kc_err *err);
int kc_cli_dns_status(const struct kc_args *args, struct kc_err *err);

#endif
