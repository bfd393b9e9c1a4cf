/*
 * The user's settings: ~/.config/kubecdn/config.yaml, below the environment.
 *
 *	flag > KUBECDN_... > config.yaml > default
 *
 * What may stand there follows from the table of flags: every one with a
 * variable, by its name in camel case (--state-key-file: stateKeyFile). The
 * file is checked like a manifest, by lib/spec; `kubecdn explain config` shows
 * its fields. It has no place for secrets, only for the names of files that do.
 */
#ifndef KC_CLI_CONFIG_H
#define KC_CLI_CONFIG_H

#include "lib/base/opt.h"
#include "lib/spec/spec.h"

/* Of settings, for explain and --json-schema; made once. Borrowed. */
const struct kc_spec_kind *kc_cli_config_kind(void);
/* Of every manifest, and of the settings: NULL-ended. */
const struct kc_spec_kind *const *kc_cli_kinds(void);
/* Where it is looked for: --config or KUBECDN_CONFIG, $XDG_CONFIG_HOME/kubecdn/config.yaml,
 * ~/.config/kubecdn/config.yaml; NULL: there is no home. Owned. */
char *kc_cli_config_path(const struct kc_args *args);
/*
 * Read it into args. No file is no error, unless it was named. KC_EINVAL: what is wrong with it, a
 * line each. *ret: what args then borrow from; new reference, or NULL.
 */
int kc_cli_config(struct kc_args *args, json_t **ret, struct kc_err *err);

#endif
