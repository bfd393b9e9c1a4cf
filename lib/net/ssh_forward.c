#include "lib/net/ssh_forward.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/net/ssh_impl.h"

enum { CHUNK = 32 << 10, OPEN_MS = 10000, IDLE_MS = 5000, CONNS_MAX = 128 };

/* One direction's bytes that the other side has not taken yet: data[at..len). */
struct half {
	char data[CHUNK];
	size_t at, len;
};

struct conn {
	int fd;		  /* listening until its one client has come */
	in_port_t client; /* its port; 0: it is there */
	int64_t patience;
	LIBSSH2_CHANNEL *ch;
	int far; /* instead of ch: a socket that the program ssh forwards; or -1 */
	struct half there, back;
	bool over;
};

/* A dial that waits for the thread. */
struct request {
	const char *host;
	int port, fd, r;
	struct sockaddr_in to;
	bool done;
	struct kc_err err;
	struct request *next;
};

/* libssh2 has room for one packet that the socket did not take: its call must be finished first. */
enum pending { NONE, WRITE, READ };

struct kc_ssh_forward {
	kc_ssh_opener *open;
	void *cookie;
	pthread_t thread;
	bool started, stop;
	int wake[2];
	pthread_mutex_t lock; /* of the requests */
	pthread_cond_t answered;
	struct request *requests;
	/* The thread's own. */
	struct kc_ssh *ssh;
	bool hop; /* the host forwards nothing: the bastion does */
	struct conn *conns[CONNS_MAX];
	size_t n;
	enum pending pending;
	struct conn *pending_conn;
};

struct kc_ssh_forward *kc_ssh_forward_new(kc_ssh_opener *open, void *cookie)
{
	struct kc_ssh_forward *f = xcalloc(1, sizeof(*f));

	f->open = open;
	f->cookie = cookie;
	if (pipe2(f->wake, O_CLOEXEC | O_NONBLOCK) < 0)
		abort(); /* out of descriptors */
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->answered, NULL);
	return f;
}

static void conn_free(struct kc_ssh_forward *f, struct conn *c)
{
	int r;

	kc_closep(&c->fd);
	kc_closep(&c->far);
	if (f->pending_conn == c)
		f->pending = NONE, f->pending_conn = NULL;
	if (c->ch && f->ssh && !f->ssh->broken)
		SSH_CALL(f->ssh, kc_now_ms() + 2000, &r, NULL, libssh2_channel_free(c->ch));
	free(c);
}

/* The session is of no more use, and with it every connection. */
static void drop_session(struct kc_ssh_forward *f)
{
	if (f->ssh)
		f->ssh->broken = true;
	while (f->n)
		conn_free(f, f->conns[--f->n]);
	kc_ssh_close(TAKE(f->ssh));
}

