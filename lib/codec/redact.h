/*
 * What may leave the machine: a copy of a JSON value without secrets.
 *
 * Replaced in strings, wherever they stand: private keys in PEM, passwords in
 * URLs, bearer and basic authorisation, JSON web tokens, AWS access keys, and
 * what follows a word like password= or "token": in a line of text. Members
 * with such a name lose their value. It is for people who send logs to others:
 * a net with small holes, not a proof, so what is known to be a secret is never
 * put in to begin with.
 */
#ifndef KC_CODEC_REDACT_H
#define KC_CODEC_REDACT_H

#include <jansson.h>

/* New reference. */
json_t *kc_redact(const json_t *v);
/* One text. Owned. */
char *kc_redact_text(const char *text);

#endif
