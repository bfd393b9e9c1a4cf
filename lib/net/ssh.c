#include "lib/net/ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/net/ssh_impl.h"

/* libssh2 1.10 knows neither AES-GCM nor ChaCha20; of what it knows these are the fastest. */
#define CIPHERS "aes128-ctr,aes192-ctr,aes256-ctr"
#define MACS	"hmac-sha2-256,hmac-sha2-512,hmac-sha1"

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	if (libssh2_init(0) != 0)
		abort();
}

const char *ssh_last(struct kc_ssh *s)
{
	char *msg = NULL;

	if (libssh2_session_last_error(s->session, &msg, NULL, 0) == 0 || !msg || !*msg)
		return "connection lost";
	return msg;
}

int ssh_wait(struct kc_ssh *s, int64_t deadline, struct kc_err *err)
{
	int64_t left = deadline - kc_now_ms();
	struct kc_ssh *root = ssh_root(s);
	struct pollfd p = { .fd = root->fd };
	int dir = libssh2_session_block_directions(root->session);

	if (s->canceled && s->canceled(s->cookie))
		return kc_fail(err, KC_ECANCELED, "%s: canceled", s->name);
	if (left <= 0)
		return kc_fail(err, KC_ETIMEOUT, "%s: timed out", s->name);
	/* A packet is half out, and until it is out nothing is read: what comes in meanwhile would
	 * end each wait at once. The bit for reading may be an older call's. */
	p.events = dir & LIBSSH2_SESSION_BLOCK_OUTBOUND ? POLLOUT : POLLIN;
	if (poll(&p, 1, left < 200 ? (int)left : 200) < 0 && errno != EINTR)
		return kc_fail_errno(err, errno, "%s: poll", s->name);
	return 0;
}

/* Connect without blocking past the deadline or a cancellation; 0 or an errno. */
static int dial_one(const struct addrinfo *a, const struct kc_ssh_target *t, int64_t deadline,
		    int *ret_fd)
{
	_cleanup_close_ int fd =
		socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
	socklen_t len = sizeof(int);
	int e = 0;

	if (fd < 0)
		return errno;
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
		return errno;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		int64_t left = deadline - kc_now_ms();

		if (t->canceled && t->canceled(t->cookie))
			return ECANCELED;
		if (left <= 0)
			return ETIMEDOUT;
		if (poll(&p, 1, left < 200 ? (int)left : 200) > 0)
			break;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 || e)
		return e ? e : errno;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static int dial_failed(const char *who, int port, int e, struct kc_err *err)
{
	switch (e) {
	case ECANCELED:
		return kc_fail(err, KC_ECANCELED, "%s: canceled", who);
	case ECONNREFUSED:
		return kc_fail(err, KC_EAGAIN,
			       "%s: connection refused on port %d; is sshd running there?", who,
			       port);
	case ETIMEDOUT:
		return kc_fail(err, KC_EAGAIN,
			       "%s: no answer on port %d; is the host up, and is the port open to "
			       "us?",
			       who, port);
	default:
		kc_fail_errno(err, e, "%s: cannot reach port %d", who, port);
		if (err)
			err->code = KC_EAGAIN;
		return KC_EAGAIN;
	}
}

int ssh_dial(const char *who, const struct kc_ssh_target *t, int64_t deadline, int *ret_fd,
	     struct kc_err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG },
			*list = NULL;
	int port = t->port ? t->port : 22, e = EHOSTUNREACH, on = 1;
	int dead = (int)(4000 * (t->keepalive_s ? t->keepalive_s : 15));
	char service[16];

	snprintf(service, sizeof(service), "%d", port);
	e = getaddrinfo(t->host, service, &hints, &list);
	if (e == EAI_ADDRFAMILY || e == EAI_NONAME) {
		hints.ai_flags = 0; /* a machine that has nothing but loopback */
		e = getaddrinfo(t->host, service, &hints, &list);
	}
	if (e)
		return kc_fail(err, e == EAI_AGAIN ? KC_EAGAIN : KC_EINVAL,
			       "%s: cannot resolve the host name: %s", who, gai_strerror(e));
	e = EHOSTUNREACH;
	for (const struct addrinfo *a = list; a && e; a = a->ai_next) {
		e = dial_one(a, t, deadline, ret_fd);
		if (e == ECANCELED)
			break;
	}
	freeaddrinfo(list);
	if (e)
		return dial_failed(who, port, e, err);
	setsockopt(*ret_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* With our keepalives in flight, this is what notices a host that vanished. */
	setsockopt(*ret_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead, sizeof(dead));
	return 0;
}

