#include "cli/page.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/codec/json.h"

/* The files, and their ends, in read-only data. */
#define PAGE(name, file)                                                                           \
	__asm__(".pushsection .rodata\n"                                                           \
		".globl " name "\n"                                                                \
		".hidden " name "\n" name ":\n"                                                    \
		".incbin \"" KC_CLI_DIR "/" file "\"\n"                                            \
		".byte 0\n"                                                                        \
		".popsection\n")
PAGE("kc_simulate_html", "simulate.html");
PAGE("kc_timeline_html", "timeline.html");

int kc_cli_page_write(const char *page, const json_t *data, const char *file, struct kc_err *err)
{
	static const char mark[] = "@REPORT@";
	_cleanup_buf_ struct kc_buf out = { 0 };
	_cleanup_free_ char *text = kc_json_text(data);
	const char *at = strstr(page, mark);

	if (!at)
		abort(); /* the file has it */
	kc_buf_putn(&out, page, (size_t)(at - page));
	/* No text may end the element that it stands in. */
	for (const char *p = text; *p; p++)
		if (*p == '<')
			kc_buf_puts(&out, "\\u003c");
		else
			kc_buf_putn(&out, p, 1);
	kc_buf_puts(&out, at + strlen(mark));
	return kc_file_write(file, kc_buf_get(&out), out.len, 0644, err);
}
