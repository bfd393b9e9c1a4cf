/*
 * Any bytes as a claim, and as the data of the TXT record that holds one. What is taken is written
 * again as the same text; without the private key nothing but the corpus' own can be.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dns/claims.h"
#include "lib/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 8032, 7.1, test 1. */
static const char key[] = "-----BEGIN PRIVATE KEY-----\n"
			  "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
			  "-----END PRIVATE KEY-----\n";
static const char public_key[] = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

static void must(int condition)
{
	if (!condition)
		abort();
}

static void try_text(const char *text)
{
	_cleanup_claim_ struct kc_claim c = { 0 };
	_cleanup_free_ char *again = NULL;
	struct kc_err err = { 0 };

	if (kc_claim_read(text, "www.example.com.", public_key, &c, &err) < 0) {
		must(err.msg[0] && !c.owner);
		return;
	}
	must(kc_claim_write(&c, "www.example.com.", key, &again, &err) == 0);
	must(streq(again, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *input = xstrndup((const char *)data, size),
			    *text = kc_claim_text(input);

	try_text(input);
	if (text)
		try_text(text);
	return 0;
}
