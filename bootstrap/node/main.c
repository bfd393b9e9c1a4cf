/* kubecdn-node: the agent's command line. See protocol.h for what goes in and out. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bootstrap/node/agent.h"
#include "bootstrap/node/balance.h"
#include "bootstrap/node/peer.h"
#include "bootstrap/node/protocol.h"
#include "bootstrap/node/reach.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define ENVELOPE_MAX (64u << 20)

static int read_envelope(const char *path, json_t **ret, struct kc_err *err)
{
	_cleanup_wiped_ char *text = NULL;
	size_t len;
	int r = kc_file_read(path, ENVELOPE_MAX, &text, &len, err);

	if (r < 0)
		return r;
	r = kc_json_parse(text ? text : "", len, "envelope", ret, err);
	if (r == 0 && !json_is_object(*ret))
		r = kc_fail(err, KC_EINVAL, "envelope: not a JSON object");
	return r;
}

static void print(json_t *v)
{
	_cleanup_free_ char *text = kc_json_text(v);

	puts(text);
	fflush(stdout);
	json_decref(v);
}

static int with_envelope(const char *path, bool writable,
			 int (*verb)(struct kc_agent *, json_t **, struct kc_err *),
			 struct kc_err *err)
{
	struct kc_agent a = { 0 };
	json_t *envelope = NULL, *answer = NULL;
	int r = read_envelope(path, &envelope, err);

	if (r < 0) {
		json_decref(envelope);
		return r;
	}
	r = kc_agent_init(&a, envelope, writable, err);
	if (r == 0)
		r = verb(&a, &answer, err);
	if (r == 0)
		print(answer);
	kc_agent_done(&a);
	return r;
}

static int verb_facts(int argc, char **argv, struct kc_err *err)
{
	json_t *answer = NULL;
	int r = kc_agent_facts(&answer, err);

	if (r == 0)
		print(answer);
	return r;
}

static int verb_plan(int argc, char **argv, struct kc_err *err)
{
	return with_envelope("/dev/stdin", false, kc_agent_plan, err);
}

static int verb_csr(int argc, char **argv, struct kc_err *err)
{
	return with_envelope("/dev/stdin", true, kc_agent_csr, err);
}

static int verb_doctor(int argc, char **argv, struct kc_err *err)
{
	return with_envelope("/dev/stdin", false, kc_agent_doctor, err);
}

static int with_question(int (*verb)(const json_t *, json_t **, struct kc_err *),
			 struct kc_err *err)
{
	json_auto_t *question = NULL;
	json_t *answer = NULL;
	int r = read_envelope("/dev/stdin", &question, err);

	if (r == 0)
		r = verb(question, &answer, err);
	if (r == 0)
		print(answer);
	return r;
}

static int verb_probe(int argc, char **argv, struct kc_err *err)
{
	return with_question(kc_agent_probe, err);
}

static int verb_reach(int argc, char **argv, struct kc_err *err)
{
	return with_question(kc_node_reach, err);
}

static int verb_rejoin(int argc, char **argv, struct kc_err *err)
{
	return with_envelope("/dev/stdin", false, kc_agent_rejoin, err);
}

static int verb_recv(int argc, char **argv, struct kc_err *err)
{
	json_t *answer = NULL;
	int r = kc_agent_recv(STDIN_FILENO, &answer, err);

	if (r == 0)
		print(answer);
	return r;
}

static int verb_fetch(int argc, char **argv, struct kc_err *err)
{
	return with_question(kc_agent_fetch, err);
}

static int verb_serve(int argc, char **argv, struct kc_err *err)
{
	if (argc != 4)
		return KC_NODE_EXIT_USAGE;
	return kc_peer_serve(KC_NODE_BLOBS, argv[2], argv[3], STDIN_FILENO, stdout, err);
}

/* apply, reset: a positive result is the exit code. */
static int verb_front(int argc, char **argv, struct kc_err *err)
{
	struct kc_agent a = { .reset = streq(argv[1], "reset") };
	json_t *envelope = NULL;
	int code = 0, r = read_envelope("/dev/stdin", &envelope, err);

	if (r < 0) {
		json_decref(envelope);
		return r;
	}
	r = kc_agent_init(&a, envelope, false, err);
	if (r == 0)
		r = kc_front_run(&a, argv[1], &code, err);
	kc_agent_done(&a);
	return r < 0 ? r : code;
}