/* Bytes of a session that runs inside a channel of its bastion's session. */
static ssize_t via_send(libssh2_socket_t fd, const void *data, size_t len, int flags,
			void **abstract)
{
	struct kc_ssh *s = *abstract;
	ssize_t n;

	if (s->via_dead)
		return -ECONNRESET;
	n = libssh2_channel_write(s->via, data, len);
	s->via_blocked = n == LIBSSH2_ERROR_EAGAIN &&
			 (libssh2_session_block_directions(s->bastion->session) &
			  LIBSSH2_SESSION_BLOCK_OUTBOUND);
	if (n == LIBSSH2_ERROR_EAGAIN || n == 0)
		return -EAGAIN;
	return n < 0 ? -ECONNRESET : n;
}

static ssize_t via_recv(libssh2_socket_t fd, void *data, size_t len, int flags, void **abstract)
{
	struct kc_ssh *s = *abstract;
	ssize_t n;

	if (s->via_dead)
		return -ECONNRESET;
	/* libssh2 allows one unfinished packet: reading might want to send a window update. */
	if (s->via_blocked)
		return -EAGAIN;
	n = libssh2_channel_read(s->via, data, len);
	if (n == LIBSSH2_ERROR_EAGAIN)
		return -EAGAIN;
	if (n < 0)
		return -ECONNRESET;
	if (n == 0 && !libssh2_channel_eof(s->via))
		return -EAGAIN;
	return n;
}

static int open_via(struct kc_ssh *s, const struct kc_ssh_target *t, int64_t deadline,
		    struct kc_err *err)
{
	int r = kc_ssh_open(t->bastion, &s->bastion, err);

	if (r < 0)
		return kc_wrap(err, "%s: through the bastion", s->name);
	while (!s->via) {
		s->via = libssh2_channel_direct_tcpip_ex(s->bastion->session, s->host, s->port,
							 "127.0.0.1", 22);
		if (s->via)
			break;
		if (libssh2_session_last_errno(s->bastion->session) != LIBSSH2_ERROR_EAGAIN)
			return kc_fail(err, KC_EAGAIN,
				       "%s: the bastion %s cannot reach port %d, or does not "
				       "forward TCP: %s",
				       s->name, s->bastion->name, s->port, ssh_last(s->bastion));
		r = ssh_wait(s->bastion, deadline, err);
		if (r < 0)
			return kc_wrap(err, "%s: through the bastion", s->name);
	}
	libssh2_session_callback_set(s->session, LIBSSH2_CALLBACK_SEND, via_send);
	libssh2_session_callback_set(s->session, LIBSSH2_CALLBACK_RECV, via_recv);
	return 0;
}

static int handshake(struct kc_ssh *s, const struct kc_ssh_target *t, int64_t deadline,
		     struct kc_err *err)
{
	int r, rc;

	rc = SSH_CALL(s, deadline, &r, err, libssh2_session_handshake(s->session, ssh_root(s)->fd));
	if (r == KC_ETIMEOUT)
		return kc_fail(err, KC_EAGAIN, "%s: port %d accepts connections but sends no SSH",
			       s->name, s->port);
	if (r < 0)
		return r;
	if (rc == 0)
		return 0;
	if (rc == LIBSSH2_ERROR_KEX_FAILURE || rc == LIBSSH2_ERROR_METHOD_NONE ||
	    rc == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE) {
		_cleanup_close_ int fd = -1;

		if (!s->bastion && ssh_dial(s->name, t, deadline, &fd, NULL) == 0)
			return ssh_explain_kex(s, fd, err);
	}
	/* A host that is just booting resets connections: worth another attempt. */
	return kc_fail(err, KC_EAGAIN, "%s: the SSH handshake failed: %s", s->name, ssh_last(s));
}

