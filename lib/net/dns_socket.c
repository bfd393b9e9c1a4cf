/* Bytes to a server and back: UDP with tries, TCP with a length before each message. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/net/dns_impl.h"

enum { ID_LEN = 2 };

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

char *dns_server_name(const struct kc_dns_server *server)
{
	char text[KC_ADDR_STRLEN];

	kc_addr_format(&server->address, text);
	return xasprintf("%s port %d", text, server->port ? server->port : 53);
}

long dns_timeout(const struct kc_dns_server *server)
{
	return server->timeout_ms ? server->timeout_ms : (long)DNS_DEFAULT_MS;
}

static socklen_t fill(const struct kc_dns_server *server, union address *out)
{
	in_port_t port = htons((uint16_t)(server->port ? server->port : 53));

	memset(out, 0, sizeof(*out));
	if (server->address.family == AF_INET6) {
		out->in6.sin6_family = AF_INET6;
		out->in6.sin6_port = port;
		memcpy(&out->in6.sin6_addr, server->address.bytes, 16);
		return sizeof(out->in6);
	}
	out->in.sin_family = AF_INET;
	out->in.sin_port = port;
	memcpy(&out->in.sin_addr, server->address.bytes, 4);
	return sizeof(out->in);
}

int dns_wait(int fd, short what, int64_t deadline)
{
	for (;;) {
		int64_t left = deadline - kc_now_ms();
		struct pollfd p = { .fd = fd, .events = what };
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;

		if (n > 0)
			return 0;
		if (n == 0)
			return KC_ETIMEOUT;
		if (errno != EINTR)
			return KC_EFAIL;
	}
}

int dns_open(const struct kc_dns_server *server, int type, int64_t deadline, int *ret,
	     struct kc_err *err)
{
	union address to;
	socklen_t len = fill(server, &to), size = sizeof(int);
	int fd = socket(to.any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;

	if (fd < 0)
		return kc_fail_errno(err, errno, "a socket");
	/* A connected UDP socket takes answers from there only. */
	if (connect(fd, &to.any, len) < 0) {
		error = errno;
		if (error == EINPROGRESS) {
			if (dns_wait(fd, POLLOUT, deadline) < 0)
				error = ETIMEDOUT;
			else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
				error = errno;
		}
	}
	if (error) {
		close(fd);
		return kc_fail(err, error == ETIMEDOUT ? KC_ETIMEOUT : KC_EAGAIN,
			       "cannot connect: %s", strerror(error));
	}
	*ret = fd;
	return 0;
}

static int lost(struct kc_err *err, int r)
{
	if (r == KC_ETIMEOUT)
		return kc_fail(err, r, "no answer");
	return kc_fail(err, KC_EAGAIN, "the connection is lost");
}

int dns_move(int fd, uint8_t *in, const uint8_t *out, size_t len, int64_t deadline,
	     struct kc_err *err)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = in ? recv(fd, in + at, len - at, 0)
			       : send(fd, out + at, len - at, MSG_NOSIGNAL);
		int r;

		if (n > 0) {
			at += (size_t)n;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return lost(err, KC_EAGAIN);
		r = dns_wait(fd, in ? POLLIN : POLLOUT, deadline);
		if (r < 0)
			return lost(err, r);
	}
	return 0;
}

static int by_tcp(const struct kc_dns_server *server, const uint8_t *wire, size_t len,
		  int64_t deadline, uint8_t **ret, size_t *ret_len, struct kc_err *err)
{
	_cleanup_free_ uint8_t *framed = xmalloc(len + 2), *reply = NULL;
	_cleanup_close_ int fd = -1;
	uint8_t head[2];
	size_t n;
	int r = dns_open(server, SOCK_STREAM, deadline, &fd, err);

	framed[0] = (uint8_t)(len >> 8);
	framed[1] = (uint8_t)len;
	memcpy(framed + 2, wire, len);
	if (r == 0)
		r = dns_move(fd, NULL, framed, len + 2, deadline, err);
	if (r == 0)
		r = dns_move(fd, head, NULL, sizeof(head), deadline, err);
	if (r < 0)
		return r;
	n = (size_t)head[0] << 8 | head[1];
	reply = xmalloc(n + 1);
	r = dns_move(fd, reply, NULL, n, deadline, err);
	if (r < 0)
		return r;
	if (n < ID_LEN || memcmp(reply, wire, ID_LEN) != 0)
		return kc_fail(err, KC_EFAIL, "the reply is to another question");
	*ret = TAKE(reply);
	*ret_len = n;
	return 0;
}

/* What has another ID is an answer to an earlier try of somebody else, or forged: not ours. */
static int by_udp(const struct kc_dns_server *server, const uint8_t *wire, size_t len,
		  int64_t deadline, uint8_t **ret, size_t *ret_len, struct kc_err *err)
{
	_cleanup_free_ uint8_t *reply = xmalloc(DNS_MESSAGE_MAX);
	_cleanup_close_ int fd = -1;
	int r = dns_open(server, SOCK_DGRAM, deadline, &fd, err);

	while (r == 0) {
		int64_t try_end = kc_now_ms() + DNS_TRY_MS;

		if (try_end > deadline)
			try_end = deadline;
		if (send(fd, wire, len, MSG_NOSIGNAL) < 0)
			return kc_fail(err, KC_EAGAIN, "cannot send: %s", strerror(errno));
		while (dns_wait(fd, POLLIN, try_end) == 0) {
			ssize_t n = recv(fd, reply, DNS_MESSAGE_MAX, 0);

			if (n < 0 && errno == ECONNREFUSED)
				return kc_fail(err, KC_EAGAIN, "nobody listens there");
			if (n < ID_LEN || memcmp(reply, wire, ID_LEN) != 0)
				continue;
			*ret = TAKE(reply);
			*ret_len = (size_t)n;
			return 0;
		}
		if (kc_now_ms() >= deadline)
			r = lost(err, KC_ETIMEOUT);
	}
	return r;
}

int dns_exchange(const struct kc_dns_server *server, bool tcp, const uint8_t *wire, size_t len,
		 uint8_t **ret, size_t *ret_len, struct kc_err *err)
{
	int64_t deadline = kc_now_ms() + dns_timeout(server);

	return (tcp ? by_tcp : by_udp)(server, wire, len, deadline, ret, ret_len, err);
}
