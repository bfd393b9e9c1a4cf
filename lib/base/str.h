/* Strings: small predicates, edit distance for suggestions, hex. */
#ifndef KC_BASE_STR_H
#define KC_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}
static inline bool strsame(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}
bool kc_startswith(const char *s, const char *prefix);
bool kc_endswith(const char *s, const char *suffix);

/* RFC 1123 label (max 63) and dotted subdomain (max 253), lower case. */
bool kc_is_dns_label(const char *s);
bool kc_is_dns_name(const char *s);

/*
 * Copy foreign text for a terminal or a log: at most size bytes with the end, control in
 * place of each control character, line breaks as spaces, and no half of a UTF-8 character.
 */
void kc_clean(char *out, size_t size, const char *s, char control);

/* Parse a whole decimal number within [min, max]; false if it is anything else. */
bool kc_parse_long(const char *s, long min, long max, long *ret);

/* The candidate nearest to word (edit distance <= a third of its length), or NULL. */
const char *kc_nearest(const char *word, const char *const *candidates, size_t n);

/* Sort n strings bytewise, in place. */
void kc_sort_text(const char **v, size_t n);

/* Lower-case hex; out holds 2 * len + 1 bytes. */
void kc_hex(const unsigned char *data, size_t len, char *out);

/* Parse "250ms", "90s", "5m", "2h" (or "0") to milliseconds; false if malformed or > 24 days. */
bool kc_parse_duration(const char *s, long *ret_ms);

#endif
