/* LUA records of PowerDNS. */
#ifndef KC_DNS_LUA_H
#define KC_DNS_LUA_H

#include <jansson.h>

#include "dns/ir.h"

/* The data of a LUA record that answers type ("A") from branches (ir.h); NULL if they have no
 * address of that family. Owned. */
char *lua_record(const json_t *ir, const json_t *branches, const char *type);
/* The branches of a script that lua_record() made, as far as it says: no ids; NULL: it did not make
 * it. New reference. */
json_t *lua_branches(const char *data);

#endif
