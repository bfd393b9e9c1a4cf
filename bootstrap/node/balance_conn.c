/* Connections of the balancer: two sockets, two buffers, half closes passed on. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bootstrap/node/balance_priv.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define TRIES 8

static void end(struct balance *b, struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	bal_close(b, &c->client);
	bal_close(b, &c->server);
	if (c->backend)
		c->backend->conns--;
	c->backend = NULL;
	if (c->prev)
		c->prev->next = c->next;
	else
		b->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->prev = NULL;
	c->next = b->grave;
	b->grave = c;
}

void bal_conn_reap(struct balance *b)
{
	while (b->grave) {
		struct conn *c = b->grave;

		b->grave = c->next;
		free(c);
	}
}

/* Read while there is room; false on a broken connection. */
static bool fill(struct pipe_buf *p, int from)
{
	ssize_t n;

	if (p->len == 0)
		p->at = 0;
	if (p->eof || p->at + p->len == PIPE_SIZE)
		return true;
	n = recv(from, p->data + p->at + p->len, PIPE_SIZE - p->at - p->len, 0);
	if (n == 0)
		p->eof = true;
	if (n > 0)
		p->len += (size_t)n;
	return n >= 0 || errno == EAGAIN || errno == EINTR;
}

/* Write what is there, then pass the end on; false on a broken connection. */
static bool flush(struct pipe_buf *p, int to)
{
	while (p->len) {
		ssize_t n = send(to, p->data + p->at, p->len, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		p->at += (size_t)n;
		p->len -= (size_t)n;
	}
	if (p->eof && !p->shut) {
		p->shut = true;
		shutdown(to, SHUT_WR);
	}
	return true;
}

static bool has_room(const struct pipe_buf *p)
{
	return !p->eof && (p->len == 0 || p->at + p->len < PIPE_SIZE);
}

static void want_events(struct balance *b, struct conn *c)
{
	uint32_t client = 0, server = 0;

	if (c->connected) {
		client |= has_room(&c->up) ? EPOLLIN : 0;
		client |= c->down.len ? EPOLLOUT : 0;
		server |= has_room(&c->down) ? EPOLLIN : 0;
		server |= c->up.len ? EPOLLOUT : 0;
	} else {
		server = EPOLLOUT;
	}
	bal_watch(b, &c->client, client);
	bal_watch(b, &c->server, server);
}

static void pump(struct balance *b, struct conn *c)
{
	bool ok = fill(&c->up, c->client.fd) && flush(&c->up, c->server.fd) &&
		  fill(&c->down, c->server.fd) && flush(&c->down, c->client.fd);

	if (!ok || (c->up.shut && c->down.shut))
		end(b, c);
	else
		want_events(b, c);
}

static void connected(struct balance *b, struct conn *c)
{
	c->connected = true;
	pump(b, c);
}

/* To a healthy backend; without one the client waits for the checks to find one. */
static void connect_backend(struct balance *b, struct conn *c)
{
	while (c->tries < TRIES) {
		struct backend *s = bal_pick(b);
		int on = 1;

		c->backend = s;
		if (!s)
			return;
		s->conns++;
		c->tries++;
		c->server.fd =
			socket(s->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		setsockopt(c->server.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(c->server.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		if (connect(c->server.fd, (struct sockaddr *)&s->addr, s->len) == 0) {
			connected(b, c);
			return;
		}
		if (errno == EINPROGRESS) {
			want_events(b, c);
			return;
		}
		bal_close(b, &c->server);
		s->conns--;
		s->healthy = false;
		s->probed_ms = 0;
		c->backend = NULL;
	}
	end(b, c);
}

/* connect() gave its answer; a refusal tells us sooner than the next check. */
static void server_answered(struct balance *b, struct conn *c)
{
	struct backend *s = c->backend;
	socklen_t n = sizeof(int);
	int e = 0;

	getsockopt(c->server.fd, SOL_SOCKET, SO_ERROR, &e, &n);
	if (e == 0) {
		connected(b, c);
		return;
	}
	bal_close(b, &c->server);
	s->healthy = false;
	s->probed_ms = 0;
	s->conns--;
	c->backend = NULL;
	connect_backend(b, c);
}

void bal_conn_event(struct balance *b, struct watch *w, uint32_t events)
{
	struct conn *c = w->owner;

	if (c->dead)
		return;
	if (w->kind == W_SERVER && !c->connected)
		server_answered(b, c);
	else if (events & EPOLLERR)
		end(b, c);
	else
		pump(b, c);
}

void bal_conn_accept(struct balance *b, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = xcalloc(1, sizeof(*c));
		int on = 1;

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		c->client = (struct watch){ .kind = W_CLIENT, .fd = fd, .owner = c };
		c->server = (struct watch){ .kind = W_SERVER, .fd = -1, .owner = c };
		c->since_ms = kc_now_ms();
		c->next = b->conns;
		if (b->conns)
			b->conns->prev = c;
		b->conns = c;
		connect_backend(b, c);
	}
}

void bal_conn_serve_waiting(struct balance *b)
{
	for (struct conn *c = b->conns, *next; c; c = next) {
		next = c->next;
		if (!c->backend && !c->dead)
			connect_backend(b, c);
	}
}

void bal_conn_drop(struct balance *b, const struct backend *s)
{
	for (struct conn *c = b->conns, *next; c; c = next) {
		next = c->next;
		if (!s || c->backend == s)
			end(b, c);
	}
}

void bal_conn_expire(struct balance *b)
{
	int64_t now = kc_now_ms();

	for (struct conn *c = b->conns, *next; c; c = next) {
		next = c->next;
		if (!c->connected && now - c->since_ms > WAIT_MS)
			end(b, c);
	}
}
