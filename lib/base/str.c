#include "lib/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

bool kc_startswith(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool kc_endswith(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && streq(s + n - m, suffix);
}

static bool is_label(const char *s, size_t n)
{
	if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!(islower((unsigned char)s[i]) || isdigit((unsigned char)s[i]) || s[i] == '-'))
			return false;
	return true;
}

bool kc_is_dns_label(const char *s)
{
	return is_label(s, strlen(s));
}

bool kc_is_dns_name(const char *s)
{
	if (strlen(s) > 253)
		return false;
	for (;;) {
		size_t n = strcspn(s, ".");

		if (!is_label(s, n))
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

bool kc_parse_long(const char *s, long min, long max, long *ret)
{
	char *end;
	long v;

	if (!isdigit((unsigned char)s[0]) && s[0] != '-')
		return false;
	errno = 0;
	v = strtol(s, &end, 10);
	if (errno || end == s || *end || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

/* Optimal string alignment over short words; longer ones are never suggested. */
static size_t distance(const char *a, const char *b)
{
	enum { MAX = 64 };
	size_t n = strlen(a), m = strlen(b), d[MAX + 1][MAX + 1];

	if (n > MAX || m > MAX)
		return MAX;
	for (size_t i = 0; i <= n; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= n; i++)
		for (size_t j = 1; j <= m; j++) {
			size_t cost = tolower((unsigned char)a[i - 1]) !=
				      tolower((unsigned char)b[j - 1]);
			size_t best = d[i - 1][j - 1] + cost;

			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	return d[n][m];
}

const char *kc_nearest(const char *word, const char *const *candidates, size_t n)
{
	size_t limit = strlen(word) / 3 + 1, best = limit + 1;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, candidates[i]);

		if (d < best) {
			best = d;
			found = candidates[i];
		}
	}
	return best <= limit ? found : NULL;
}

void kc_hex(const unsigned char *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 15];
	}
	out[2 * len] = '\0';
}

bool kc_parse_duration(const char *s, long *ret_ms)
{
	static const struct {
		const char *unit;
		long ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	const long max = 24L * 24 * 3600 * 1000;
	char *end;
	long v;

	if (!isdigit((unsigned char)s[0]))
		return false;
	errno = 0;
	v = strtol(s, &end, 10);
	if (errno || v > max)
		return false;
	if (v == 0 && !*end) {
		*ret_ms = 0;
		return true;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (streq(end, units[i].unit)) {
			if (v > max / units[i].ms)
				return false;
			*ret_ms = v * units[i].ms;
			return true;
		}
	return false;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void kc_sort_text(const char **v, size_t n)
{
	if (n)
		qsort(v, n, sizeof(*v), by_text);
}

/* C1 controls are two bytes, C2 80..9F. */
void kc_clean(char *out, size_t size, const char *s, char control)
{
	size_t n = 0;

	for (; s && *s && n + 1 < size; s++) {
		unsigned char c = (unsigned char)*s, d = (unsigned char)s[1];

		if (c == 0xc2 && d >= 0x80 && d < 0xa0) {
			out[n++] = control;
			s++;
		} else {
			out[n++] = (char)(c == '\n' || c == '\t' ? ' '
					  : c < 32 || c == 127	 ? control
								 : c);
		}
	}
	while (s && *s && n > 0 && ((unsigned char)out[n - 1] & 0xc0) == 0x80)
		n--; /* never half a UTF-8 character at a cut */
	if (s && *s && n > 0 && ((unsigned char)out[n - 1] & 0xc0) == 0xc0)
		n--;
	out[n] = '\0';
}
