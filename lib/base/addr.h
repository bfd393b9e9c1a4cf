/* Addresses and CIDR blocks, both families. */
#ifndef KC_BASE_ADDR_H
#define KC_BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#define KC_ADDR_STRLEN 46

struct kc_addr {
	int family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];
};

struct kc_cidr {
	struct kc_addr base; /* host bits are zero */
	int prefix;
};

bool kc_addr_parse(const char *s, struct kc_addr *ret);
void kc_addr_format(const struct kc_addr *a, char out[KC_ADDR_STRLEN]);

/* "10.244.0.0/16"; set host bits are refused (false), as Kubernetes does. */
bool kc_cidr_parse(const char *s, struct kc_cidr *ret);
bool kc_cidr_contains(const struct kc_cidr *c, const struct kc_addr *a);
bool kc_cidr_overlap(const struct kc_cidr *a, const struct kc_cidr *b);
/* The n-th address of the block (0 is the base); false if it lies outside. */
bool kc_cidr_nth(const struct kc_cidr *c, uint32_t n, struct kc_addr *ret);

#endif
