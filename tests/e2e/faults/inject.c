/*
 * Preloaded into kubecdn by the fault tests: every call that leaves a mark outside of the process
 *is a numbered operation, and at one of them the process is killed or its connection is cut.
 *
 *	KC_FAULT_LOG=FILE      append "OP DETAIL" a line for each operation, as it begins
 *	KC_FAULT=OP:N:WHEN:DO  at the Nth operation OP (put, remove, ssh, send, http), before or
 *after it, kill (SIGKILL to ourselves) or cut
 *
 *	put     rename(): an object of the state store (or a cache) becomes visible
 *	remove  unlink() of one
 *	ssh     a command starts on a host; cut: the connection to the host is shut down
 *	send    a write of input to such a command; cut as above
 *	http    a request to the Kubernetes API; cut before: nothing is sent; cut after: the reply
 *is lost
 *
 * The program itself knows nothing of this.
 */
#include <curl/curl.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <libssh2.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum op { PUT, REMOVE, SSH, SEND, HTTP, OPS };

static const char *const names[OPS] = { "put", "remove", "ssh", "send", "http" };

static struct {
	enum op op;
	long number;
	bool after, cut;
	char what[16];
} fault = { .op = OPS };

static atomic_long counts[OPS], stepped;
static int log_fd = -1;

/* Sessions and channels by their socket, so that a connection can be cut by a call on a channel. */
#define KNOWN 256
static struct {
	const void *what;
	int fd;
} known[KNOWN];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void remember(const void *what, int fd)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < KNOWN; i++)
		if (!known[i].what || known[i].what == what) {
			known[i].what = what;
			known[i].fd = fd;
			break;
		}
	pthread_mutex_unlock(&lock);
}

static int recall(const void *what)
{
	int fd = -1;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < KNOWN; i++)
		if (known[i].what == what)
			fd = known[i].fd;
	pthread_mutex_unlock(&lock);
	return fd;
}

__attribute__((constructor)) static void begin(void)
{
	const char *file = getenv("KC_FAULT_LOG"), *text = getenv("KC_FAULT");
	char op[16], when[16];

	if (file)
		log_fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (!text ||
	    sscanf(text, "%15[^:]:%ld:%15[^:]:%15s", op, &fault.number, when, fault.what) != 4)
		return;
	fault.after = strcmp(when, "after") == 0;
	fault.cut = strcmp(fault.what, "cut") == 0;
	for (enum op i = 0; i < OPS; i++)
		if (strcmp(op, names[i]) == 0)
			fault.op = i;
}

static void strike(int fd)
{
	if (strcmp(fault.what, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (fault.cut && fd >= 0)
		shutdown(fd, SHUT_RDWR);
	if (strncmp(fault.what, "int", 3) == 0)
		kill(getpid(), SIGINT);
	if (strcmp(fault.what, "intint") == 0) {
		usleep(300000); /* nobody types faster, and signals of one kind do not queue */
		kill(getpid(), SIGINT);
	}
	if (strncmp(fault.what, "step", 4) == 0)
		atomic_store(&stepped, atol(fault.what + 4));
}

/* Count one operation; whether it is the one that goes wrong. */
static bool count(enum op op, const char *detail)
{
	long n = atomic_fetch_add(&counts[op], 1) + 1;
	char line[512];
	int len = snprintf(line, sizeof(line), "%s %.400s\n", names[op], detail);

	for (int i = 0; i < len - 1; i++)
		line[i] = line[i] == '\n' ? ' ' : line[i];
	if (log_fd >= 0 && write(log_fd, line, (size_t)len) < 0)
		log_fd = -1;
	return op == fault.op && n == fault.number;
}

/* The function of that name that we stand before. */
#define NEXT(ret, ...)                                                                             \
	static ret (*next)(__VA_ARGS__);                                                           \
	if (!next)                                                                                 \
	*(void **)&next = dlsym(RTLD_NEXT, __func__)

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r;

	NEXT(int, clockid_t, struct timespec *);
	r = next(clock, ret);
	if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		ret->tv_sec += atomic_load(&stepped);
	return r;
}

time_t time(time_t *ret)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

int rename(const char *from, const char *to)
{
	bool hit = count(PUT, to);
	int r;

	NEXT(int, const char *, const char *);
	if (hit && !fault.after)
		strike(-1);
	r = next(from, to);
	if (hit && fault.after)
		strike(-1);
	return r;
}

int unlink(const char *path)
{
	bool hit = count(REMOVE, path);
	int r;

	NEXT(int, const char *);
	if (hit && !fault.after)
		strike(-1);
	r = next(path);
	if (hit && fault.after)
		strike(-1);
	return r;
}

int libssh2_session_handshake(LIBSSH2_SESSION *session, libssh2_socket_t fd)
{
	NEXT(int, LIBSSH2_SESSION *, libssh2_socket_t);
	remember(session, fd);
	return next(session, fd);
}

LIBSSH2_CHANNEL *libssh2_channel_open_ex(LIBSSH2_SESSION *session, const char *type,
					 unsigned int type_len, unsigned int window,
					 unsigned int packet, const char *message, unsigned int len)
{
	LIBSSH2_CHANNEL *ch;

	NEXT(LIBSSH2_CHANNEL *, LIBSSH2_SESSION *, const char *, unsigned int, unsigned int,
	     unsigned int, const char *, unsigned int);
	ch = next(session, type, type_len, window, packet, message, len);
	if (ch)
		remember(ch, recall(session));
	return ch;
}

/* Sessions do not block: the call is repeated until it is through, by the thread that began it. */
int libssh2_channel_process_startup(LIBSSH2_CHANNEL *ch, const char *request,
				    unsigned int request_len, const char *message, unsigned int len)
{
	static _Thread_local const LIBSSH2_CHANNEL *under_way;
	static _Thread_local bool hit;
	int r;

	NEXT(int, LIBSSH2_CHANNEL *, const char *, unsigned int, const char *, unsigned int);
	if (under_way != ch) {
		under_way = ch;
		hit = count(SSH, message);
		if (hit && !fault.after)
			strike(recall(ch));
	}
	r = next(ch, request, request_len, message, len);
	if (r == LIBSSH2_ERROR_EAGAIN)
		return r;
	under_way = NULL;
	if (hit && fault.after)
		strike(recall(ch));
	return r;
}

ssize_t libssh2_channel_write_ex(LIBSSH2_CHANNEL *ch, int stream, const char *buf, size_t len)
{
	ssize_t n;

	NEXT(ssize_t, LIBSSH2_CHANNEL *, int, const char *, size_t);
	n = next(ch, stream, buf, len);
	if (n > 0 && count(SEND, ""))
		strike(recall(ch));
	return n;
}

CURLcode curl_easy_perform(CURL *curl)
{
	CURLcode rc;
	bool hit;

	NEXT(CURLcode, CURL *);
	hit = count(HTTP, "");
	if (hit && !fault.after && fault.cut)
		return CURLE_COULDNT_CONNECT;
	if (hit && !fault.after)
		strike(-1);
	rc = next(curl);
	if (!hit || !fault.after)
		return rc;
	strike(-1);
	return fault.cut ? CURLE_RECV_ERROR : rc;
}