static void tell(FILE *events, int code, const struct kc_err *err)
{
	json_auto_t *line = kc_pack("{s:s, s:i}", "error", err->msg, "code", code);
	_cleanup_free_ char *text = kc_json_text(line);

	fprintf(events, "%s\n", text);
}

/* In the transient unit; what goes wrong is also the last line of the events. */
static int verb_converge(int argc, char **argv, struct kc_err *err)
{
	struct kc_agent a = { 0 };
	json_t *envelope = NULL;
	FILE *events;
	int r;

	if (argc != 3 || (!streq(argv[2], "apply") && !streq(argv[2], "reset")))
		return KC_NODE_EXIT_USAGE;
	a.reset = streq(argv[2], "reset");
	r = read_envelope(KC_NODE_ENVELOPE, &envelope, err);
	unlink(KC_NODE_ENVELOPE);
	if (r < 0) {
		json_decref(envelope);
		return r;
	}
	events = fopen(KC_NODE_EVENTS, "ae");
	if (!events)
		return kc_fail(err, KC_EFAIL, "cannot open " KC_NODE_EVENTS);
	r = kc_agent_init(&a, envelope, true, err);
	if (r == 0)
		r = kc_agent_converge(&a, argv[2], fileno(events), err);
	else
		tell(events, r, err);
	fclose(events);
	kc_agent_done(&a);
	return r;
}

static int verb_balance(int argc, char **argv, struct kc_err *err)
{
	if (argc == 3 && kc_startswith(argv[2], "--config="))
		return kc_balance_run(argv[2] + strlen("--config="), err);
	if (argc == 4 && streq(argv[2], "--config"))
		return kc_balance_run(argv[3], err);
	fprintf(stderr, "usage: kubecdn-node balance --config FILE\n");
	return KC_NODE_EXIT_USAGE;
}

static int verb_version(int argc, char **argv, struct kc_err *err)
{
	print(kc_pack("{s:s, s:i}", "version", KC_VERSION, "protocol", KC_NODE_PROTOCOL));
	return 0;
}

static const struct {
	const char *name, *help;
	int (*run)(int argc, char **argv, struct kc_err *err);
} verbs[] = {
	{ "facts", "print what this host is", verb_facts },
	{ "plan", "< envelope: print what apply would change; changes nothing", verb_plan },
	{ "csr", "< envelope: print certificate requests", verb_csr },
	{ "probe", "< questions: print whether DNS answers here and when certificates end",
	  verb_probe },
	{ "doctor", "< envelope: print what may tell why this node does not work", verb_doctor },
	{ "reach", "< questions: print which ports of other hosts cannot be reached from here",
	  verb_reach },
	{ "rejoin", "< envelope: let the kubelet register its node anew", verb_rejoin },
	{ "recv", "< frames: take blobs", verb_recv },
	{ "serve", "MARK ADDRESS: give blobs to other hosts, while the input is open", verb_serve },
	{ "fetch", "< question: take blobs from another host", verb_fetch },
	{ "apply", "< envelope: make this host what the node spec says", verb_front },
	{ "reset", "< envelope: put this host back to what it was", verb_front },
	{ "balance", "--config FILE: balance TCP over the cluster's API servers", verb_balance },
	{ "version", "print version and protocol", verb_version },
	{ "converge", NULL, verb_converge }, /* what apply and reset run as a unit */
};

static int usage(FILE *to)
{
	fprintf(to, "kubecdn-node " KC_VERSION ": kubecdn's agent on a node\n\n"
		    "usage: kubecdn-node VERB\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (verbs[i].help)
			fprintf(to, "  %-8s %s\n", verbs[i].name, verbs[i].help);
	return to == stdout ? 0 : KC_NODE_EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct kc_err err = { 0 };

	signal(SIGPIPE, SIG_IGN);
	kc_json_init();
	/* Started by sshd through a shell, PATH may lack the system's programs. */
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "help")))
		return usage(stdout);
	for (size_t i = 0; argc >= 2 && i < ARRAY_SIZE(verbs); i++) {
		int r;

		if (!streq(argv[1], verbs[i].name))
			continue;
		r = verbs[i].run(argc, argv, &err);
		if (r < 0)
			fprintf(stderr, "kubecdn-node %s: %s\n", argv[1], err.msg);
		return r < 0 ? kc_front_exit(r) : r;
	}
	return usage(stderr);
}
