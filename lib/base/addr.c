#include "lib/base/addr.h"

#include <arpa/inet.h>
#include <string.h>

#include "lib/base/str.h"

bool kc_addr_parse(const char *s, struct kc_addr *ret)
{
	struct kc_addr a = { 0 };

	if (inet_pton(AF_INET, s, a.bytes) == 1)
		a.family = AF_INET;
	else if (inet_pton(AF_INET6, s, a.bytes) == 1)
		a.family = AF_INET6;
	else
		return false;
	*ret = a;
	return true;
}

void kc_addr_format(const struct kc_addr *a, char out[KC_ADDR_STRLEN])
{
	inet_ntop(a->family, a->bytes, out, KC_ADDR_STRLEN);
}

static int bits_of(const struct kc_addr *a)
{
	return a->family == AF_INET ? 32 : 128;
}

static bool same_prefix(const struct kc_addr *a, const struct kc_addr *b, int prefix)
{
	int whole = prefix / 8, rest = prefix % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	if (memcmp(a->bytes, b->bytes, (size_t)whole) != 0)
		return false;
	return rest == 0 || ((a->bytes[whole] ^ b->bytes[whole]) & mask) == 0;
}

bool kc_cidr_parse(const char *s, struct kc_cidr *ret)
{
	char text[KC_ADDR_STRLEN];
	const char *slash = strchr(s, '/');
	struct kc_cidr c = { 0 };
	long prefix;

	if (!slash || (size_t)(slash - s) >= sizeof(text))
		return false;
	memcpy(text, s, (size_t)(slash - s));
	text[slash - s] = '\0';
	if (!kc_addr_parse(text, &c.base) ||
	    !kc_parse_long(slash + 1, 0, bits_of(&c.base), &prefix))
		return false;
	c.prefix = (int)prefix;
	for (int i = c.prefix; i < bits_of(&c.base); i++)
		if (c.base.bytes[i / 8] & (0x80 >> (i % 8)))
			return false;
	*ret = c;
	return true;
}

bool kc_cidr_contains(const struct kc_cidr *c, const struct kc_addr *a)
{
	return c->base.family == a->family && same_prefix(&c->base, a, c->prefix);
}

bool kc_cidr_overlap(const struct kc_cidr *a, const struct kc_cidr *b)
{
	int prefix = a->prefix < b->prefix ? a->prefix : b->prefix;

	return a->base.family == b->base.family && same_prefix(&a->base, &b->base, prefix);
}

bool kc_cidr_nth(const struct kc_cidr *c, uint32_t n, struct kc_addr *ret)
{
	struct kc_addr a = c->base;
	uint64_t carry = n;

	for (int i = bits_of(&a) / 8 - 1; i >= 0; i--) {
		carry += a.bytes[i];
		a.bytes[i] = (uint8_t)carry;
		carry >>= 8;
	}
	if (carry || !kc_cidr_contains(c, &a))
		return false;
	*ret = a;
	return true;
}
