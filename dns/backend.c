/* The providers that there are. */
#include "dns/backend.h"

#include "lib/base/str.h"

const struct kc_dns_backend *const kc_dns_backends[] = { &kc_dns_rfc2136, &kc_dns_powerdns,
							 &kc_dns_route53, &kc_dns_clouddns,
							 &kc_dns_azure,	  NULL };

const struct kc_dns_backend *kc_dns_backend_find(const char *name)
{
	for (const struct kc_dns_backend *const *b = kc_dns_backends; *b; b++)
		if (streq((*b)->name, name))
			return *b;
	return NULL;
}