static bool outbound(const struct kc_ssh_forward *f)
{
	return libssh2_session_block_directions(f->ssh->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND;
}

/* Remember a call that must be repeated before any other; true while it would block. */
static bool would_block(struct kc_ssh_forward *f, struct conn *c, enum pending what, ssize_t n)
{
	bool again = n == LIBSSH2_ERROR_EAGAIN;

	if (c->far >= 0)
		return again;
	f->pending = again && outbound(f) ? what : NONE;
	f->pending_conn = f->pending == NONE ? NULL : c;
	return again;
}

static ssize_t far_write(struct conn *c, const char *data, size_t len)
{
	ssize_t n;

	if (c->far < 0)
		return libssh2_channel_write(c->ch, data, len);
	n = send(c->far, data, len, MSG_NOSIGNAL);
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? LIBSSH2_ERROR_EAGAIN : n;
}

/* 0: nothing, or the end. */
static ssize_t far_read(struct conn *c, char *data, size_t len)
{
	ssize_t n;

	if (c->far < 0)
		return libssh2_channel_read(c->ch, data, len);
	n = recv(c->far, data, len, 0);
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? LIBSSH2_ERROR_EAGAIN : n;
}

/* From our socket into the channel. Says whether anything moved. */
static bool pump_there(struct kc_ssh_forward *f, struct conn *c)
{
	struct half *h = &c->there;
	ssize_t n;

	if (h->at == h->len) {
		n = read(c->fd, h->data, sizeof(h->data));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		c->over = n <= 0;
		if (c->over)
			return true;
		h->at = 0;
		h->len = (size_t)n;
	}
	n = far_write(c, h->data + h->at, h->len - h->at);
	if (would_block(f, c, WRITE, n) || n == 0)
		return false;
	c->over = n < 0;
	h->at += n < 0 ? 0 : (size_t)n;
	return true;
}

static bool flush_back(struct conn *c)
{
	struct half *h = &c->back;
	ssize_t n = send(c->fd, h->data + h->at, h->len - h->at, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	c->over = n < 0;
	h->at += n < 0 ? 0 : (size_t)n;
	return true;
}

static bool pump_back(struct kc_ssh_forward *f, struct conn *c)
{
	struct half *h = &c->back;
	ssize_t n;

	if (h->at < h->len)
		return flush_back(c);
	n = far_read(c, h->data, sizeof(h->data));
	if (would_block(f, c, READ, n))
		return false;
	if (n <= 0) {
		c->over = n < 0 || c->far >= 0 || libssh2_channel_eof(c->ch);
		return c->over;
	}
	h->at = 0;
	h->len = (size_t)n;
	return flush_back(c) || true;
}

/* Let the one client in that this connection was made for. */
static bool welcome(struct conn *c)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	int on = 1,
	    fd = accept4(c->fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		c->over = kc_now_ms() > c->patience;
		return c->over;
	}
	if (from.sin_port != c->client) {
		close(fd); /* somebody else of this machine */
		return true;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	close(c->fd);
	c->fd = fd;
	c->client = 0;
	return true;
}

static bool may(const struct kc_ssh_forward *f, const struct conn *c, enum pending what)
{
	return f->pending == NONE || (f->pending == what && f->pending_conn == c);
}

/* One round over all connections; whether anything moved. */
static bool pump(struct kc_ssh_forward *f)
{
	bool moved = false;

	for (size_t i = 0; i < f->n; i++) {
		struct conn *c = f->conns[i];

		if (c->client) {
			moved |= welcome(c);
			continue;
		}
		if (!c->over && may(f, c, WRITE))
			moved |= pump_there(f, c);
		if (!c->over && may(f, c, READ))
			moved |= pump_back(f, c);
	}
	for (size_t i = 0; i < f->n;) {
		if (f->conns[i]->over && f->pending == NONE) {
			struct conn *c = f->conns[i];

			f->conns[i] = f->conns[--f->n];
			conn_free(f, c);
		} else {
			i++;
		}
	}
	return moved;
}

/* The channel, or NULL: *ret_refused when this sshd forwards nothing. */
static LIBSSH2_CHANNEL *open_channel(struct kc_ssh_forward *f, const struct request *q,
				     bool *ret_refused, struct kc_err *err)
{
	int64_t deadline = kc_now_ms() + OPEN_MS;

	*ret_refused = false;
	for (;;) {
		LIBSSH2_CHANNEL *ch = libssh2_channel_direct_tcpip_ex(f->ssh->session, q->host,
								      q->port, "127.0.0.1", 22);
		int code = libssh2_session_last_errno(f->ssh->session);

		if (ch)
			return ch;
		if (code != LIBSSH2_ERROR_EAGAIN) {
			const char *why = ssh_last(f->ssh);

			*ret_refused = strstr(why, "prohibited");
			f->ssh->broken = code != LIBSSH2_ERROR_CHANNEL_FAILURE;
			kc_fail(err, KC_EAGAIN, "%s port %d, through %s: %s%s", q->host, q->port,
				f->ssh->name, why,
				*ret_refused ? "; allow AllowTcpForwarding in its sshd" : "");
			return NULL;
		}
		if (ssh_wait(f->ssh, deadline, err) < 0) {
			f->ssh->broken = true;
			return NULL;
		}
	}
}

/* As above, through a new session if the one there was turns out to be lost. */
static LIBSSH2_CHANNEL *reach(struct kc_ssh_forward *f, const struct request *q, bool *ret_refused,
			      struct kc_err *err)
{
	LIBSSH2_CHANNEL *ch = NULL;
	bool old = f->ssh;

	*ret_refused = false;
	if (!old && f->open(f->cookie, f->hop, &f->ssh, err) < 0)
		return NULL;
	ch = open_channel(f, q, ret_refused, err);
	if (!f->ssh->broken)
		return ch;
	drop_session(f);
	return old && err->code != KC_ECANCELED ? reach(f, q, ret_refused, err) : NULL;
}

/* A channel through the host, or through its bastion if the host's sshd forwards nothing. */
static int connect_channel(struct kc_ssh_forward *f, const struct request *q, LIBSSH2_CHANNEL **ret,
			   struct kc_err *err)
{
	struct kc_ssh *hop = NULL;
	bool refused;
	int r;

	*ret = reach(f, q, &refused, err);
	if (*ret || !refused || f->hop)
		return *ret ? 0 : err->code;
	r = f->open(f->cookie, true, &hop, NULL);
	if (r < 0) /* what the host said says more */
		return err->code;
	drop_session(f);
	f->ssh = hop;
	f->hop = true;
	*ret = reach(f, q, &refused, err);
	return *ret ? 0 : err->code;
}

/* The far end of a connection, by whichever transport the session has. */
static int connect_there(struct kc_ssh_forward *f, const struct request *q, struct conn *c,
			 struct kc_err *err)
{
	int r = 0;

	if (f->ssh && f->ssh->openssh && !ssh_openssh_alive(f->ssh))
		drop_session(f);
	if (!f->ssh)
		r = f->open(f->cookie, f->hop, &f->ssh, err);
	if (r == 0 && !f->ssh->openssh)
		return connect_channel(f, q, &c->ch, err);
	if (r == 0)
		r = ssh_openssh_dial(f->ssh, q->host, q->port, &c->far, err);
	if (r == 0)
		fcntl(c->far, F_SETFL, O_NONBLOCK);
	return r;
}

/* A socket on a port of loopback that the system chooses. */
static int on_loopback(int flags, struct sockaddr_in *ret, struct kc_err *err)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 &&
	    getsockname(fd, (struct sockaddr *)ret, &len) == 0)
		return fd;
	kc_fail_errno(err, errno, "a socket on loopback");
	kc_closep(&fd);
	return -1;
}

