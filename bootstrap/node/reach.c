#include "bootstrap/node/reach.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bootstrap/node/protocol.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* A message: the token, the sender's number, the port it was sent to, and what it is. */
enum {
	TOKEN = 32,
	MESSAGE = TOKEN + 8 + 8 + 1,
	PORTS_MAX = 16,
	PEERS_MAX = 100000,
	MS_MAX = 10000
};
/* A refused connection is tried again when the other host may listen; a lost packet, too. */
enum { RETRY_MS = 30 };
enum { PROBE = '?', ACK = '!' };

struct probe {
	struct sockaddr_in to;
	int port;
	bool udp, serves, done;
	int fd; /* -1: nothing under way */
	bool connected;
	size_t got;
	int64_t again; /* when to try (udp: send) next */
	const char *why;
};

struct server {
	int fd, port;
	bool udp;
};

struct client {
	int fd, port;
	size_t got;
	char message[MESSAGE];
};

struct reach {
	char token[TOKEN + 1];
	int self;
	int64_t deadline, now;
	struct probe *probes;
	struct server servers[PORTS_MAX];
	struct client *clients;
	struct pollfd *polls;
	size_t n_probes, n_servers, n_clients, n_polls, expect;
	json_t *seen; /* {"number port kind": null}: who was served */
};

static void compose(const struct reach *r, int port, char kind, char out[MESSAGE + 1])
{
	snprintf(out, MESSAGE + 1, "%s%08x%08x%c", r->token, (unsigned)r->self, (unsigned)port,
		 kind);
}

