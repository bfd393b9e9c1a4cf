/* Pages that need no network: an HTML file of this folder, with the data that it shows in it. */
#ifndef KC_CLI_PAGE_H
#define KC_CLI_PAGE_H

#include <jansson.h>

#include "lib/base/err.h"

extern const char kc_simulate_html[], kc_timeline_html[];

/* Write page with data in the place of its mark. */
int kc_cli_page_write(const char *page, const json_t *data, const char *file, struct kc_err *err);

#endif
