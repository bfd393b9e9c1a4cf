/*
 * What stands in a zone with several copies and leads from one provider to another: a copy that
 * needs another provider's servers goes down with them, and is no copy then. Kubecdn writes nothing
 * of that kind; others may have.
 *
 *	what every copy holds -> kc_lint() -> findings, for `kubecdn dns verify` and `dns ns`
 *
 * Pure: nothing is asked. An error is what keeps names of the policy from being answered by the
 * copy alone; a warning what stands at other names, or makes a copy useless for some resolvers.
 * Results are the caller's; there are no failures.
 */
#ifndef KC_DNS_LINT_H
#define KC_DNS_LINT_H

#include <jansson.h>
#include <stdbool.h>

/*
 * zone: "example.com."; names: the policy's, absolute. copies: [{"provider", "where", "cloud"
 * ("aws", "gcp", "azure") or absent, "offered": [its own servers for the zone], "apex":
 * [NS names at its apex], "links": [{"name", "type": "NS"|"CNAME"|"ALIAS"|"DNAME", "data"} or with
 * "alias": true: of the provider's own kind], "whole": are these all of the zone?, "has": {name:
 * has it addresses?}}]. A copy that could not be read has "unread": true. ret: [{"level":
 * "error"|"warning", "provider", "where", "text"}].
 */
json_t *kc_lint(const char *zone, const json_t *names, const json_t *copies);

/* Names in the zone whose addresses every copy needs: what "has" has to tell of. [name]. */
json_t *kc_lint_needs(const char *zone, const json_t *copies);
/* Do records of that type lead to other names? */
bool kc_lint_is_link(const char *type);
/* A name absolute and in lower case, as providers do not always show them. Owned. */
char *kc_lint_name(const char *name);
/* Whose DNS alone answers for a name, by its domain: "aws", "azure", "gcp"; NULL: not known. */
const char *kc_lint_cloud(const char *name);

#endif
