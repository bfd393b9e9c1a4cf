/*
 * What one region says of itself at one DNS name, as text that everybody can check and nobody else
 * can write:
 *
 *   v=kc1 o=OWNER r=REGION e=EPOCH ep=ADDRESS,… [d=REGION,…] s=SIGNATURE
 *
 * d: the other regions that this one cannot reach at any of their addresses; not there without any.
 * Fields stand in this order with one space between, lists are sorted, addresses in their canonical
 * form ("none" without any), numbers have no sign and no leading zero: one claim has one text. Only
 * that text is taken; everything else is an error, not a guess. The signature (Ed25519,
 * lib/crypto/sign.h) is over the name and all that stands before it, so that a claim is worth
 * nothing at another name.
 *
 * It stands in a TXT record at kc_claim_name(). Epochs of a region only grow.
 */
#ifndef KC_DNS_CLAIMS_H
#define KC_DNS_CLAIMS_H

#include <jansson.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

/* KC_CLAIM_DOWN: all others of 32 regions. */
enum { KC_CLAIM_ADDRESSES = 16, KC_CLAIM_DOWN = 31, KC_CLAIM_MAX = 3072 };

struct kc_claim {
	char *owner, *region;
	uint64_t epoch;	   /* from 1 */
	json_t *addresses; /* at most KC_CLAIM_ADDRESSES; none: it serves nowhere any more */
	json_t *down;	   /* regions; NULL: none */
};
void kc_claim_done(struct kc_claim *c);
#define _cleanup_claim_ _cleanup_(kc_claim_done)

/* "_kc.eu.www.example.com." for name "www.example.com.", whose wildcard label becomes a word.
 * region NULL: "_kc.www.example.com.", where the mark of the name's owner stands. Owned. */
char *kc_claim_name(const char *name, const char *region);
/* "_kc-eu-central-1.www.example.com.": where a provider keeps a part of what name leads to. Owned.
 */
char *kc_group_name(const char *name, const char *group);
/* name: absolute. KC_EINVAL: the key, or an address, is none. Owned text. */
int kc_claim_write(const struct kc_claim *c, const char *name, const char *key_pem, char **ret_text,
		   struct kc_err *err);
/* KC_EINVAL: not the text of a claim. KC_EAUTH: not by this key, or of another name. */
int kc_claim_read(const char *text, const char *name, const char *public_key, struct kc_claim *ret,
		  struct kc_err *err);

/* A text as the data of a TXT record, in strings of at most 255 bytes, and back; owned. NULL: data
 * is no TXT record's. */
char *kc_claim_data(const char *text);
char *kc_claim_text(const char *data);

#endif
