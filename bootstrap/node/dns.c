#include "bootstrap/node/dns.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bootstrap/node/probe.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/crypto/hash.h"

enum { TRY_MS = 1000, HEADER = 12, LABEL_MAX = 63, NAME_MAX_BYTES = 255, TYPE_A = 1, IN = 1 };
enum { TYPE_AAAA = 28 };

static const char malformed[] = "the answer is malformed";

static unsigned u16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* header, name, type, class. Returns its length, 0 for what is no name. */
static size_t write_question(const char *name, unsigned type, uint8_t out[KC_DNS_MAX])
{
	size_t n = HEADER;

	memset(out, 0, HEADER);
	kc_random(out, 2);
	out[2] = 1; /* recursion desired */
	out[5] = 1; /* one question */
	while (*name) {
		size_t label = strcspn(name, ".");

		if (label == 0 || label > LABEL_MAX || n - HEADER + label + 2 > NAME_MAX_BYTES)
			return 0;
		out[n++] = (uint8_t)label;
		memcpy(out + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	out[n++] = 0;
	out[n++] = 0;
	out[n++] = (uint8_t)type;
	out[n++] = 0;
	out[n++] = IN;
	return n;
}

/* The offset behind the name at offset i, 0 if it runs out of the message. Pointers need not be
 * followed, so nothing can loop. */
static size_t skip_name(const uint8_t *p, size_t len, size_t i)
{
	while (i < len) {
		if ((p[i] & 0xc0) == 0xc0)
			return i + 2 <= len ? i + 2 : 0;
		if (p[i] & 0xc0)
			return 0;
		if (p[i] == 0)
			return i + 1;
		i += 1u + p[i];
	}
	return 0;
}

static int judge_header(const uint8_t *q, const uint8_t *a, struct kc_err *err)
{
	static const char *const rcodes[] = { NULL,	  "FORMERR", "SERVFAIL",
					      "NXDOMAIN", "NOTIMP",  "REFUSED" };
	unsigned rcode = a[3] & 0x0f;

	if (memcmp(a, q, 2) != 0)
		return kc_fail(err, KC_ENOTFOUND, "the answer has another id");
	if (!(a[2] & 0x80) || (a[2] & 0x78))
		return kc_fail(err, KC_EAGAIN, "%s", malformed);
	if (rcode && rcode < ARRAY_SIZE(rcodes))
		return kc_fail(err, KC_EAGAIN, "the server answers %s", rcodes[rcode]);
	if (rcode)
		return kc_fail(err, KC_EAGAIN, "the server answers with code %u", rcode);
	if (a[2] & 0x02)
		return kc_fail(err, KC_EAGAIN, "the answer is truncated");
	return 0;
}

int kc_dns_judge(const uint8_t *q, size_t q_len, const uint8_t *a, size_t len, struct kc_err *err)
{
	unsigned type = u16(q + q_len - 4), found = 0;
	size_t i = q_len;
	int r;

	if (len < HEADER)
		return kc_fail(err, KC_EAGAIN, "%s", malformed);
	r = judge_header(q, a, err);
	if (r < 0)
		return r;
	/* The question comes back as it was asked. */
	if (len < q_len || u16(a + 4) != 1 || memcmp(a + HEADER, q + HEADER, q_len - HEADER) != 0)
		return kc_fail(err, KC_EAGAIN, "%s", malformed);
	for (unsigned n = u16(a + 6); n > 0; n--) {
		size_t data;

		i = skip_name(a, len, i);
		if (i == 0 || len - i < 10)
			return kc_fail(err, KC_EAGAIN, "%s", malformed);
		data = u16(a + i + 8);
		if (len - i - 10 < data)
			return kc_fail(err, KC_EAGAIN, "%s", malformed);
		if (u16(a + i) == type && u16(a + i + 2) == IN &&
		    data == (type == TYPE_A ? 4u : 16u))
			found++;
		i += 10 + data;
	}
	return found ? 0 : kc_fail(err, KC_EAGAIN, "the answer has no address");
}

/* Wait for the answer to our question; those to others' are passed over until the time is up. */
static int await(int fd, const uint8_t *q, size_t q_len, struct kc_err *err)
{
	int64_t deadline = kc_now_ms() + TRY_MS, left;
	bool strange = false;

	while ((left = deadline - kc_now_ms()) > 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint8_t a[KC_DNS_MAX];
		ssize_t n;
		int r;

		if (poll(&p, 1, (int)left) != 1)
			continue;
		n = recv(fd, a, sizeof(a), MSG_TRUNC | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return kc_fail(err, KC_EAGAIN, "%s", strerror(errno));
		if ((size_t)n > sizeof(a))
			return kc_fail(err, KC_EAGAIN, "%s", malformed);
		r = kc_dns_judge(q, q_len, a, (size_t)n, err);
		if (r != KC_ENOTFOUND)
			return r;
		strange = true;
	}
	return kc_fail(err, KC_EAGAIN, "no answer within %d ms%s", TRY_MS,
		       strange ? ", only one with another id" : "");
}

int kc_node_dns(const char *server, const char *name, struct kc_err *err)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage sa;
	uint8_t q[KC_DNS_MAX];
	socklen_t sa_len;
	size_t q_len;
	int r = kc_node_sockaddr(server, &sa, &sa_len, err);

	if (r < 0)
		return r;
	q_len = write_question(name, sa.ss_family == AF_INET6 ? TYPE_AAAA : TYPE_A, q);
	if (q_len == 0)
		return kc_fail(err, KC_EINVAL, "\"%s\" is no domain name", name);
	/* Connected: only the server's packets come in, and a refusal is an error at once. */
	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sa_len) < 0 ||
	    send(fd, q, q_len, 0) != (ssize_t)q_len)
		return kc_fail(err, KC_EAGAIN, "%s", strerror(errno));
	return await(fd, q, q_len, err);
}
