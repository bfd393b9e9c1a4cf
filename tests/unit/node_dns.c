/* One question to a server of the test's own, which answers as it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bootstrap/node/dns.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { SECOND = 1000 };

static const uint8_t address[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 96, 0, 1 };
static const uint8_t alias[] = { 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 5, 0, 2, 0xc0, 12 };

struct reply {
	int rcode, flags, answers; /* flags: of the third byte */
	const uint8_t *records;
	size_t records_len;
	size_t cut;  /* bytes that are missing at the end */
	int strange; /* other ids sent before */
	bool only_strange, other_name, silent;
};

struct server {
	int fd;
	char name[32];
	const struct reply *reply;
	pthread_t thread;
	size_t question_len;
};

static size_t write_reply(const struct reply *r, const uint8_t *q, size_t q_len, uint8_t *out)
{
	size_t n = q_len;

	memcpy(out, q, q_len);
	out[2] = (uint8_t)(0x80 | r->flags);
	out[3] = (uint8_t)r->rcode;
	out[7] = (uint8_t)r->answers;
	if (r->other_name)
		out[13] ^= 1;
	if (r->records)
		memcpy(out + n, r->records, r->records_len);
	n += r->records_len;
	return r->cut < n ? n - r->cut : 0;
}

static void *serve(void *cookie)
{
	struct server *s = cookie;
	const struct reply *r = s->reply;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	uint8_t q[KC_DNS_MAX], a[2 * KC_DNS_MAX];
	ssize_t n = recvfrom(s->fd, q, sizeof(q), 0, (struct sockaddr *)&from, &len);
	size_t a_len;

	if (n < 0 || r->silent)
		return NULL;
	s->question_len = (size_t)n;
	a_len = write_reply(r, q, (size_t)n, a);
	a[0] ^= 0xff;
	for (int i = 0; i < r->strange; i++)
		sendto(s->fd, a, a_len, 0, (struct sockaddr *)&from, len);
	a[0] ^= 0xff;
	if (!r->only_strange)
		sendto(s->fd, a, a_len, 0, (struct sockaddr *)&from, len);
	return NULL;
}

static void open_server(struct server *s, const struct reply *r)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct timeval limit = { .tv_sec = 5 };
	socklen_t len = sizeof(sa);

	s->reply = r;
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sa, &len), 0);
	setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	snprintf(s->name, sizeof(s->name), "127.0.0.1:%d", ntohs(sa.sin_port));
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static int ask(const struct reply *r, struct kc_err *err)
{
	struct server s = { 0 };
	int64_t start = kc_now_ms();
	int code;

	open_server(&s, r);
	code = kc_node_dns(s.name, "kubernetes.default.svc.cluster.local.", err);
	assert_true(kc_now_ms() - start < SECOND + 500);
	pthread_join(s.thread, NULL);
	close(s.fd);
	return code;
}

static void assert_bad(const struct reply *r, const char *why)
{
	struct kc_err err = { 0 };

	assert_int_equal(ask(r, &err), KC_EAGAIN);
	if (!strstr(err.msg, why))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, why);
}

#define RECORDS(x) .records = x, .records_len = sizeof(x)

static void good(void **state)
{
	uint8_t both[sizeof(alias) + sizeof(address)];
	struct reply plain = { .answers = 1, RECORDS(address) },
		     late = { .answers = 1, RECORDS(address), .strange = 3 },
		     second = { .answers = 2, RECORDS(both) };
	struct kc_err err = { 0 };

	memcpy(both, alias, sizeof(alias));
	memcpy(both + sizeof(alias), address, sizeof(address));
	assert_int_equal(ask(&plain, &err), 0);
	assert_int_equal(ask(&late, &err), 0);
	assert_int_equal(ask(&second, &err), 0);
}

static void not_there(void **state)
{
	struct reply servfail = { .rcode = 2 }, nx = { .rcode = 3 }, odd = { .rcode = 11 },
		     none = { 0 }, only_alias = { .answers = 1, RECORDS(alias) };

	assert_bad(&servfail, "SERVFAIL");
	assert_bad(&nx, "NXDOMAIN");
	assert_bad(&odd, "code 11");
	assert_bad(&none, "no address");
	assert_bad(&only_alias, "no address");
}

static void no_answer(void **state)
{
	struct reply silent = { .silent = true }, strange = {
		.answers = 1, RECORDS(address), .strange = 2, .only_strange = true
	};
	struct kc_err err = { 0 };

	assert_bad(&silent, "no answer");
	assert_bad(&strange, "another id");
	/* Nobody listens there: said at once. */
	assert_int_equal(kc_node_dns("127.0.0.1:1", "a.b.", &err), KC_EAGAIN);
	assert_non_null(strstr(err.msg, "refused"));
}

static void malformed(void **state)
{
	uint8_t big[KC_DNS_MAX] = { 0 };
	struct reply truncated = { .answers = 1, RECORDS(address), .flags = 2 },
		     other = { .answers = 1, RECORDS(address), .other_name = true },
		     query = { .answers = 1, RECORDS(address), .flags = 0x78 },
		     too_big = { .answers = 1, RECORDS(big) };

	assert_bad(&truncated, "truncated");
	assert_bad(&other, "malformed");
	assert_bad(&query, "malformed");
	assert_bad(&too_big, "malformed");
	/* Cut anywhere, down to nothing at all. */
	for (size_t cut = 1; cut < 80; cut++) {
		struct reply r = { .answers = 1, RECORDS(address), .cut = cut };

		assert_bad(&r, "malformed");
	}
}

/* Any bytes behind the right question: an answer or a reason, never a read beyond the end (ASan).
 */
static void garbage(void **state)
{
	static const uint8_t q[] = { 7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1 };
	uint32_t seed = 1;

	for (int round = 0; round < 200000; round++) {
		size_t len = sizeof(q) + (size_t)(round % 48);
		_cleanup_free_ uint8_t *a = xmalloc(len);
		struct kc_err err = { 0 };
		int r;

		memcpy(a, q, sizeof(q));
		a[2] = 0x81;
		a[7] = (uint8_t)(round % 5);
		for (size_t i = sizeof(q); i < len; i++)
			a[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
		r = kc_dns_judge(q, sizeof(q), a, len, &err);
		assert_true(r == 0 || r == KC_EAGAIN);
	}
}

static void names(void **state)
{
	static const char *const bad[] = { ".", "a..b", "..",
					   "0123456789012345678901234567890123456789"
					   "012345678901234567890123456789.x" };
	char longest[300];
	struct kc_err err;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(kc_node_dns("127.0.0.1:1", bad[i], &err), KC_EINVAL);
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i % 2 ? '.' : 'a';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(kc_node_dns("127.0.0.1:1", longest, &err), KC_EINVAL);
	assert_int_equal(kc_node_dns("localhost:53", "a.", &err), KC_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),	     cmocka_unit_test(not_there),
		cmocka_unit_test(no_answer), cmocka_unit_test(malformed),
		cmocka_unit_test(garbage),   cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
