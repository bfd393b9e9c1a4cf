/* Shared by balance.c (configuration, checks, loop) and balance_conn.c (the bytes). */
#ifndef KC_NODE_BALANCE_PRIV_H
#define KC_NODE_BALANCE_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#define PROBE_MS      1000
#define PROBE_FAST_MS 50    /* while no backend is healthy */
#define WAIT_MS	      10000 /* a client's patience for a first healthy backend */
#define PIPE_SIZE     (32 << 10)

enum watch_kind { W_SIGNAL, W_LISTEN, W_PROBE, W_CLIENT, W_SERVER };

/* A descriptor in the epoll set; owner is what it belongs to. */
struct watch {
	enum watch_kind kind;
	int fd;
	bool watched;
	uint32_t events;
	void *owner;
};

struct backend {
	struct backend *next;
	char *text; /* "192.0.2.11:6443" */
	struct sockaddr_storage addr;
	socklen_t len;
	bool keep, healthy;
	int conns;
	int64_t probed_ms;
	struct watch probe;
};

struct listener {
	struct listener *next;
	char *text;
	bool keep;
	struct watch watch;
};

/* Bytes on their way in one direction. */
struct pipe_buf {
	size_t at, len; /* data[at, at + len) is to be written */
	bool eof, shut; /* the reader ended; that was passed on */
	char data[PIPE_SIZE];
};

struct conn {
	struct conn *next, *prev;
	struct watch client, server;
	struct backend *backend; /* NULL: waits for one */
	bool connected, dead;
	int tries;
	int64_t since_ms;
	struct pipe_buf up, down; /* client to server, server to client */
};

struct balance {
	const char *config;
	char *local;
	int epoll;
	bool stop, reload;
	struct watch signals;
	struct backend *backends;
	struct listener *listeners;
	struct conn *conns, *grave;
	struct timespec config_mtime;
	ino_t config_ino;
};

/* balance.c */
void bal_watch(struct balance *b, struct watch *w, uint32_t events);
void bal_close(struct balance *b, struct watch *w);
struct backend *bal_pick(struct balance *b);
void bal_probe_all(struct balance *b);

/* balance_conn.c */
void bal_conn_accept(struct balance *b, int listener);
void bal_conn_event(struct balance *b, struct watch *w, uint32_t events);
void bal_conn_serve_waiting(struct balance *b);
/* Close all connections of a backend (NULL: all). */
void bal_conn_drop(struct balance *b, const struct backend *s);
/* Close those that waited too long for a backend. */
void bal_conn_expire(struct balance *b);
void bal_conn_reap(struct balance *b);

#endif
