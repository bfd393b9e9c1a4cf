/*
 * A command line of ssh for a person. Nothing has to be tidied up after it: the pinned key is told
 * by KnownHostsCommand (OpenSSH 8.5), and the one file that is written is the same for every host.
 */
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/net/ssh_impl.h"

/* Takes text. */
static void add(json_t *words, char *text)
{
	json_array_append_new(words, json_string(text));
	free(text);
}

/* Takes text. */
static void add_option(json_t *words, char *text)
{
	add(words, xstrdup("-o"));
	add(words, text);
}

/* % begins a token in what is expanded. Owned. */
static char *no_tokens(const char *text)
{
	struct kc_buf b = { 0 };

	for (; *text; text++)
		kc_buf_puts(&b, *text == '%' ? "%%" : (char[]){ *text, '\0' });
	return kc_buf_steal(&b);
}

static void add_host_key(json_t *words, const struct kc_ssh_target *t)
{
	_cleanup_free_ char *known = NULL, *literal = NULL;

	add_option(words, xstrdup("StrictHostKeyChecking=yes"));
	if (t->host_key) {
		add_option(words, xstrdup("HostKeyAlias=kubecdn-host"));
		add_option(words, xasprintf("KnownHostsCommand=/usr/bin/env echo kubecdn-host %s",
					    t->host_key));
		add_option(words, xstrdup("UserKnownHostsFile=/dev/null"));
		add_option(words, xstrdup("GlobalKnownHostsFile=/dev/null"));
		return;
	}
	if (t->openssh && !t->known_hosts)
		return;
	known = kc_expand_home(t->known_hosts ? t->known_hosts : "~/.ssh/known_hosts");
	literal = no_tokens(known);
	add_option(words, xasprintf("UserKnownHostsFile=\"%s\"", literal));
}

static void add_login(json_t *words, const struct kc_ssh_target *t)
{
	const char *user = t->user ? t->user : "root";
	int port = t->port ? t->port : 22;

	/* With ssh_config, the manifest's defaults are what that may say otherwise. */
	if (!t->openssh || !streq(user, "root"))
		add_option(words, xasprintf("User=%s", user));
	if (!t->openssh || port != 22)
		add_option(words, xasprintf("Port=%d", port));
	if (t->identity_file) {
		_cleanup_free_ char *path = kc_expand_home(t->identity_file),
				    *literal = no_tokens(path);

		add_option(words, xasprintf("IdentityFile=\"%s\"", literal));
		add_option(words, xstrdup("IdentitiesOnly=yes"));
	}
	if (t->no_agent)
		add_option(words, xstrdup("IdentityAgent=none"));
	add_option(words, xstrdup("ServerAliveInterval=15"));
}

/* ssh with the options that lead to t, but through no bastion. */
static json_t *begin(const struct kc_ssh_target *t, const char *config)
{
	json_t *words = json_array();

	add(words, xstrdup("ssh"));
	add(words, xstrdup("-F"));
	add(words, xstrdup(config));
	add_host_key(words, t);
	add_login(words, t);
	return words;
}

/* ProxyJump would take neither the key nor the check of its host's: so, another ssh. */
static void add_bastion(json_t *words, const struct kc_ssh_target *t, const char *config)
{
	_cleanup_buf_ struct kc_buf line = { 0 };
	_cleanup_free_ char *literal = NULL;
	json_auto_t *hop = NULL;
	const json_t *word;
	size_t i;

	if (!t->bastion)
		return;
	hop = begin(t->bastion, config);
	json_array_foreach(hop, i, word) {
		_cleanup_free_ char *quoted = kc_ssh_quote(json_string_value(word));

		kc_buf_printf(&line, "%s ", quoted);
	}
	literal = no_tokens(kc_buf_get(&line));
	/* Through the user's shell, to which brackets mean something. */
	add_option(words,
		   xasprintf("ProxyCommand=%s-W '[%%h]:%%p' -- %s", literal, t->bastion->host));
}

/* What ssh_config says, and then the manifest's defaults. */
static int write_config(char **ret_path, struct kc_err *err)
{
	_cleanup_free_ char *own = ssh_user_config(), *dir = kc_cache_dir(), *text = NULL;
	int r = kc_mkdir_p(dir, 0755, err);

	if (r < 0)
		return r;
	text = xasprintf("Include \"%s\"\nInclude /etc/ssh/ssh_config\nMatch all\nUser root\nPort "
			 "22\n",
			 own);
	*ret_path = xasprintf("%s/ssh_config", dir);
	return kc_file_write(*ret_path, text, strlen(text), 0600, err);
}

int kc_ssh_command(const struct kc_ssh_target *t, bool tty, char *const *command, json_t **ret,
		   struct kc_err *err)
{
	_cleanup_free_ char *config = t->openssh ? NULL : xstrdup("none");
	json_t *words;
	int r = t->openssh ? write_config(&config, err) : 0;

	if (r < 0)
		return r;
	words = begin(t, config);
	add_bastion(words, t, config);
	if (tty)
		add(words, xstrdup("-t"));
	add(words, xstrdup("--"));
	add(words, xstrdup(t->host));
	for (; command && *command; command++)
		add(words, xstrdup(*command));
	*ret = words;
	return 0;
}
