/*
 * A small HTTP server over libmicrohttpd, for what a long-running command says of itself.
 *
 *	kc_httpd_start("127.0.0.1:9402", page) --GET /metrics--> page(path) -> text
 *
 * GET and HEAD only, plain text, a thread of its own, few connections with a short timeout. The
 * page is made by the caller on that thread. No TLS and no login: bind it to loopback, or to a
 * network where everybody may see what it shows.
 */
#ifndef KC_NET_HTTPD_H
#define KC_NET_HTTPD_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_httpd;

/* A page's status and text (owned by the server from then on); 404 needs no text. */
typedef int kc_httpd_page(void *cookie, const char *path, char **ret_text);

/* where: "ADDRESS:PORT", "[ADDRESS]:PORT". KC_EINVAL: not that; KC_ECONFLICT: in use. */
int kc_httpd_start(const char *where, kc_httpd_page *page, void *cookie, struct kc_httpd **ret,
		   struct kc_err *err);
/* Waits for the page that is being made. */
void kc_httpd_stop(struct kc_httpd *h);
KC_DEFINE_CLEANUP(struct kc_httpd *, kc_httpd_stop)
#define _cleanup_httpd_ _cleanup_(kc_httpd_stopp)

#endif
