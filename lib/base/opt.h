/*
 * The command line as data: one const table of verbs gives dispatch, parsing
 * and help, manual pages (opt_man.h) and completion (opt_complete.h);
 * docs/reference/commands.md is made from the help.
 *
 *	verbs + argv --kc_opt_parse--> kc_args {verb, values, help} --> verb->run()
 *
 * A verb is named by its path ("cluster create"); aliases are whole paths, too
 * ("create cluster"). Flags stand anywhere after it: --flag=value, --flag
 * value, -fvalue, -f value, -yv; "--" ends them and a lone "-" is an argument.
 * Values that are not given come from the flag's environment variable, then
 * from whoever calls kc_args_configure(), then from its default; the first two
 * and the last are checked in the same way.
 *
 * Everything in struct kc_args is borrowed from argv, the environment or the
 * tables. Wrong input is KC_EINVAL with one line that says what to type.
 */
#ifndef KC_BASE_OPT_H
#define KC_BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct kc_args;
struct kc_buf;

enum kc_opt_type {
	KC_OPT_FLAG = 1, /* present or not; --flag=false (or 0) is understood */
	KC_OPT_STRING,	 /* anything but the empty string */
	KC_OPT_INT,	 /* min..max */
	KC_OPT_DURATION, /* kc_parse_duration(), min or more; read in milliseconds */
	KC_OPT_ENUM,	 /* one of choices */
};

struct kc_opt {
	const char *name; /* "state": --state; NULL ends a list */
	char letter;	  /* 's': -s; 0: none */
	enum kc_opt_type type;
	const char *meta;	    /* "URL", in help texts; NULL for flags */
	const char *def;	    /* default as text, or NULL */
	const char *env;	    /* environment variable, or NULL */
	const char *const *choices; /* of an enum, NULL-terminated */
	long min, max;		    /* of an int; min of a duration, too, in ms */
	const char *doc;	    /* one line */
};

struct kc_verb {
	const char *path;	    /* "cluster create"; NULL ends a table */
	const char *const *aliases; /* other whole paths, NULL-terminated, or NULL */
	const char *summary;	    /* one line, no full stop */
	const char *description;    /* paragraphs for its own help; or NULL */
	const char *examples;	    /* lines as typed; or NULL */
	void (*more)(
		struct kc_buf *out); /* adds to its help what only the program knows; or NULL */
	const char *positional;	     /* "[NAME]" */
	int min_args, max_args;
	bool rest;    /* words behind "--" are no arguments, but handed on as kc_args.rest */
	bool endless; /* it runs until it is stopped: by a time limit only if that is typed */
	bool looks;   /* without --yes or --confirm it changes nothing: it may end at any moment */
	bool hidden;  /* for programs: in no help, manual or completion */
	const struct kc_opt *const *opts; /* lists of options, NULL-terminated, or NULL */
	int (*run)(const struct kc_args *args, struct kc_err *err); /* an exit code, or KC_E* */
};

struct kc_noun {
	const char *name, *summary; /* name NULL ends a table */
};

struct kc_program {
	const char *name, *summary;
	const struct kc_noun *nouns;
	const struct kc_verb *const *verbs; /* tables, NULL-terminated */
	const struct kc_opt *global;	    /* options of every verb */
	const char *footer;		    /* last lines of the top help; or NULL */
};

#define KC_OPT_MAX 48 /* options of one verb, with the global ones */
#define KC_ARG_MAX 16

struct kc_args {
	const struct kc_program *program;
	const struct kc_verb *verb; /* NULL: only help was asked for */
	char *help;		    /* text to print instead of running; owned */
	const char *arg[KC_ARG_MAX + 1];
	int args;
	char *const *rest; /* what stood behind "--"; of a verb with rest never NULL, NULL-ended */
	struct kc_opt_value {
		const struct kc_opt *opt;
		const char *value; /* NULL: not given and no default */
		bool given;	   /* on the command line */
		bool env;	   /* in the environment */
	} values[KC_OPT_MAX];
	size_t nvalues;
};

/* Parse. On success run args->verb, or print args->help. kc_args_done() afterwards. */
int kc_opt_parse(const struct kc_program *p, int argc, char *const *argv, struct kc_args *ret,
		 struct kc_err *err);
void kc_args_done(struct kc_args *a);

/* A value from a file of settings, which has been checked: taken if the verb has this option with a
 * variable (others may have its name), and neither the command line nor the environment a value. */
void kc_args_configure(struct kc_args *a, const char *name, const char *value);

/* Values by name. Asking for an option that the verb does not declare is a bug and aborts. */
const char *kc_args_str(const struct kc_args *a, const char *name); /* or NULL */
bool kc_args_bool(const struct kc_args *a, const char *name);
long kc_args_long(const struct kc_args *a, const char *name, long fallback); /* int, duration */
bool kc_args_given(const struct kc_args *a, const char *name);
bool kc_args_knows(const struct kc_args *a, const char *name);
/* The n-th positional argument, or NULL. */
const char *kc_args_pos(const struct kc_args *a, int n);

/* Help of the program (path ""), of a noun or of a verb; false if there is no such path. */
bool kc_opt_help(const struct kc_program *p, const char *path, struct kc_buf *out);

#endif