static struct kc_ssh *session_new(const struct kc_ssh_target *t)
{
	struct kc_ssh *s = xcalloc(1, sizeof(*s));

	pthread_once(&once, init);
	s->fd = -1;
	s->port = t->port ? t->port : 22;
	s->host = xstrdup(t->host);
	s->user = xstrdup(t->user ? t->user : "root");
	s->name = xasprintf("%s@%s", s->user, s->host);
	s->canceled = t->canceled;
	s->cookie = t->cookie;
	if (t->openssh)
		return s;
	s->session = libssh2_session_init_ex(NULL, NULL, NULL, s);
	if (!s->session)
		abort();
	libssh2_session_set_blocking(s->session, 0);
	libssh2_session_method_pref(s->session, LIBSSH2_METHOD_CRYPT_CS, CIPHERS);
	libssh2_session_method_pref(s->session, LIBSSH2_METHOD_CRYPT_SC, CIPHERS);
	libssh2_session_method_pref(s->session, LIBSSH2_METHOD_MAC_CS, MACS);
	libssh2_session_method_pref(s->session, LIBSSH2_METHOD_MAC_SC, MACS);
	return s;
}

int kc_ssh_open(const struct kc_ssh_target *t, struct kc_ssh **ret, struct kc_err *err)
{
	_cleanup_ssh_ struct kc_ssh *s = session_new(t);
	int64_t deadline = kc_now_ms() + (t->connect_timeout_ms ? t->connect_timeout_ms : 10000);
	int r;

	if (t->openssh) {
		r = ssh_openssh_open(s, t, err);
		if (r == 0)
			*ret = TAKE(s);
		return r;
	}
	r = ssh_hostkey_prepare(s, t, err);
	if (r < 0)
		return r;
	r = t->bastion ? open_via(s, t, deadline, err)
		       : ssh_dial(s->name, t, deadline, &s->fd, err);
	if (r < 0)
		return r;
	r = handshake(s, t, deadline, err);
	if (r < 0)
		return r;
	r = ssh_hostkey_check(s, t, err);
	if (r < 0)
		return r;
	r = ssh_login(s, t, deadline, err);
	if (r < 0)
		return r;
	libssh2_keepalive_config(s->session, 1, (unsigned)(t->keepalive_s ? t->keepalive_s : 15));
	kc_debug("ssh", "%s: open, %s, %s", s->name,
		 libssh2_session_methods(s->session, LIBSSH2_METHOD_CRYPT_CS),
		 libssh2_session_methods(s->session, LIBSSH2_METHOD_MAC_CS));
	*ret = TAKE(s);
	return 0;
}

void kc_ssh_close(struct kc_ssh *s)
{
	if (!s)
		return;
	ssh_openssh_close(s);
	if (s->session) {
		ssh_release(s);
		libssh2_session_disconnect(s->session, "bye");
		/* Nothing may block from here on: every further send fails at once. */
		s->via_dead = true;
		if (s->fd >= 0)
			shutdown(s->fd, SHUT_RDWR);
		for (int i = 0; i < 100; i++)
			if (libssh2_session_free(s->session) != LIBSSH2_ERROR_EAGAIN)
				break;
	}
	if (s->via)
		libssh2_channel_free(s->via);
	kc_ssh_close(s->bastion);
	kc_closep(&s->fd);
	kc_buf_done(&s->errs);
	free(s->host);
	free(s->user);
	free(s->name);
	free(s->host_key);
	free(s->host_types);
	free(s);
}

const char *kc_ssh_name(const struct kc_ssh *s)
{
	return s->name;
}

const char *kc_ssh_host_key(const struct kc_ssh *s)
{
	return s->host_key;
}
