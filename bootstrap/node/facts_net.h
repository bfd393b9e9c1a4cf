/* Interfaces, addresses, the default route: see facts.h. */
#ifndef KC_NODE_FACTS_NET_H
#define KC_NODE_FACTS_NET_H

#include <jansson.h>

void kc_node_facts_net(json_t *facts);

#endif
