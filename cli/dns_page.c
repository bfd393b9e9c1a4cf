/* The page that dns simulate writes: simulate.html with the report in it. */
#include <stdlib.h>
#include <string.h>

#include "cli/dns.h"
#include "lib/base/mem.h"
#include "lib/codec/json.h"

/* The file, and its end, in read-only data. */
__asm__(".pushsection .rodata\n"
	"kc_simulate_html:\n"
	".incbin \"" KC_CLI_DIR "/simulate.html\"\n"
	".byte 0\n"
	".popsection\n");
extern const char kc_simulate_html[] __attribute__((visibility("hidden")));

void kc_cli_dns_page(const json_t *report, const char *failed, struct kc_buf *out)
{
	static const char mark[] = "@REPORT@";
	json_auto_t *data =
		kc_pack("{s:O, s:s}", "report", report, "failed", failed ? failed : "none");
	_cleanup_free_ char *text = kc_json_text(data);
	const char *at = strstr(kc_simulate_html, mark);

	if (!at)
		abort(); /* the file has it */
	kc_buf_putn(out, kc_simulate_html, (size_t)(at - kc_simulate_html));
	/* No text may end the element that it stands in. */
	for (const char *p = text; *p; p++)
		if (*p == '<')
			kc_buf_puts(out, "\\u003c");
		else
			kc_buf_putn(out, p, 1);
	kc_buf_puts(out, at + strlen(mark));
}
