/* Who listens on a TCP port of this host (proc(5), /proc/net/tcp and tcp6). */
#ifndef KC_NODE_PORTS_H
#define KC_NODE_PORTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The first of ports (integers) that somebody listens on; false: nobody does. out: the path of the
 * program, or "another program" where that cannot be seen.
 */
bool kc_node_listener(const json_t *ports, long *ret_port, char *out, size_t size);

#endif
