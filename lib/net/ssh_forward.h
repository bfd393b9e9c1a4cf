/*
 * Connections to somewhere that only the far side of an SSH session reaches
 * ("direct-tcpip", RFC 4254, 7.2), as sockets of ours.
 *
 *	HTTP client <- loopback -> thread -> session -> sshd there -> host:port
 *
 * A forward owns one session and the thread it belongs to; the session is
 * opened by the first dial and again after it was lost. kc_ssh_forward_dial()
 * may be called from any thread and returns once the other end is connected:
 * what is left is a connect() to a port of loopback where only that one socket
 * is let in. (libcurl 7.88 connects sockets again that already are.) When
 * either side ends its half of a connection, both are closed: made for HTTP.
 */
#ifndef KC_NET_SSH_FORWARD_H
#define KC_NET_SSH_FORWARD_H

#include <netinet/in.h>

#include "lib/net/ssh.h"

/*
 * Open a session to forward through. hop: to the bastion in front of the host
 * instead, because the host itself forwards nothing; KC_ENOTFOUND if there is
 * none. Called in the forward's thread.
 */
typedef int kc_ssh_opener(void *cookie, bool hop, struct kc_ssh **ret, struct kc_err *err);

struct kc_ssh_forward;

struct kc_ssh_forward *kc_ssh_forward_new(kc_ssh_opener *open, void *cookie);
/* Ends all connections. */
void kc_ssh_forward_free(struct kc_ssh_forward *f);
/* A socket, owned, and where to connect it within ten seconds. Codes as for kc_ssh_open(); refused
 * there: KC_EAGAIN. */
int kc_ssh_forward_dial(struct kc_ssh_forward *f, const char *host, int port, int *ret_fd,
			struct sockaddr_in *ret_to, struct kc_err *err);

#endif