static int make_socket(bool udp)
{
	return socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* --- the other hosts' probes */

static void serve_port(struct reach *r, int port, bool udp)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = make_socket(udp), on = 1;

	/* Connections of a probe just before linger in TIME_WAIT. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, udp ? 0 : sizeof(on));
	/* A taken port is another check's business. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    (!udp && listen(fd, 512) < 0)) {
		kc_closep(&fd);
		return;
	}
	r->servers[r->n_servers++] = (struct server){ .fd = fd, .port = port, .udp = udp };
}

/* Is it one of ours, sent to this port? Remembers who was served. */
static bool is_ours(struct reach *r, const char *message, int port, char kind)
{
	char at[9];

	snprintf(at, sizeof(at), "%08x", (unsigned)port);
	return memcmp(message, r->token, TOKEN) == 0 && memcmp(message + TOKEN + 8, at, 8) == 0 &&
	       message[MESSAGE - 1] == kind;
}

static void note_served(struct reach *r, const char *message, bool udp)
{
	char key[24];

	snprintf(key, sizeof(key), "%.16s%s", message + TOKEN, udp ? "u" : "t");
	json_object_set_new(r->seen, key, json_null());
}

static void serve_udp(struct reach *r, const struct server *s)
{
	struct sockaddr_in from;
	char message[MESSAGE + 1];
	ssize_t n;

	for (;;) {
		socklen_t len = sizeof(from);

		n = recvfrom(s->fd, message, sizeof(message), 0, (struct sockaddr *)&from, &len);
		if (n < 0)
			return;
		if (n != MESSAGE)
			continue;
		/* Only its sender knows that the answer came: until then it may have to be sent
		 * again. */
		if (is_ours(r, message, s->port, ACK))
			note_served(r, message, true);
		else if (is_ours(r, message, s->port, PROBE))
			sendto(s->fd, message, MESSAGE, 0, (struct sockaddr *)&from, len);
	}
}

static void accept_clients(struct reach *r, const struct server *s)
{
	int fd;

	while ((fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		r->clients = xrealloc(r->clients, (r->n_clients + 1) * sizeof(*r->clients));
		r->clients[r->n_clients++] = (struct client){ .fd = fd, .port = s->port };
	}
}

/* False when it is over. */
static bool serve_client(struct reach *r, struct client *c)
{
	ssize_t n = recv(c->fd, c->message + c->got, MESSAGE - c->got, 0);

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	c->got += (size_t)n;
	if (c->got < MESSAGE)
		return true;
	if (is_ours(r, c->message, c->port, PROBE) &&
	    send(c->fd, c->message, MESSAGE, MSG_NOSIGNAL) == MESSAGE)
		note_served(r, c->message, false);
	return false;
}

static void serve(struct reach *r)
{
	for (size_t i = 0; i < r->n_servers; i++)
		if (r->servers[i].udp)
			serve_udp(r, &r->servers[i]);
		else
			accept_clients(r, &r->servers[i]);
	for (size_t i = 0; i < r->n_clients;) {
		if (serve_client(r, &r->clients[i])) {
			i++;
			continue;
		}
		close(r->clients[i].fd);
		r->clients[i] = r->clients[--r->n_clients];
	}
}

/* --- our own probes */

static const char *why_not(int e)
{
	switch (e) {
	case ECONNREFUSED:
		return "refused";
	case EHOSTUNREACH:
	case ENETUNREACH:
		return "no route to it";
	default:
		return "no answer";
	}
}

static void passed(struct probe *p)
{
	p->done = true;
	kc_closep(&p->fd);
}

static void failed(const struct reach *r, struct probe *p, int e)
{
	p->why = why_not(e);
	p->connected = false;
	p->got = 0;
	p->again = r->now + RETRY_MS;
	kc_closep(&p->fd);
}

static void start(const struct reach *r, struct probe *p)
{
	p->fd = make_socket(p->udp);
	if (p->fd < 0 ||
	    (connect(p->fd, (struct sockaddr *)&p->to, sizeof(p->to)) < 0 && errno != EINPROGRESS))
		failed(r, p, errno);
}

static void say(const struct reach *r, struct probe *p, char kind)
{
	char message[MESSAGE + 1];

	compose(r, p->port, kind, message);
	if (send(p->fd, message, MESSAGE, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		failed(r, p, errno);
}

static void advance_udp(const struct reach *r, struct probe *p)
{
	char message[MESSAGE + 1], want[MESSAGE + 1];
	ssize_t n;

	compose(r, p->port, PROBE, want);
	while ((n = recv(p->fd, message, sizeof(message), 0)) >= 0)
		if (n == MESSAGE && memcmp(message, want, MESSAGE) == 0) {
			say(r, p, ACK);
			passed(p);
			return;
		}
	if (errno != EAGAIN) {
		failed(r, p, errno);
	} else if (r->now >= p->again) {
		p->again = r->now + RETRY_MS;
		say(r, p, PROBE);
	}
}

static void connected(const struct reach *r, struct probe *p)
{
	p->connected = true;
	if (p->serves) {
		passed(p);
		return;
	}
	p->why = "something else answers there";
	say(r, p, PROBE);
}

static void advance_tcp(const struct reach *r, struct probe *p)
{
	struct pollfd fd = { .fd = p->fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	char message[MESSAGE];
	ssize_t n;
	int e = 0;

	if (!p->connected) {
		if (poll(&fd, 1, 0) <= 0)
			return;
		if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 || e)
			failed(r, p, e);
		else
			connected(r, p);
		return;
	}
	n = recv(p->fd, message, sizeof(message), 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		failed(r, p, errno);
		if (n == 0)
			p->why = "something else answers there";
		return;
	}
	p->got += (size_t)n;
	if (p->got >= MESSAGE)
		passed(p);
}

static size_t probe_all(struct reach *r)
{
	size_t left = 0;

	for (size_t i = 0; i < r->n_probes; i++) {
		struct probe *p = &r->probes[i];

		if (!p->done && p->fd < 0 && r->now >= p->again)
			start(r, p);
		if (!p->done && p->fd >= 0 && p->udp)
			advance_udp(r, p);
		else if (!p->done && p->fd >= 0)
			advance_tcp(r, p);
		left += !p->done;
	}
	return left;
}

/* --- both */

static void add_poll(struct reach *r, int fd, short events)
{
	if (fd >= 0)
		r->polls[r->n_polls++] = (struct pollfd){ .fd = fd, .events = events };
}

static void wait_any(struct reach *r)
{
	r->polls = xrealloc(r->polls,
			    (r->n_servers + r->n_clients + r->n_probes + 1) * sizeof(*r->polls));
	r->n_polls = 0;
	for (size_t i = 0; i < r->n_servers; i++)
		add_poll(r, r->servers[i].fd, POLLIN);
	for (size_t i = 0; i < r->n_clients; i++)
		add_poll(r, r->clients[i].fd, POLLIN);
	for (size_t i = 0; i < r->n_probes; i++)
		add_poll(r, r->probes[i].fd,
			 r->probes[i].udp || r->probes[i].connected ? POLLIN : POLLOUT);
	poll(r->polls, r->n_polls, RETRY_MS / 2);
	r->now = kc_now_ms();
}

static void run(struct reach *r)
{
	for (;;) {
		serve(r);
		if (probe_all(r) == 0 && json_object_size(r->seen) >= r->expect)
			return;
		if (r->now >= r->deadline)
			return;
		wait_any(r);
	}
}

static int read_probe(const json_t *v, struct probe *ret, struct kc_err *err)
{
	const char *address;
	int64_t port;
	int r = kc_json_str(v, "peers", "address", &address, err);

	if (r == 0)
		r = kc_json_int(v, "peers", "port", &port, err);
	if (r < 0)
		return r;
	*ret = (struct probe){ .fd = -1, .port = (int)port, .why = why_not(0) };
	ret->udp = kc_json_get_bool(v, "udp", false);
	ret->serves = kc_json_get_bool(v, "serves", false);
	ret->to.sin_family = AF_INET;
	ret->to.sin_port = htons((uint16_t)port);
	if (port < 1 || port > 65535 || inet_pton(AF_INET, address, &ret->to.sin_addr) != 1)
		return kc_fail(err, KC_EINVAL, "peers: %s port %lld cannot be probed", address,
			       (long long)port);
	return 0;
}

static int read_question(struct reach *r, const json_t *q, struct kc_err *err)
{
	const json_t *peers, *listen, *v;
	const char *token;
	int64_t ms, self, expect;
	size_t i;
	int e = kc_json_str(q, "reach", "token", &token, err);

	if (e == 0)
		e = kc_json_int(q, "reach", "ms", &ms, err);
	if (e == 0)
		e = kc_json_int(q, "reach", "self", &self, err);
	if (e == 0)
		e = kc_json_int(q, "reach", "expect", &expect, err);
	if (e == 0)
		e = kc_json_arr(q, "reach", "peers", &peers, err);
	if (e == 0)
		e = kc_json_arr(q, "reach", "listen", &listen, err);
	if (e < 0)
		return e;
	if (strlen(token) != TOKEN || ms < 0 || ms > MS_MAX || json_array_size(peers) > PEERS_MAX ||
	    json_array_size(listen) > PORTS_MAX)
		return kc_fail(err, KC_EINVAL, "reach: token, ms, peers or listen out of bounds");
	memcpy(r->token, token, TOKEN);
	r->self = (int)self;
	r->expect = (size_t)expect;
	r->deadline = r->now + ms;
	r->probes = xcalloc(json_array_size(peers) + 1, sizeof(*r->probes));
	json_array_foreach(peers, i, v) {
		e = read_probe(v, &r->probes[r->n_probes++], err);
		if (e < 0)
			return e;
	}
	json_array_foreach(listen, i, v)
		serve_port(r, (int)kc_json_get_int(v, "port", 0),
			   kc_json_get_bool(v, "udp", false));
	return 0;
}

static void reach_done(struct reach *r)
{
	for (size_t i = 0; i < r->n_probes; i++)
		kc_closep(&r->probes[i].fd);
	for (size_t i = 0; i < r->n_servers; i++)
		close(r->servers[i].fd);
	for (size_t i = 0; i < r->n_clients; i++)
		close(r->clients[i].fd);
	free(r->probes);
	free(r->clients);
	free(r->polls);
	json_decref(r->seen);
}

int kc_node_reach(const json_t *question, json_t **ret, struct kc_err *err)
{
	struct reach r = { .now = kc_now_ms(), .seen = json_object() };
	struct rlimit files;
	json_t *bad = json_array();
	int e;

	/* A socket a probe: 100 hosts need hundreds. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	e = read_question(&r, question, err);
	if (e == 0)
		run(&r);
	for (size_t i = 0; e == 0 && i < r.n_probes; i++)
		if (!r.probes[i].done)
			json_array_append_new(bad, kc_pack("{s:i, s:s}", "peer", (int)i, "why",
							   r.probes[i].why));
	if (e == 0)
		*ret = kc_pack("{s:i, s:O}", "format", KC_NODE_FORMAT, "failed", bad);
	json_decref(bad);
	reach_done(&r);
	return e;
}
