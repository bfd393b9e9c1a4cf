/*
 * Manual pages, in roff with the macros of man(7), from the tables of opt.h.
 *
 *	table of verbs + what is true of all of them --kc_opt_man--> a page each
 *
 * PROGRAM.1 tells of the program, PROGRAM-NOUN.1 of the commands of a noun, and
 * PROGRAM-NOUN-VERB.1 of one. Nothing here does I/O: each page goes to a callback.
 */
#ifndef KC_BASE_OPT_MAN_H
#define KC_BASE_OPT_MAN_H

#include "lib/base/opt.h"

/* "KUBECDN_STATE", "Where ..."; term NULL ends a list. */
struct kc_manual_item {
	const char *term, *text;
};

struct kc_manual {
	const char *version;	 /* "kubecdn 0.1.0" */
	const char *title;	 /* "kubecdn manual" */
	const char *description; /* of the program; paragraphs with an empty line between */
	/* The options' own variables come from their tables; these are the others. */
	const struct kc_manual_item *environment;
	const struct kc_manual_item *files, *exits;
	const char *see; /* other pages, "ssh(1), kubectl(1)" */
};

/* Each page to write(), by name without its section; an error of write() ends it. */
int kc_opt_man(const struct kc_program *p, const struct kc_manual *m,
	       int (*write)(void *cookie, const char *name, const char *text, struct kc_err *err),
	       void *cookie, struct kc_err *err);

#endif