/* The listening end for the connection, the client's end for the request. */
static int make_ends(struct conn *c, struct request *q, struct kc_err *err)
{
	struct sockaddr_in client;

	c->fd = on_loopback(SOCK_NONBLOCK, &q->to, err);
	if (c->fd < 0)
		return err->code;
	if (listen(c->fd, 1) < 0)
		return kc_fail_errno(err, errno, "listening on loopback");
	q->fd = on_loopback(0, &client, err);
	if (q->fd < 0)
		return err->code;
	c->client = client.sin_port;
	c->patience = kc_now_ms() + OPEN_MS;
	return 0;
}

static void serve(struct kc_ssh_forward *f, struct request *q)
{
	struct conn *c;

	if (f->n == CONNS_MAX) {
		q->r = kc_fail(&q->err, KC_EAGAIN, "%s port %d: more than %d connections", q->host,
			       q->port, CONNS_MAX);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->fd = c->far = -1;
	q->r = make_ends(c, q, &q->err);
	if (q->r == 0)
		q->r = connect_there(f, q, c, &q->err);
	if (q->r < 0) {
		kc_closep(&q->fd);
		kc_closep(&c->fd);
		free(c);
		return;
	}
	f->conns[f->n++] = c;
}

static void serve_requests(struct kc_ssh_forward *f)
{
	struct request *q;

	pthread_mutex_lock(&f->lock);
	while (f->pending == NONE && (q = f->requests) && !f->stop) {
		f->requests = q->next;
		pthread_mutex_unlock(&f->lock);
		serve(f, q);
		pthread_mutex_lock(&f->lock);
		q->done = true;
		pthread_cond_broadcast(&f->answered);
	}
	pthread_mutex_unlock(&f->lock);
}

/* Some connection has room for what comes over the session. */
static bool wants(const struct kc_ssh_forward *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (!f->conns[i]->client && f->conns[i]->back.at == f->conns[i]->back.len)
			return true;
	return false;
}

/* Until something can move: the session's socket, ours, or a new request. */
static void wait_any(struct kc_ssh_forward *f)
{
	struct pollfd p[2 * CONNS_MAX + 2] = { { .fd = f->wake[0], .events = POLLIN } };
	nfds_t n = 1;
	char sink[64];
	int next;

	if (f->ssh && !f->ssh->openssh) {
		p[n].fd = ssh_root(f->ssh)->fd;
		/* Without a channel that wants some, nobody would take what comes. */
		p[n].events = wants(f) ? POLLIN : 0;
		if (libssh2_session_block_directions(ssh_root(f->ssh)->session) &
		    LIBSSH2_SESSION_BLOCK_OUTBOUND)
			p[n].events |= POLLOUT;
		n++;
	}
	for (size_t i = 0; i < f->n; i++) {
		const struct conn *c = f->conns[i];

		if (c->over)
			continue;
		p[n].fd = c->fd;
		p[n].events = c->there.at == c->there.len ? POLLIN : 0;
		if (c->back.at < c->back.len)
			p[n].events |= POLLOUT;
		/* A full channel: whether its reader hung up is seen once it takes more. */
		n += p[n].events != 0;
		if (c->far < 0 || c->client)
			continue;
		p[n] = (struct pollfd){ .fd = c->far };
		p[n].events |= c->back.at == c->back.len ? POLLIN : 0;
		p[n].events |= c->there.at < c->there.len ? POLLOUT : 0;
		n += p[n].events != 0;
	}
	poll(p, n, f->ssh ? IDLE_MS : -1);
	while (read(f->wake[0], sink, sizeof(sink)) > 0)
		;
	if (f->ssh && !f->ssh->openssh && f->pending == NONE &&
	    libssh2_keepalive_send(f->ssh->session, &next) < 0)
		drop_session(f);
}

static bool stopping(struct kc_ssh_forward *f)
{
	bool stop;

	pthread_mutex_lock(&f->lock);
	stop = f->stop;
	pthread_mutex_unlock(&f->lock);
	return stop;
}

static void *run(void *cookie)
{
	struct kc_ssh_forward *f = cookie;

	while (!stopping(f)) {
		serve_requests(f);
		if (!f->ssh || !pump(f))
			wait_any(f);
	}
	drop_session(f);
	return NULL;
}

int kc_ssh_forward_dial(struct kc_ssh_forward *f, const char *host, int port, int *ret_fd,
			struct sockaddr_in *ret_to, struct kc_err *err)
{
	struct request q = { .host = host, .port = port, .fd = -1 }, **last;
	int r = 0;

	pthread_mutex_lock(&f->lock);
	if (!f->started) {
		r = pthread_create(&f->thread, NULL, run, f);
		f->started = r == 0;
	}
	if (r) {
		pthread_mutex_unlock(&f->lock);
		return kc_fail_errno(err, r, "starting a thread");
	}
	for (last = &f->requests; *last; last = &(*last)->next)
		;
	*last = &q;
	if (write(f->wake[1], "", 1) < 0)
		kc_debug("ssh", "waking the forward: %m"); /* the pipe is full: it is awake */
	while (!q.done)
		pthread_cond_wait(&f->answered, &f->lock);
	pthread_mutex_unlock(&f->lock);
	if (q.r < 0) {
		if (err)
			*err = q.err;
		return q.r;
	}
	*ret_fd = q.fd;
	*ret_to = q.to;
	return 0;
}

void kc_ssh_forward_free(struct kc_ssh_forward *f)
{
	if (!f)
		return;
	if (f->started) {
		pthread_mutex_lock(&f->lock);
		f->stop = true;
		pthread_mutex_unlock(&f->lock);
		if (write(f->wake[1], "", 1) < 0)
			kc_debug("ssh", "waking the forward: %m");
		pthread_join(f->thread, NULL);
	}
	kc_closep(&f->wake[0]);
	kc_closep(&f->wake[1]);
	pthread_cond_destroy(&f->answered);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
