/*
 * How much traffic a change moves: what share of all clients of the Internet (lib/geo's cities) two
 * states of a name send to different addresses, nothing being dead.
 */
#ifndef KC_DNS_SHIFT_H
#define KC_DNS_SHIFT_H

#include <jansson.h>

/* Branches as ir.h has them, ids not needed. Per mille; a branch without an address moves all. */
int kc_traffic_shift(const json_t *before, const json_t *after);
/* Different addresses in them. */
size_t kc_branches_addresses(const json_t *branches);

#endif
